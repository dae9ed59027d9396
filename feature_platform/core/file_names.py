"""Names of windows and of Feast objects as file names."""

from datetime import datetime
from urllib.parse import quote

from feature_platform.core.windows import Window

# No colons: some file systems refuse them in names.
STAMPS = ("%Y-%m-%d", "%Y-%m-%dT%H%M%SZ", "%Y-%m-%dT%H%M%S.%fZ")
"""Formats of a window's ends: whole day, whole second, microsecond."""


def window_name(window: Window) -> str:
    """``2026-03-01--2026-03-02``, with times of day where needed; sorts by time."""
    return f"{_stamp(window.start)}--{_stamp(window.end)}"


def file_name(window: Window) -> str:
    """``2026-03-01--2026-03-02.parquet``: the file of a window."""
    return f"{window_name(window)}.parquet"


def path_part(name: str) -> str:
    """Any name as one part of a path: quoted, and never hidden."""
    plain = quote(name, safe=" ()+=,@")
    return plain.replace(".", "%2E") if plain.startswith(".") else plain


def _stamp(moment: datetime) -> str:
    day, second, microsecond = STAMPS
    if moment.microsecond:
        return moment.strftime(microsecond)
    return moment.strftime(day if moment.time() == datetime.min.time() else second)
