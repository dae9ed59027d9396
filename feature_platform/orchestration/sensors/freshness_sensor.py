"""The sensor that checks the event times that are served, and records the verdicts."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from feature_platform.orchestration.checks.freshness_checks import (
    fresh_evaluation,
    freshness,
    ttl_evaluation,
)
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.project_sensor import ProjectSensor, SensorTick
from feature_platform.orchestration.sensors.stale_cause import why_stale
from feature_platform.orchestration.watch.sensor_context import SensorContext

_log = logging.getLogger(__name__)
# Verdicts that one tick records at most.
_MOST_VERDICTS = 100


@dataclass(frozen=True, kw_only=True)
class FreshnessTick(SensorTick):
    """The result of one tick.

    Attributes:
        stale: Views whose newest row is older than promised.
        checked: How many views were checked.
        reported: How many verdicts were recorded.
    """

    stale: tuple[str, ...]
    checked: int
    reported: int

    def __str__(self) -> str:
        text = f"{self.checked} views checked, {self.reported} verdicts recorded"
        return f"{text}; stale: {', '.join(self.stale)}" if self.stale else text


def freshness_tick(
    project: AutomatedProject, instance: dg.DagsterInstance, cursor: str | None, now: datetime
) -> FreshnessTick:
    """Check event times; record a verdict that differs from the last one, and each once a day.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    recorded: dict[str, str] = {}
    position = ""
    try:
        before = json.loads(cursor or "{}")
        recorded, position = dict(before.get("said", {})), str(before.get("position", ""))
    except (ValueError, AttributeError, TypeError):
        pass
    graph = project.graph
    with project.context(instance, FRESHNESS.name, now) as context:
        found = freshness(context, position=position)
    reported, day = 0, f"{now:%Y%m%d}"
    for name, each in found.views.items():
        key = project.translator.key_of(graph.materializable[name])
        fresh, ttl = fresh_evaluation(each, key), ttl_evaluation(graph.materializable[name], key)
        verdict = f"{fresh.passed:d}{ttl.passed:d} {day}"
        old = recorded.get(name, "")
        if old != verdict and reported < _MOST_VERDICTS:
            fresh = fresh if fresh.passed else _with_cause(fresh, context, name)
            instance.report_runless_asset_event(fresh)
            reported += 1
            if old[1:2] != verdict[1:2]:
                instance.report_runless_asset_event(ttl)
                reported += 1
            recorded[name] = verdict
    kept = {name: verdict for name, verdict in recorded.items() if name in graph.views}
    return FreshnessTick(
        cursor=json.dumps({"said": kept, "position": found.position}),
        stale=tuple(name for name, each in found.views.items() if not each.passed),
        checked=len(found.views),
        reported=reported,
    )


def _with_cause(
    fresh: dg.AssetCheckEvaluation, context: SensorContext, view: str
) -> dg.AssetCheckEvaluation:
    """The verdict on a stale view, with the reason why it is stale."""
    try:
        why = why_stale(context, view)
    except Exception:  # noqa: BLE001 - that it is stale has to be recorded in any case
        _log.warning("cannot determine why feature view '%s' is stale", view, exc_info=True)
        return fresh
    return dg.AssetCheckEvaluation(
        asset_key=fresh.asset_key,
        check_name=fresh.check_name,
        passed=fresh.passed,
        severity=fresh.severity,
        description=f"{fresh.description}; {why}",
        metadata={**fresh.metadata, "feature_platform/cause": why},
    )


FRESHNESS = ProjectSensor(
    name="freshness",
    description="Records which views serve rows older than they promise.",
    tick=freshness_tick,
)
