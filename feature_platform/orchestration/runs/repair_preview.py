"""What automation would start now, found without starting it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_ranges import Repair
from feature_platform.orchestration.repairs.repair_sensors import (
    REPAIR_CAUSES,
    RepairTick,
    repair_tick,
)
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause
from feature_platform.registry.windows_on_record import registered_views, windows_of

# Nothing is left for the next look here: people want to see all of it.
EVERYTHING = AutomationSettings(
    runs_a_tick=1_000_000, runs_at_once=1_000_000, scans_a_tick=1_000_000, scan_seconds=1e9
)


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
    tick: RepairTick
    repairs: tuple[Repair, ...]
    offline: frozenset[str] = frozenset()

    def why(self, repair: Repair) -> str:
        """Why a run would be started, in a word or two."""
        # A new view is materialized by whoever looks for changed definitions, and nothing changed.
        if self.cause == "definition_changed" and set(repair.views) <= self.offline:
            return "nothing online"
        return self.label

    @property
    def label(self) -> str:
        """The cause in a word or two."""
        return REPAIR_CAUSES[self.cause].label


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
    project = AutomatedProject(graph, DagsterFeastTranslator(), EVERYTHING)
    cursors = _cursors(instance)
    registered = registered_views(graph.project.store())
    offline = frozenset(
        name for name in views if name not in registered or not windows_of(registered[name])
    )
    found = []
    for cause in causes:
        cursor = cursors.get(project.sensor_name(cause))
        ticked = repair_tick(REPAIR_CAUSES[cause], project, instance, cursor, now, dry=True)
        mine = [
            each
            for each in (*ticked.plan.repairs, *ticked.plan.later)
            if not each.views or set(each.views) & set(views)
        ]
        repairs = tuple(_only(each, views) for each in mine)
        found.append(Found(cause, ticked, repairs, offline))
    return found


def applied(found: RepairTick) -> str:
    """What applying the repo would change, as one line."""
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
