"""Working ahead, and giving up on a server that never answers."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from feature_platform.engine.deadline import deadline
from feature_platform.engine.prefetch import prefetch


def test_items_come_in_order_and_are_made_ahead() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    taken = []
    for number in prefetch(make()):
        taken.append(number)
        deadline_at = time.monotonic() + 5
        while len(made) <= min(number + 1, 4) and time.monotonic() < deadline_at:
            time.sleep(0.001)
        assert len(made) > number
    assert taken == made == [0, 1, 2, 3, 4]


def test_an_error_in_making_is_raised_where_the_items_are_taken() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    ahead = prefetch(make())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no more"):
        next(ahead)


def test_a_consumer_that_leaves_early_leaves_no_thread_behind() -> None:
    ahead = prefetch(iter(range(1000)))
    next(ahead)
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_a_socket_that_stays_silent_is_cut() -> None:
    silent, mine = socket.socketpair()

    def wait() -> None:
        with deadline(0.1, mine.fileno):
            if not mine.recv(1):
                raise ConnectionError("closed")

    with pytest.raises(TimeoutError, match=r"within 0\.1 s"):
        wait()
    silent.close()
    mine.close()


def test_an_error_before_its_time_is_left_as_it_is() -> None:
    _, mine = socket.socketpair()
    with pytest.raises(KeyError), deadline(30, mine.fileno):
        raise KeyError("mine")
