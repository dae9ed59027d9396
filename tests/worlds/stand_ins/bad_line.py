"""A line to a server that goes bad when a test says so: silent, cut in an answer, or gone."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class BadLine:
    """A proxy on a port of its own; `mode` says what becomes of what the server answers.

    ``well`` hands it on, ``silent`` keeps it, ``cut`` hands on the first byte and hangs up. `leave`
    closes the port too, and `come_back` opens it again.
    """

    def __init__(self, target: int) -> None:
        self.mode = "well"
        self.connections = 0
        self._target = target
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accept()

    def break_down(self, mode: str) -> None:
        """Go bad in this way, for open connections and new ones."""
        self.mode = mode
        if mode == "gone":
            self._close(self._listener)
            self.hang_up()

    def come_back(self) -> None:
        """Be well again; what was open in the meantime is closed, as by a server that restarts."""
        if self.mode == "gone":
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accept()
        self.mode = "well"
        self.hang_up()

    def hang_up(self) -> None:
        while self._open:
            self._close(self._open.pop())

    def close(self) -> None:
        self._close(self._listener)
        self.hang_up()

    def _accept(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for source, sink, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._carry, args=(source, sink, answers), daemon=True
                    ).start()

    def _carry(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self.mode == "silent":
                    continue
                if answers and self.mode == "cut":
                    sink.sendall(data[:1])
                    break
                sink.sendall(data)
        self._close(source)
        self._close(sink)

    @staticmethod
    def _close(each: socket.socket) -> None:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def bad_line(target: int) -> Iterator[BadLine]:
    """A line to a port of this machine, well at first."""
    line = BadLine(target)
    try:
        yield line
    finally:
        line.close()
