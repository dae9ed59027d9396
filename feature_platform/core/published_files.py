"""Atomic file writes: a file is written under a temporary name, then moved into its place."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def published(path: Path, covered: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move its file to `path` when the block succeeds.

    Readers see the old file or the new one, never part of either, and the new one is on disk when
    this returns. After an error the temporary file is removed and `path` is unchanged.

    Args:
        path: The final path. Missing folders are created; the mode of an existing file is kept.
        covered: Files whose content the new file includes; they are removed after the move.

    Raises:
        OSError: The folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, and without the suffix of `path`: readers ignore what a crash leaves behind.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield unfinished
        if path.exists():
            unfinished.chmod(path.stat().st_mode & 0o777)
        sync_to_disk(unfinished)
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink()
    # After the move: a crash in between leaves rows twice until the next build, never a gap.
    for old in covered:
        old.unlink(missing_ok=True)
    sync_to_disk(path.parent)


def sync_to_disk(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk.

    Raises:
        OSError: It cannot be opened or flushed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
