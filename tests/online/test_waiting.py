"""Giving up on a server that never answers."""

import socket

import pytest

from feature_platform.online.deadline import deadline


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
