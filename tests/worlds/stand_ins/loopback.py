"""HTTP servers of the tests' own, on a free port of this machine."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def listening(
    handler: type[BaseHTTPRequestHandler], encrypted: ssl.SSLContext | None = None
) -> Iterator[int]:
    """The port that requests are answered on until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if encrypted:
            server.socket = encrypted.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
