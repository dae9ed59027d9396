"""Names of windows and of Feast objects as file names."""

from datetime import datetime
from urllib.parse import quote

from feature_platform.core.windows import Window


def stem(name: str) -> str:
    """A name as `Files.names` lists what was written under it."""
    return path_part(name)


def window_name(window: "Window") -> str:
    """``2026-03-01--2026-03-02``: a window as the name of its file; sorts by time."""
    return file_name(window).removesuffix(".parquet")


def path_part(name: str) -> str:
    """A name as one part of a path, whatever is in it."""
    plain = quote(name, safe=" ()+=,@")
    return plain.replace(".", "%2E") if plain in (".", "..") or plain.startswith(".") else plain


STAMPS = ("%Y-%m-%d", "%Y-%m-%dT%H%M%SZ", "%Y-%m-%dT%H%M%S.%fZ")


def file_name(window: Window) -> str:
    """A window's file: ``2026-03-01--2026-03-02.parquet``, with times of day where needed."""
    return f"{_stamp(window.start)}--{_stamp(window.end)}.parquet"


def _stamp(moment: datetime) -> str:
    # No colons: they are not allowed in file names everywhere.
    day, second, microsecond = STAMPS
    if moment.microsecond:
        return moment.strftime(microsecond)
    return moment.strftime(day if moment.time() == datetime.min.time() else second)
