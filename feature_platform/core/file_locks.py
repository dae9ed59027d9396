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
"""Seconds a process waits for another one that holds the same lock."""


@contextmanager
def file_lock(path: Path, subject: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if it is not there and left in place.

    Args:
        path: The lock file.
        subject: What is locked, for the error.
        timeout: Seconds to wait.

    Raises:
        RegistryError: It was not free within `timeout`, or cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RegistryError(
            subject, f"its lock file {path} cannot be made ({error})", "make the folder writable"
        ) from error
    try:
        wait_until(lambda: _try_flock(handle), subject, timeout)
        yield
    finally:
        os.close(handle)


def _try_flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until(
    attempt: Callable[[], bool], subject: str, timeout: float, slowest: float = _POLL_SECONDS
) -> None:
    """Call `attempt` until it returns True, with growing pauses of at most `slowest` seconds.

    Raises:
        RegistryError: It did not within `timeout` seconds.
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
