"""``feature-platform plan``: what automation would start now, without starting it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click
import dagster as dg

from feature_platform.automation.ranges import Repair
from feature_platform.automation.repair_sensors import Automated, Tick, tick
from feature_platform.automation.settings import CAUSES, AutomationSettings, Cause
from feature_platform.cli.context import dagster_instance, graph_and_views
from feature_platform.graph import FeastGraph
from feature_platform.store.registry import registered_views, windows_of
from feature_platform.translator import DagsterFeastTranslator

# Nothing is left for the next look here: people want to see all of it.
EVERYTHING = AutomationSettings(
    runs_a_tick=1_000_000, runs_at_once=1_000_000, scans_a_tick=1_000_000, scan_seconds=1e9
)
_WHY: dict[Cause, str] = {
    "source_changed": "source changed",
    "definition_changed": "definition changed",
    "gap": "missing",
}


@dataclass(frozen=True)
class Found:
    """What one sensor would do.

    Attributes:
        cause: What it looks for.
        tick: What it found.
        repairs: The runs it would start about the chosen views, in its order.
        offline: Views of which nothing is online by the registry.
    """

    cause: Cause
    tick: Tick
    repairs: tuple[Repair, ...]
    offline: frozenset[str] = frozenset()

    def why(self, repair: Repair) -> str:
        """Why a run would be started, in a word or two."""
        # A new view is materialized by whoever looks for changed definitions, and nothing changed.
        if self.cause == "definition_changed" and set(repair.views) <= self.offline:
            return "nothing online"
        return _WHY[self.cause]


def run(
    *,
    views: Sequence[str],
    causes: Sequence[Cause],
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Print it; 0 if there is nothing to do, else 1."""
    graph, chosen = graph_and_views(repo, profile, start_date, views)
    with dagster_instance() as instance:
        found = look(graph, instance, chosen, causes or CAUSES, datetime.now(UTC))
    if as_json:
        click.echo(json.dumps([plain(each) for each in found]))
    else:
        show(found)
    return 0 if all(_well(each) for each in found) else 1


def look(
    graph: FeastGraph,
    instance: dg.DagsterInstance,
    views: Sequence[str],
    causes: Sequence[Cause],
    now: datetime,
) -> list[Found]:
    """What each sensor would do, by what it has on record of tries; nothing is changed.

    Args:
        graph: The repo's graph.
        instance: Where the sensors keep what they tried.
        views: The views that count.
        causes: The sensors that count.
        now: The moment.
    """
    automated = Automated.of(graph, DagsterFeastTranslator(), EVERYTHING)
    cursors = _cursors(instance)
    registered = registered_views(graph.project.store())
    offline = frozenset(
        name for name in views if name not in registered or not windows_of(registered[name])
    )
    found = []
    for cause in causes:
        cursor = cursors.get(automated.sensor_name(cause))
        ticked = tick(cause, automated, instance, cursor, now, dry=True)
        mine = [
            each
            for each in (*ticked.plan.repairs, *ticked.plan.later)
            if not each.views or set(each.views) & set(views)
        ]
        repairs = tuple(_only(each, views) for each in mine)
        found.append(Found(cause, ticked, repairs, offline))
    return found


def plain(found: Found) -> dict[str, object]:
    """For machines."""
    plan, change = found.tick.plan, found.tick.change
    return {
        "cause": found.cause,
        "apply": None
        if change is None
        else {
            "added": list(change.added),
            "updated": list(change.updated),
            "deleted": list(change.deleted),
        },
        "runs": [
            {
                "why": found.why(each),
                "views": list(each.views),
                "sources": list(each.sources),
                "first": each.first,
                "last": each.last,
                "windows": each.windows,
                "start": each.span.start.isoformat(),
                "end": each.span.end.isoformat(),
            }
            for each in found.repairs
        ],
        "windows_under_way": plan.underway,
        "windows_waiting": plan.waiting,
        "windows_given_up": plan.given_up + sum(len(each.keys) for each in plan.spent),
        "notes": plan.notes,
    }


def show(found: Sequence[Found]) -> None:
    """For people: a line a run, then what is not started and why."""
    if all(_well(each) for each in found):
        click.echo("Nothing to do.")
    for each in found:
        why = _WHY[each.cause]
        if each.tick.change is not None:
            click.echo(f"{'apply':<20} {_applied(each.tick)}")
        for repair in each.repairs:
            names = ", ".join((*repair.views, *repair.sources))
            span = repair.first if repair.windows == 1 else f"{repair.first} to {repair.last}"
            windows = f"{repair.windows} window{'s' * (repair.windows > 1)}"
            click.echo(f"{each.why(repair):<20} {span:<26} {windows:<12} {names}")
        plan = each.tick.plan
        gave_up = plan.given_up + sum(len(spent.keys) for spent in plan.spent)
        for count, said in (
            (plan.underway, "under way"),
            (plan.waiting, "wait for another try"),
            (gave_up, "given up: see their runs, then `feature-platform backfill`"),
        ):
            if count:
                click.echo(f"{why:<20} {count} windows {said}")
        for note in plan.notes:
            click.secho(f"{why:<20} {note}", fg="yellow")


def _well(found: Found) -> bool:
    plan = found.tick.plan
    idle = not (plan.underway or plan.waiting or plan.given_up or plan.spent or plan.notes)
    return found.tick.change is None and not found.repairs and idle


def _applied(found: Tick) -> str:
    assert found.change is not None  # noqa: S101 - asked only where there is one
    change = found.change
    parts = (("adds", change.added), ("updates", change.updated), ("deletes", change.deleted))
    return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)


def _only(repair: Repair, views: Sequence[str]) -> Repair:
    from dataclasses import replace

    return replace(repair, views=tuple(name for name in repair.views if name in views))


def _cursors(instance: dg.DagsterInstance) -> dict[str, str]:
    """What the sensors of this instance have on record, by their names."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import SensorInstigatorData

    return {
        state.name: data.cursor
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        if isinstance(data := state.instigator_data, SensorInstigatorData) and data.cursor
    }
