"""A time limit on a server that accepts a request and never answers."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class TimeLimit:
    """Shuts down a socket when its time is up, so that the client waiting on it fails.

    Args:
        seconds: The time.
        connected: Returns the file descriptor of the socket; called when the time is up.
    """

    def __init__(self, seconds: float, connected: Callable[[], int]) -> None:
        self._seconds = seconds
        self._connected = connected
        self._expired = threading.Event()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> bool:
        """Stop it; whether the time was up already."""
        self._timer.cancel()
        return self._expired.is_set()

    def error(self) -> TimeoutError:
        """What to raise in place of the client's own error."""
        return TimeoutError(f"no answer within {self._seconds:g} s")

    def _cut(self) -> None:
        self._expired.set()
        # A duplicate: closing it does not close the client's own descriptor.
        with suppress(Exception), socket.socket(fileno=os.dup(self._connected())) as copy:
            copy.shutdown(socket.SHUT_RDWR)


@contextmanager
def deadline(seconds: float, connected: Callable[[], int]) -> Iterator[None]:
    """A `TimeLimit` on the block.

    Raises:
        TimeoutError: The time was up; the client's own error is its cause.
    """
    limit = TimeLimit(seconds, connected)
    try:
        yield
    except Exception as error:
        if limit.cancel():
            raise limit.error() from error
        raise
    finally:
        limit.cancel()
