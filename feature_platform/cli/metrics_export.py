"""Metrics on an endpoint, pushed to a gateway, or as text: what Prometheus can read."""

import time
from collections.abc import Callable, Iterable, Sequence
from http.client import HTTPException
from urllib.error import HTTPError, URLError

import click
from prometheus_client import CollectorRegistry, generate_latest, push_to_gateway, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from feature_platform.errors import MetricsError

_PUSH_TIMEOUT = 10


class _Newest(Collector):
    """Serves what was computed last: a scrape never waits for a registry or a store."""

    def __init__(self, metrics: Sequence[Metric] = ()) -> None:
        self.metrics = metrics
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def serve_metrics(
    collect: Callable[[], Sequence[Metric]], host: str, port: int, every: int
) -> None:
    """Serve metrics until interrupted.

    Args:
        collect: Computes them.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        every: Seconds between two computations.

    Raises:
        MetricsError: The address cannot be listened on.
    """
    newest = _Newest()
    try:
        server, thread = start_http_server(port, addr=host, registry=newest.registry)
    except OSError as error:
        raise MetricsError(
            f"address {host}:{port}",
            f"cannot be listened on: {error.strerror or error}",
            "choose another with --listen HOST:PORT",
        ) from error
    click.echo(f"metrics on http://{host}:{server.server_port}/metrics", err=True)
    try:
        while True:
            newest.metrics = collect()
            time.sleep(every)
    except KeyboardInterrupt:
        server.shutdown()
        thread.join()


def push_metrics(metrics: Sequence[Metric], gateway: str, project: str) -> None:
    """Push metrics once.

    Raises:
        MetricsError: The Pushgateway did not accept them.
    """
    try:
        push_to_gateway(
            gateway,
            job="feature_platform",
            grouping_key={"project": project},
            registry=_Newest(metrics).registry,
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


def printed(metrics: Sequence[Metric]) -> str:
    """Metrics in the format that Prometheus scrapes."""
    return generate_latest(_Newest(metrics).registry).decode()
