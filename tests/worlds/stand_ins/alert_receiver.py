"""A receiver of alerts on loopback that can answer badly."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from worlds.stand_ins.loopback import listening


@dataclass
class Request:
    """What somebody sent."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def alert(self) -> str:
        """Asset and condition in a dedup key, without the deployment before and the hash behind."""
        key: str = self.json["dedup_key"]
        return key.partition("/")[2].rpartition(" ")[0]


@dataclass
class Receiver:
    """An HTTP server; `behave` says how it answers: a status, ``hang``, or ``vanish``."""

    url: str = ""
    tls: str = ""
    taken: list[Request] = field(default_factory=list)
    refused: list[Request] = field(default_factory=list)
    behave: Callable[[Request], str] = lambda _request: "200"
    retry_after: str = "120"  # of a 429
    clock: datetime | None = None  # what its Date header says; None for the time
    release: threading.Event = field(default_factory=threading.Event)

    def hooks(self, path: str = "/hook") -> list[Any]:
        """What webhooks brought, in order; a delivery that came twice counts once, by its id."""
        found: dict[str, Any] = {}
        for request in self.taken:
            if request.path == path:
                found.setdefault(request.headers["Idempotency-Key"], request.json)
        return list(found.values())

    def told(self, path: str = "/hook") -> list[tuple[str, str]]:
        """Kind and key of each message that webhooks brought."""
        return [(m["kind"], m["key"]) for each in self.hooks(path) for m in each["messages"]]


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        request = Request(self.path, dict(self.headers), self.rfile.read(length))
        if len(request.raw) < length:  # the sender died before it had said all: nothing was sent
            self.close_connection = True
            return
        how = self.receiver.behave(request)
        if how == "hang":
            self.receiver.refused.append(request)
            self.receiver.release.wait(30)
            return
        taken = how in ("200", "vanish")
        (self.receiver.taken if taken else self.receiver.refused).append(request)
        if how == "vanish":  # taken, but nobody hears that it was
            self.close_connection = True
            self.connection.close()
            return
        # What PagerDuty answers; the others look at the status alone.
        body = json.dumps({"status": "success", "dedup_key": "x"}).encode()
        self.send_response(int(how))
        self.send_header("Content-Length", str(len(body)))
        if how == "429":
            self.send_header("Retry-After", self.receiver.retry_after)
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        clock = self.receiver.clock
        return format_datetime(clock, usegmt=True) if clock else super().date_time_string(timestamp)

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, in one file that clients can be told to trust."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver of the tests")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "receiver.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def receiver(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """It listens twice: in plain, and encrypted as PagerDuty's client wants it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    found = Receiver()
    handler = type("Handler", (_Handler,), {"receiver": found})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with listening(handler) as plain, listening(handler, context) as encrypted:
        found.url = f"http://127.0.0.1:{plain}"
        found.tls = f"https://127.0.0.1:{encrypted}"
        yield found
        found.release.set()
