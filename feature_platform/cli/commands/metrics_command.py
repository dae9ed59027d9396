"""``feature-platform metrics``: metrics for Prometheus, on an endpoint, pushed, or printed."""

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from feature_platform.cli.feast_command import feast_command
from feature_platform.cli.settings_place import SettingsPlace
from feature_platform.errors import MetricsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric


@feast_command(
    "metrics",
    click.option("--listen", help="Serve them there until interrupted: 127.0.0.1:9464."),
    click.option("--push", help="Push them once to this Pushgateway: http://127.0.0.1:9091."),
    click.option(
        "--every",
        default=60,
        type=click.IntRange(1),
        show_default=True,
        help="Seconds between two computations, with --listen.",
    ),
    click.option(
        "--alerts-state",
        type=click.Path(dir_okay=False),
        help="With --repo: the file that the route file names as 'state:', if it does.",
    ),
    click.option(
        "--online-limit",
        help="What the online store can take, where it does not say so itself: 40GB.",
    ),
)
def command(
    place: SettingsPlace,
    *,
    listen: str | None,
    push: str | None,
    every: int,
    alerts_state: str | None,
    online_limit: str | None,
    as_json: bool,
) -> int:
    """Serve, push or print freshness, lag, gaps, rows, checks, drift, keys online, and alerts."""
    from feature_platform.cli.metrics_export import printed, push_metrics, serve_metrics
    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.status.live_metrics import LiveMetrics
    from feature_platform.orchestration.status.platform_metrics import platform_metrics

    if listen and push:
        raise MetricsError(
            "--listen and --push",
            "exclude each other",
            "serve metrics for a Prometheus that scrapes, or push them once after a short run",
        )
    location = place.load()
    address = _address(listen) if listen else None
    gateway = _gateway(push) if push else None
    limit = _bytes(online_limit) if online_limit else None
    with dagster_instance() as instance:
        state = Path(alerts_state) if alerts_state else None
        make = partial(platform_metrics, instance=instance, alerts_state=state, online_limit=limit)
        if address:
            serve_metrics(LiveMetrics(location, make).collect, *address, every)
            return 0
        newest = make(location).collect()
    if gateway:
        push_metrics(newest, gateway, location.project.name)
    if as_json:
        click.echo(json.dumps(_plain(newest)))
    elif not gateway:
        click.echo(printed(newest), nl=False)
    return 0


def _gateway(push: str) -> str:
    """Check the address of a Pushgateway.

    Raises:
        MetricsError: It is not an address, or holds a secret.
    """
    remedy = "write it as http://HOST:PORT, such as http://127.0.0.1:9091"
    try:
        # No scheme means http, as in prometheus_client.
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


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)B", text.strip())
    if found is None or not float(found[1]):
        raise MetricsError(
            "--online-limit", f"'{text}' is no size", "write it with its unit: 800MB, 40GB, 1.5TB"
        )
    return round(float(found[1]) * 1000.0 ** " kMGT".index(found[2] or " "))


def _plain(metrics: "Iterable[Metric]") -> list[dict[str, object]]:
    return [
        # JSON has no infinity.
        {"name": sample.name, "labels": sample.labels, "value": _finite(sample.value)}
        for metric in metrics
        for sample in metric.samples
    ]


def _finite(value: float) -> float | str:
    return str(value) if value in (float("inf"), float("-inf")) else value
