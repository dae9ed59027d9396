"""``feature-platform rebuild-online``: an empty or damaged online store, from the source again."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from feature_platform.checks.drift_gate import DriftReport
from feature_platform.checks.gate import SourceGate
from feature_platform.checks.source_checks import SourceChecks
from feature_platform.cli.context import dagster_instance
from feature_platform.cli.materialize import choose_views
from feature_platform.cli.moments import parse_moment
from feature_platform.errors import WindowError
from feature_platform.graph import FeastGraph
from feature_platform.status import report_rebuilt
from feature_platform.store.drift_settings import DriftSettings
from feature_platform.store.project import FeastProject
from feature_platform.store.rebuild import rebuild_online
from feature_platform.store.registry import materialized_windows
from feature_platform.store.windows import Window
from feature_platform.translator import DagsterFeastTranslator

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from feast import FeatureStore


def run(
    *,
    views: Sequence[str],
    as_of: str | None,
    allow_failed_checks: bool,
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Rebuild each view behind its gate; 0 if all of them are online again.

    The gate is the one a materialization passes: what was checked once and has not changed since
    is not checked again.
    """
    moment = _past("as-of", as_of) if as_of else None
    graph = FeastGraph(FeastProject(repo, profile), start_date)
    store, translator = graph.project.store(), DagsterFeastTranslator()
    settings = DriftSettings.load(graph.project)
    results = []
    with dagster_instance() as instance:
        for name in choose_views(graph, views):
            gates = [SourceGate(name, each) for each in _checks(graph, name, translator)]
            drift = _drift(graph, name, translator, settings)
            passed = partial(
                _pass, gates, drift, instance, store, moment, allow_failed=allow_failed_checks
            )
            with Progress(console=Console(stderr=True), disable=as_json, transient=True) as bar:
                show = partial(_show, bar, bar.add_task(name, total=None))
                result = rebuild_online(store, name, as_of=moment, progress=show, before=passed)
            report_rebuilt(
                instance, translator.get_asset_spec(graph.views[name]).key, result.keys_written
            )
            results.append(result)
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results], default=str))
        return 0
    for result in results:
        windows = ", ".join(str(window) for window in result.windows) or "nothing materialized"
        resumed = f", resumed at part {result.resumed_at}" if result.resumed_at else ""
        took = f"{result.keys_written} keys in {result.seconds:.1f} s"
        click.echo(f"{result.view}: {took}{resumed}; {windows}")
    return 0


def _pass(
    gates: Sequence[SourceGate],
    drift: DriftReport | None,
    instance: "DagsterInstance",
    store: "FeatureStore",
    moment: datetime | None,
    *,
    allow_failed: bool,
) -> None:
    """Let every window through the gate that is to be served; run under the view's lock."""
    log = logging.getLogger(__name__)
    spans = [
        Window(window.start, window.end if moment is None else min(window.end, moment))
        for window in materialized_windows(store, gates[0].view)
        if moment is None or window.start < moment
    ]
    for span in spans:
        for gate in gates:
            gate.require(instance, store, span, allow_failed=allow_failed, log=log)
    if drift is not None and drift.blocking:
        drift.require_online(store, spans, allow_failed=allow_failed, log=log)


def _past(name: str, text: str) -> datetime:
    moment, now = parse_moment(name, text), datetime.now(UTC)
    if moment > now:
        raise WindowError(
            f"{name} '{text}'",
            f"lies in the future (now is {now.isoformat(timespec='seconds')})",
            "leave it out for the newest state",
        )
    return moment


def _show(bar: Progress, task: TaskID, done: int, parts: int) -> None:
    bar.update(task, completed=done, total=parts)


def _drift(
    graph: FeastGraph, view: str, translator: DagsterFeastTranslator, settings: DriftSettings
) -> DriftReport | None:
    found = graph.drifts.get(view)
    return None if found is None else DriftReport(found, translator, settings)


def _checks(graph: FeastGraph, view: str, translator: DagsterFeastTranslator) -> list[SourceChecks]:
    """Those of every table that the view is made from."""
    sources = [each for each in graph.views[view].upstream if each.kind == "source"]
    return [SourceChecks(each, translator.get_asset_spec(each).key) for each in sources]
