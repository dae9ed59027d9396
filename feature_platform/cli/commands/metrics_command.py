"""``feature-platform metrics``: what Prometheus is told, on an endpoint, pushed, or printed."""

import json
import re
import threading
import time
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIServer

import click
from prometheus_client import CollectorRegistry, generate_latest, push_to_gateway, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from feature_platform.errors import MetricsError
from feature_platform.orchestration.alerting.alert_sensor import alert_sensor_name, state_file
from feature_platform.orchestration.builder import build_feast_definitions
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.runs.instance import dagster_instance
from feature_platform.orchestration.status.platform_metrics import PlatformMetrics
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.ticking import Ticking
from feature_platform.repo.project import FeastProject

_PUSH_TIMEOUT = 10


class _Newest(Collector):
    """Serves what was computed last: a scrape never waits for a registry or a store."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def run(
    *,
    listen: str | None,
    push: str | None,
    every: int,
    alerts_state: str | None,
    online_limit: str | None,
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Serve until interrupted, push once, or print; see the command's help."""
    if listen and push:
        raise MetricsError(
            "--listen and --push",
            "exclude each other",
            "serve metrics for a Prometheus that scrapes, or push them once after a short run",
        )
    graph = FeastGraph(FeastProject(repo, profile), start_date)
    address = _address(listen) if listen else None
    gateway = _gateway(push) if push else None
    limit = _bytes(online_limit) if online_limit else None
    with dagster_instance() as instance:
        definitions = build_feast_definitions(
            graph.project, start_date, automation=AutomationSettings()
        )
        ticking = (*(definitions.sensors or ()), *(definitions.schedules or ()))
        metrics = PlatformMetrics(
            graph,
            instance,
            checks=tuple(definitions.get_repository_def().asset_graph.asset_check_keys),
            alerts=Path(alerts_state)
            if alerts_state
            else state_file(Path(instance.root_directory), graph.project.name),
            alerts_expected=alerts_state is not None,
            ticking=(
                Ticking(alert_sensor_name(graph.project.name), "sensor"),
                *map(Ticking.of, ticking),
            ),
            online_limit=limit,
        )
        newest = _Newest()
        registry = CollectorRegistry()
        registry.register(newest)
        if address:
            _serve(address, registry, newest, metrics, every)
            return 0
        newest.metrics = metrics.collect()
        if gateway:
            _push(gateway, registry, graph.project.name)
        if as_json:
            click.echo(json.dumps(_plain(newest.metrics)))
        elif not gateway:
            click.echo(generate_latest(registry).decode(), nl=False)
    return 0


def _serve(
    address: tuple[str, int],
    registry: CollectorRegistry,
    newest: _Newest,
    metrics: PlatformMetrics,
    every: int,
) -> None:
    host, port = address
    try:
        server, thread = _started(host, port, registry)
    except OSError as error:
        raise MetricsError(
            f"address {host}:{port}",
            f"cannot be listened on: {error.strerror or error}",
            "choose another with --listen HOST:PORT",
        ) from error
    click.echo(f"metrics on http://{host}:{server.server_port}/metrics", err=True)
    try:
        while True:
            newest.metrics = metrics.collect()
            time.sleep(every)
    except KeyboardInterrupt:
        server.shutdown()
        thread.join()


def _started(
    host: str, port: int, registry: CollectorRegistry
) -> tuple[WSGIServer, threading.Thread]:
    return start_http_server(port, addr=host, registry=registry)


def _push(gateway: str, registry: CollectorRegistry, project: str) -> None:
    try:
        push_to_gateway(
            gateway,
            job="feature_platform",
            grouping_key={"project": project},
            registry=registry,
            timeout=_PUSH_TIMEOUT,
        )
    except HTTPError as error:
        raise MetricsError(
            f"Pushgateway '{gateway}'",
            f"took nothing: it answered with status {error.code} ({error.reason})",
            "check that a Pushgateway listens there, and no Prometheus or another server: "
            "its /-/ready answers with OK",
        ) from error
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise MetricsError(
            f"Pushgateway '{gateway}'",
            f"took nothing: {reason}",
            "check its address and that it runs, such as --push http://127.0.0.1:9091",
        ) from error


def _gateway(push: str) -> str:
    """The address of a Pushgateway.

    Raises:
        MetricsError: It is none, or holds a secret.
    """
    remedy = "write it as http://HOST:PORT, such as http://127.0.0.1:9091"
    try:
        # Without a scheme it is taken for http, as prometheus_client does.
        parts = urlsplit(push if "://" in push else f"http://{push}")
        host, _port = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.username or parts.password or "@" in push:
        raise MetricsError(
            "--push",
            "holds an address with credentials in it, which every list of processes would show",
            "leave them out; where the gateway wants them, push through a proxy on this machine",
        )
    if not host or parts.scheme not in ("http", "https"):
        raise MetricsError("--push", f"'{push}' is no address of a Pushgateway", remedy)
    return push


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the last port there is
        raise MetricsError(
            "--listen", f"'{listen}' is no address", "write it as HOST:PORT, such as 127.0.0.1:9464"
        )
    return host or "127.0.0.1", int(port)


def _bytes(said: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)B", said.strip())
    if found is None or not float(found[1]):
        raise MetricsError(
            "--online-limit", f"'{said}' is no size", "write it with its unit: 800MB, 40GB, 1.5TB"
        )
    return round(float(found[1]) * 1000.0 ** " kMGT".index(found[2] or " "))


def _plain(metrics: Iterable[Metric]) -> list[dict[str, object]]:
    return [
        # JSON has no infinity.
        {"name": sample.name, "labels": sample.labels, "value": _finite(sample.value)}
        for metric in metrics
        for sample in metric.samples
    ]


def _finite(value: float) -> float | str:
    return str(value) if value in (float("inf"), float("-inf")) else value
