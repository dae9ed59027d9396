"""Files that are put in their place in one move."""

import os
from pathlib import Path


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
