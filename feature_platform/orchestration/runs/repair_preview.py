"""The runs that automation would start now, found without starting them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import SensorInstigatorData

from feature_platform.errors import FeaturePlatformError, reason_of
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_plans import RepairPlan
from feature_platform.orchestration.repairs.repair_ranges import Repair
from feature_platform.orchestration.repairs.repair_sensors import (
    REPAIR_CAUSES,
    RepairTick,
    repair_tick,
)
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause
from feature_platform.registry.windows_on_record import registered_views, windows_of


@dataclass(frozen=True)
class Preview:
    """What one sensor would do.

    Attributes:
        cause: What the sensor looks for.
        tick: What it found.
        repairs: The runs it would start for the chosen views, in its order.
        offline: Views without a window online.
        error: Why nothing can be said of this cause; None as a rule.
    """

    cause: Cause
    tick: RepairTick
    repairs: tuple[Repair, ...]
    offline: frozenset[str] = frozenset()
    error: FeaturePlatformError | None = None

    @property
    def cause_in_words(self) -> str:
        """The cause, for people."""
        return REPAIR_CAUSES[self.cause].label

    def why(self, repair: Repair) -> str:
        """Why a run would be started, in a word or two."""
        # The sensor of changed definitions also materializes new views, where nothing has changed.
        if self.cause == "definition_changed" and set(repair.views) <= self.offline:
            return "nothing online"
        return self.cause_in_words

    @property
    def given_up(self) -> int:
        """Windows that failed too often to be tried again."""
        return self.tick.plan.all_given_up

    @property
    def applied(self) -> str:
        """What applying the repo would change, as one line; empty where nothing is to be applied.

        Such as ``adds feature view x; updates entity y``.
        """
        return self.tick.change.in_words if self.tick.change else ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be started, and nothing waits or was given up."""
        plan = self.tick.plan
        idle = not (plan.underway or plan.waiting or self.given_up or plan.notes)
        return self.error is None and self.tick.change is None and not self.repairs and idle


def preview(
    location: FeastCodeLocation,
    instance: dg.DagsterInstance,
    views: Sequence[str],
    causes: Sequence[Cause],
    now: datetime,
) -> list[Preview]:
    """What each sensor would do, given the attempts on record; nothing is changed.

    Args:
        location: The project, with the limits of its automation; those per tick do not count here.
        instance: Where the sensors keep their attempts.
        views: The views to show.
        causes: The sensors to show.
        now: The moment.
    """
    settings = replace(
        location.automation or AutomationSettings(),
        runs_a_tick=1_000_000,
        runs_at_once=1_000_000,
        scans_a_tick=1_000_000,
        scan_seconds=1e9,
    )
    project = AutomatedProject(location.graph, location.translator, settings)
    cursors = _cursors(instance)
    registered = registered_views(location.project.store())
    offline = frozenset(
        name for name in views if name not in registered or not windows_of(registered[name])
    )
    found = []
    for cause in causes:
        cursor = cursors.get(project.sensor_name(cause))
        try:
            ticked = repair_tick(REPAIR_CAUSES[cause], project, instance, cursor, now, dry=True)
        except Exception as error:  # noqa: BLE001 - one cause's trouble is not another's
            nothing = RepairTick(cursor="", plan=RepairPlan())
            found.append(Preview(cause, nothing, (), offline, _ours(cause, error)))
            continue
        repairs = tuple(
            replace(each, views=tuple(name for name in each.views if name in views))
            for each in (*ticked.plan.repairs, *ticked.plan.later)
            if not each.views or set(each.views) & set(views)
        )
        found.append(Preview(cause, ticked, repairs, offline))
    return found


def _cursors(instance: dg.DagsterInstance) -> dict[str, str]:
    """The cursors of this instance's sensors, by name."""
    return {
        state.name: data.cursor
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        if isinstance(data := state.instigator_data, SensorInstigatorData) and data.cursor
    }


def _ours(cause: Cause, error: Exception) -> FeaturePlatformError:
    if isinstance(error, FeaturePlatformError):
        return error
    return FeaturePlatformError(
        f"cause '{cause}'",
        f"it could not be looked into ({reason_of(error)})",
        "run feature-platform doctor, which says what can be reached",
    )
