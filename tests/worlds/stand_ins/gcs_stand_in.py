"""A stand-in for Cloud Storage that keeps to generations, as its JSON API is documented.

The emulator on the package index takes every upload whatever the precondition. This one answers
what Feast and the registry's files ask: metadata, downloads, multipart and resumable uploads. A
request with ``ifGenerationMatch`` proceeds only if that is the generation of the live object, 0
meaning that there is none; else the answer is 412, of a download too.
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from worlds.stand_ins.loopback import listening

_NOT_FOUND = 404
_PAUSE = 0.005  # between the lines of a read-modify-write, so that others come in between


class GcsStandIn:
    """One bucket in memory.

    Attributes:
        refused: How many uploads met another generation than the one they were for.
        before_download: Called before the next download, once.
        gone: Status for a download of a generation that has been replaced and was to match, 404 or
            412: the documentation does not say which counts first.
        after_missing: Called once an object was looked for that is not there, once.
        loses_answer: Whether the connection breaks after the next upload, once.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.refused = 0
        self.before_download: Callable[[], None] | None = None
        self.after_missing: Callable[[], None] | None = None
        self.gone = 404
        self.loses_answer = False
        self.url = ""
        self._objects: dict[str, tuple[int, bytes]] = {}
        self._sessions: dict[str, tuple[str, dict[str, str]]] = {}
        self._generations = count(1_700_000_000_000_000)
        self._turn = threading.Lock()

    def get(self, name: str) -> tuple[int, bytes] | None:
        """Generation and content of the live object."""
        with self._turn:
            return self._objects.get(name)

    def put(self, name: str, content: bytes, expected: str | None) -> int | None:
        """The new generation; None if the precondition does not hold."""
        with self._turn:
            there = self._objects.get(name, (0, b""))[0]
            if expected is not None and int(expected) != there:
                self.refused += 1
                return None
            self._objects[name] = (generation := next(self._generations), content)
            return generation

    def begin(self, name: str, query: dict[str, str]) -> str:
        """The id of a resumable upload."""
        session = str(next(self._generations))
        self._sessions[session] = name, query
        return session

    def session(self, session: str) -> tuple[str, dict[str, str]]:
        """Name and query of a resumable upload that was begun."""
        return self._sessions[session]


@contextmanager
def gcs_running(bucket: str) -> Iterator[GcsStandIn]:
    """A stand-in that answers on loopback."""
    held = GcsStandIn(bucket)

    class Handler(_Handler):
        stand_in = held

    with listening(Handler) as port:
        held.url = f"http://127.0.0.1:{port}"
        yield held


class _Handler(BaseHTTPRequestHandler):
    stand_in: GcsStandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, query = self._asked()
        below = f"/storage/v1/b/{self.stand_in.bucket}"
        if path == below:
            self._answer(200, {"kind": "storage#bucket", "name": self.stand_in.bucket})
            return
        is_download = path.startswith("/download")
        name = unquote(path.removeprefix("/download").removeprefix(f"{below}/o/"))
        if is_download and (act := self.stand_in.before_download):
            self.stand_in.before_download = None
            act()
        found = self.stand_in.get(name)
        if found is None:
            if act := self.stand_in.after_missing:
                self.stand_in.after_missing = None
                act()
            self._answer(404, {"error": {"code": 404, "message": f"No such object: {name}"}})
            return
        generation, content = found
        if (
            int(query.get("generation", generation)) != generation
            and self.stand_in.gone == _NOT_FOUND
        ):
            self._answer(404, {"error": {"code": 404, "message": f"No such object: {name}"}})
        elif int(query.get("ifGenerationMatch", generation)) != generation:
            self._refuse()
        elif is_download or query.get("alt") == "media":
            time.sleep(_PAUSE)
            self._send(200, content, "application/octet-stream", _checksums(content))
        else:
            self._answer(200, self._resource(name, generation, content))

    def do_POST(self) -> None:
        _, query = self._asked()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if query["uploadType"] == "resumable":
            name = query.get("name") or json.loads(body)["name"]
            session = self.stand_in.begin(name, query)
            place = f"{self.stand_in.url}/upload/session?upload_id={session}"
            self._send(200, b"", "text/plain", {"Location": place})
            return
        kind = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        said, content = BytesParser().parsebytes(kind + body).get_payload()
        name = json.loads(said.get_payload(decode=True))["name"]
        self._upload(name, content.get_payload(decode=True), query)

    def do_PUT(self) -> None:
        _, asked = self._asked()
        name, query = self.stand_in.session(asked["upload_id"])
        self._upload(name, self.rfile.read(int(self.headers["Content-Length"])), query)

    def _upload(self, name: str, content: bytes, query: dict[str, str]) -> None:
        generation = self.stand_in.put(name, content, query.get("ifGenerationMatch"))
        if generation is None:
            self._refuse()
        elif self.stand_in.loses_answer:
            self.stand_in.loses_answer = False
            self.close_connection = True
        else:
            self._answer(200, self._resource(name, generation, content))

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}

    def _resource(self, name: str, generation: int, content: bytes) -> dict[str, str]:
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": self.stand_in.bucket,
            "generation": str(generation),
            "metageneration": "1",
            "size": str(len(content)),
            "md5Hash": _md5(content),
        }

    def _refuse(self) -> None:
        text = "At least one of the pre-conditions you specified did not hold."
        self._answer(412, {"error": {"code": 412, "message": text}})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        self._send(status, json.dumps(said).encode(), "application/json", {})

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _checksums(content: bytes) -> dict[str, str]:
    return {"X-Goog-Hash": f"md5={_md5(content)}"}
