"""A time limit on a server that accepts a request and never answers."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def deadline(seconds: float, connected: Callable[[], int]) -> Iterator[None]:
    """Shut down a socket if the block takes longer, so that the client waiting on it fails.

    Args:
        seconds: How long the block may take.
        connected: Returns the file descriptor of the socket; called when the time is up.

    Raises:
        TimeoutError: The time was up; the client's own error is its cause.
    """
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        # A duplicate: closing it does not close the client's own descriptor.
        with suppress(OSError), socket.socket(fileno=os.dup(connected())) as copy:
            copy.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if expired.is_set():
            raise TimeoutError(f"no answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
