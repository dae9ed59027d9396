"""A table as a folder of Parquet files, one per window, each named after its window."""

from datetime import UTC, datetime
from pathlib import Path

from feature_platform.core.file_names import STAMPS
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, WindowError


def built_windows(folder: Path) -> dict[Path, Window]:
    """The windows in a folder by file, in order; files with other names are left out."""
    named = ((_window_of(path), path) for path in folder.glob("*.parquet"))
    return {path: window for window, path in sorted((w, p) for w, p in named if w is not None)}


def files_inside(folder: Path, window: Window) -> list[Path]:
    """The files of smaller windows that a file of this one replaces.

    Raises:
        SourceError: A file has part of the window and something else.
    """
    inside = []
    for path, built in built_windows(folder).items():
        if built == window or not built.overlaps(window):
            continue
        if built.intersection(window) != built:
            both = Window(min(window.start, built.start), max(window.end, built.end))
            raise SourceError(
                f"source table '{folder}'",
                f"window {window} overlaps {built}, already built in '{path.name}'",
                f"build {both}, or remove that file and rebuild its windows",
            )
        inside.append(path)
    return inside


def _window_of(path: Path) -> Window | None:
    start, _, end = path.stem.partition("--")
    try:
        return Window(_moment(start), _moment(end))
    except (ValueError, WindowError):
        return None


def _moment(stamp: str) -> datetime:
    for form in STAMPS:
        try:
            return datetime.strptime(stamp, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(stamp)
