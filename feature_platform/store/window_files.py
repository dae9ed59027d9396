"""A table as a folder of Parquet files, one a window, each named after its window."""

import os
from datetime import UTC, datetime
from pathlib import Path

from feature_platform.errors import SourceError, WindowError
from feature_platform.store.windows import Window

_STAMPS = ("%Y-%m-%d", "%Y-%m-%dT%H%M%SZ", "%Y-%m-%dT%H%M%S.%fZ")


def file_name(window: Window) -> str:
    """A window's file: ``2026-03-01--2026-03-02.parquet``, with times of day where needed."""
    return f"{_stamp(window.start)}--{_stamp(window.end)}.parquet"


def built_windows(folder: Path) -> dict[Path, Window]:
    """The windows a folder holds, by file, in order; files named otherwise are left out."""
    named = ((_window_of(path), path) for path in folder.glob("*.parquet"))
    return {path: window for window, path in sorted((w, p) for w, p in named if w is not None)}


def files_inside(folder: Path, window: Window) -> list[Path]:
    """The files of smaller windows that a file of this one takes the place of.

    Raises:
        SourceError: A file holds part of the window and something else beside it.
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


def publish(unfinished: Path, path: Path, replaced: list[Path]) -> None:
    """Put a finished file in its place for good, then remove the files it replaces.

    Readers see the old file or the new one, never half of either, whatever stops this process.

    Raises:
        OSError: The folder refuses.
    """
    _sync(unfinished)
    unfinished.replace(path)
    # Last, so that a crash in between leaves rows twice until the next build and never a gap.
    for old in replaced:
        old.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(moment: datetime) -> str:
    # No colons: they are not allowed in file names everywhere.
    day, second, microsecond = _STAMPS
    if moment.microsecond:
        return moment.strftime(microsecond)
    return moment.strftime(day if moment.time() == datetime.min.time() else second)


def _window_of(path: Path) -> Window | None:
    start, _, end = path.stem.partition("--")
    try:
        return Window(_moment(start), _moment(end))
    except (ValueError, WindowError):
        return None


def _moment(stamp: str) -> datetime:
    for form in _STAMPS:
        try:
            return datetime.strptime(stamp, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(stamp)
