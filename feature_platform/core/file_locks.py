"""Exclusive locks on files, between the processes of one machine."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_platform.errors import RegistryError

_POLL_SECONDS = 0.02
DEFAULT_TIMEOUT = 3600.0
"""Seconds to wait for another process that holds the same lock."""


@contextmanager
def file_lock(path: Path, subject: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created if missing and left in place.

    Args:
        path: The lock file.
        subject: What is locked, for the error.
        timeout: Seconds to wait.

    Raises:
        RegistryError: It was not free within `timeout`, or cannot be created.
    """
    try:
        handle = _open(path)
    except OSError as error:
        raise RegistryError(
            subject, f"its lock file {path} cannot be made ({error})", "make the folder writable"
        ) from error
    try:
        wait_until(lambda: _lock(handle, fcntl.LOCK_NB), subject, timeout)
        yield
    finally:
        os.close(handle)


@contextmanager
def locked_file(path: Path, *, blocking: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock on a file; yield whether it is held.

    Args:
        path: The lock file, created if missing and left in place.
        blocking: Wait as long as another process holds it, instead of yielding False.

    Raises:
        OSError: It cannot be created.
    """
    handle = _open(path)
    try:
        yield _lock(handle, 0 if blocking else fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _lock(handle: int, flags: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
    except BlockingIOError:
        return False
    return True


def wait_until(
    attempt: Callable[[], bool], subject: str, timeout: float, slowest: float = _POLL_SECONDS
) -> None:
    """Call `attempt` until it returns True, pausing longer each time, at most `slowest` seconds.

    Raises:
        RegistryError: It did not return True within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    pause = _POLL_SECONDS
    while not attempt():
        if time.monotonic() > deadline:
            raise RegistryError(
                subject,
                f"another process held its lock for more than {timeout:g} s",
                "wait for that process to end, or stop it, and run again",
                is_transient=True,
            )
        time.sleep(pause)
        pause = min(pause * 1.5, slowest)
