"""Metrics go where they are to go, or the command says why they did not."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from worlds.local_servers import free_port

from feature_platform.cli import main

if TYPE_CHECKING:
    from worlds.samples import Sample

SECRET = "pa55word-of-nothing"  # noqa: S105  of nothing


@pytest.fixture(scope="module")
def sample(make_sample: Callable[..., "Sample"]) -> "Sample":
    return make_sample("field_mappings")


@pytest.fixture
def metrics(
    sample: "Sample", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    options = ["metrics", "--repo", str(sample.repo), "--start-date", "2026-03-01"]

    def run(*more: str) -> Result:
        return CliRunner().invoke(main, [*options, *more])

    return run


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--push http://127.0.0.1:1", "Pushgateway 'http://127.0.0.1:1': took nothing: .*refused"),
        ("--push http://nowhere.invalid:9091", "'http://nowhere.invalid:9091': took nothing: "),
        ("--push ftp://127.0.0.1:9091", "'ftp://127.0.0.1:9091' is no address of a Pushgateway"),
        ("--push http://127.0.0.1:gate", "'http://127.0.0.1:gate' is no address"),
        ("--push http://", "'http://' is no address of a Pushgateway; write it as http://HOST"),
        (f"--push http://me:{SECRET}@127.0.0.1:1", "credentials in it.*; leave them out"),
        (f"--push me:{SECRET}@127.0.0.1:1", "credentials in it"),
        ("--listen somewhere", "'somewhere' is no address; write it as HOST:PORT"),
        ("--listen 127.0.0.1:70000", "'127.0.0.1:70000' is no address"),
        ("--listen nowhere.invalid:9464", "cannot be listened on: .*; choose another"),
        ("--listen :9464 --push http://127.0.0.1:1", "exclude each other"),
        ("--every 0", "0 is not in the range"),
        ("--online-limit 40", "--online-limit: '40' is no size; write it with its unit: 800MB"),
        ("--online-limit 0GB", "'0GB' is no size"),
    ],
)
def test_a_place_that_takes_no_metrics_is_named_with_the_remedy(
    option: str, said: str, metrics: Callable[..., Result]
):
    result = metrics(*option.split())
    assert result.exit_code == 2
    assert re.search(said, result.stderr), result.stderr
    assert "; " in result.stderr or "range" in result.stderr
    assert SECRET not in result.output


def test_a_port_that_is_taken_is_named(metrics: Callable[..., Result]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = metrics("--listen", address)
    assert result.exit_code == 2
    assert f"address {address}: cannot be listened on: Address already in use" in result.stderr


@pytest.fixture
def other_server() -> Iterator[str]:
    """A server that is no Pushgateway, such as Prometheus itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(404)

        def log_message(self, *_args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_that_is_no_pushgateway_is_named_with_what_it_answered(
    other_server: str, metrics: Callable[..., Result]
):
    result = metrics("--push", other_server)
    assert result.exit_code == 2
    assert f"'{other_server}': took nothing: it answered with status 404" in result.stderr
    assert "check that a Pushgateway listens there" in result.stderr


@pytest.fixture
def pushgateway(tmp_path: Path) -> Iterator[str]:
    """A real one."""
    port = free_port()
    with (tmp_path / "pushgateway.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 240
    try:
        while not _ready(url):
            assert time.monotonic() < deadline, (tmp_path / "pushgateway.log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _ready(url: str) -> bool:
    with suppress(OSError):
        return b"OK" in _get(f"{url}/-/ready")
    return False


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  loopback
        found: bytes = answer.read()
        return found


@pytest.mark.server
def test_a_real_pushgateway_takes_every_metric_and_a_second_push_replaces_the_first(
    pushgateway: str, metrics: Callable[..., Result]
):
    printed = {
        line.split("{")[0]
        for line in metrics().stdout.splitlines()
        if line.startswith("feature_platform_")
    }
    result = metrics("--push", pushgateway)
    assert result.exit_code == 0, result.output
    lines = _get(f"{pushgateway}/metrics").decode().splitlines()
    taken = {line.split("{")[0] for line in lines if line.startswith("feature_platform_")}
    assert printed <= taken
    labels = 'job="feature_platform",project="warehouse_stock",view="stock"'
    freshness = f'feature_platform_view_freshness_seconds{{instance="",{labels}}} +Inf'
    assert freshness in lines

    again = metrics("--push", pushgateway.removeprefix("http://"))
    assert again.exit_code == 0, again.output
    lines = _get(f"{pushgateway}/metrics").decode().splitlines()
    assert sum(line.startswith("feature_platform_view_gaps{") for line in lines) == 1
    pushed = [line for line in lines if line.startswith("push_failure_time_seconds{")]
    assert [line.split()[-1] for line in pushed] == ["0"]
