"""``feature-platform rebuild-online``: an empty or damaged online store, from the source again."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from feature_platform.cli.context import graph_and_views
from feature_platform.cli.moments import parse_moment
from feature_platform.drift.drift_settings import DriftSettings
from feature_platform.errors import FeaturePlatformError, WindowError
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import RebuildResult, rebuild_online
from feature_platform.orchestration.checks.drift_gate import DriftReport
from feature_platform.orchestration.checks.online_check import compared_windows, online_evaluation
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.rebuild_due import report_rebuilt
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import DriftData
from feature_platform.orchestration.runs.instance import dagster_instance
from feature_platform.orchestration.runs.rebuild_gates import require_gates


def run(
    *,
    views: Sequence[str],
    as_of: str | None,
    allow_failed_checks: bool,
    empty_first: bool,
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Rebuild each view behind its gate and read it back; 0 if all of them are online again.

    What was read back is put on record as the check ``online_equals_offline``, so that whoever was
    told of the loss is told of its end. The gate is the one a materialization passes: what was
    checked once and has not changed since is not checked again.
    """
    moment = _past("as-of", as_of) if as_of else None
    graph, chosen = graph_and_views(repo, profile, start_date, views)
    store, translator = graph.project.store(), DagsterFeastTranslator()
    settings = DriftSettings.load(graph.project)
    results: list[Rebuilt] = []
    console = Console(stderr=True)
    hidden = as_json or not console.is_terminal
    with dagster_instance() as instance:
        for name in chosen:
            gates = [SourceGate(name, each) for each in _checks(graph, name, translator)]
            drift = _drift(graph, name, translator, settings)
            passed = partial(
                require_gates,
                gates,
                drift,
                instance,
                store,
                moment,
                allow_failed=allow_failed_checks,
            )
            key = translator.get_asset_spec(graph.views[name]).key
            try:
                with Progress(console=console, disable=hidden, transient=True) as bar:
                    show = partial(_show, bar, bar.add_task(name, total=None))
                    result = rebuild_online(
                        store,
                        name,
                        as_of=moment,
                        empty_first=empty_first,
                        progress=show,
                        before=passed,
                    )
                if not result.leaves_vanished:
                    report_rebuilt(instance, key, result.keys_written)
                windows = compared_windows(graph.materializable[name], store)
                said = online_evaluation(compare_online(store, name, windows), key, seed=0)
            except FeaturePlatformError as error:
                # A lost store is lost for all views: what can be served again is.
                results.append(Rebuilt(name, error=error))
                continue
            instance.report_runless_asset_event(said)
            results.append(Rebuilt(name, result, said.passed, str(said.description)))
    if as_json:
        click.echo(json.dumps([each.plain() for each in results], default=str))
    else:
        for each in results:
            click.secho(each.line(), fg="red" if each.error else None, err=bool(each.error))
    if any(each.error for each in results):
        return 2
    return 0 if all(each.equal for each in results) else 1


@dataclass(frozen=True)
class Rebuilt:
    """What became of a view.

    Attributes:
        view: Its name.
        result: What was written; None where it was not rebuilt.
        equal: Whether what was read back is what the source holds.
        read_back: What was found when it was read back.
        error: Why it was not rebuilt, or not read back.
    """

    view: str
    result: RebuildResult | None = None
    equal: bool = False
    read_back: str = ""
    error: FeaturePlatformError | None = None

    def plain(self) -> dict[str, object]:
        """For machines."""
        if self.error is not None or self.result is None:
            error = self.error
            return {
                "view": self.view,
                "error": error
                and {"subject": error.subject, "problem": error.problem, "remedy": error.remedy},
            }
        return {**asdict(self.result), "equal": self.equal, "read_back": self.read_back}

    def line(self) -> str:
        """For people."""
        if self.error is not None or self.result is None:
            return f"error: {self.error}"
        result = self.result
        windows = ", ".join(str(window) for window in result.windows) or "nothing materialized"
        resumed = f", resumed at part {result.resumed_at}" if result.resumed_at else ""
        took = f"{result.keys_written} keys in {result.seconds:.1f} s"
        left = (
            "; keys that have left the source may still be served: --empty-first takes them out"
            if result.leaves_vanished
            else ""
        )
        return f"{self.view}: {took}{resumed}; {windows}; read back: {self.read_back}{left}"


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
    if not isinstance(found, DriftData):
        return None
    return DriftReport(found, translator, settings)


def _checks(graph: FeastGraph, view: str, translator: DagsterFeastTranslator) -> list[SourceChecks]:
    """Those of every table that the view is made from."""
    sources = graph.materializable[view].sources
    return [SourceChecks(each, translator.get_asset_spec(each).key) for each in sources]
