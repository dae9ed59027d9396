"""An end to waiting for a server that accepts what it is sent and never answers."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def deadline(seconds: float, connected: Callable[[], int]) -> Iterator[None]:
    """Cut a socket when the block takes longer, so that the client waiting on it fails.

    Args:
        seconds: How long the block may take.
        connected: Gives the file descriptor of the socket; asked when time is up.

    Raises:
        TimeoutError: Time was up; the client's own error is its cause.
    """
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        # Its own descriptor: closing this one must not close the client's.
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
