"""The sensor that looks at event times: no run is started, verdicts are put on record."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from feature_platform.orchestration.checks.freshness_checks import (
    fresh_evaluation,
    freshness,
    ttl_evaluation,
)
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.sensors.stale_cause import why_stale
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import remembered
from feature_platform.orchestration.watch.watching_sensor import build_watching_sensor

_log = logging.getLogger(__name__)
# Verdicts put on record at most, each time the sensor looks.
_REPORTS = 100


@dataclass(frozen=True)
class Watch:
    """What one look came to.

    Attributes:
        stale: Views that do not keep their promise.
        looked_at: How many views were looked at.
        reported: How many verdicts were put on record.
        cursor: The next one.
    """

    stale: tuple[str, ...]
    looked_at: int
    reported: int
    cursor: str

    def __str__(self) -> str:
        said = f"{self.looked_at} views looked at, {self.reported} verdicts put on record"
        return f"{said}; stale: {', '.join(self.stale)}" if self.stale else said


def watch_freshness(  # noqa: PLR0917
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    settings: AutomationSettings,
    instance: dg.DagsterInstance,
    cursor: str | None,
    now: datetime,
) -> Watch:
    """Look at event times, and put on record what is new: a verdict that differs, or a new day.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    said: dict[str, str] = {}
    position = ""
    try:
        before = json.loads(cursor or "{}")
        said, position = dict(before.get("said", {})), str(before.get("position", ""))
    except (ValueError, AttributeError, TypeError):
        pass
    with remembered(Path(instance.root_directory), graph.project, "freshness") as memory:
        look = SensorContext(
            graph, translator, instance, graph.project.store(), settings, memory, now
        )
        found = freshness(look, position=position)
    reported, day = 0, f"{now:%Y%m%d}"
    for name, each in found.views.items():
        key = translator.key_of(graph.views[name])
        fresh, ttl = fresh_evaluation(each, key), ttl_evaluation(graph.views[name], key)
        new = f"{fresh.passed:d}{ttl.passed:d} {day}"
        if said.get(name) != new and reported < _REPORTS:
            old = said.get(name, "")
            fresh = fresh if fresh.passed else _with_cause(fresh, look, name)
            instance.report_runless_asset_event(fresh)
            reported += 1
            if old[1:2] != new[1:2]:
                instance.report_runless_asset_event(ttl)
                reported += 1
            said[name] = new
    known = _known(said, graph)
    stale = tuple(name for name, each in found.views.items() if not each.passed)
    after = json.dumps({"said": known, "position": found.position})
    return Watch(stale, len(found.views), reported, after)


def _with_cause(
    fresh: dg.AssetCheckEvaluation, look: SensorContext, view: str
) -> dg.AssetCheckEvaluation:
    """What is said of a stale view, and why it is so: whoever is woken by it wants to know."""
    try:
        why = why_stale(look, view)
    except Exception:  # noqa: BLE001  that it is stale is to be told in any case
        _log.warning("why feature view '%s' is stale cannot be told", view, exc_info=True)
        return fresh
    return dg.AssetCheckEvaluation(
        asset_key=fresh.asset_key,
        check_name=fresh.check_name,
        passed=fresh.passed,
        severity=fresh.severity,
        description=f"{fresh.description}; {why}",
        metadata={**fresh.metadata, "feature_platform/cause": why},
    )


def _known(said: Mapping[str, str], graph: FeastGraph) -> dict[str, str]:
    return {name: each for name, each in said.items() if name in graph.views}


def build_freshness_sensor(
    graph: FeastGraph, translator: DagsterFeastTranslator, settings: AutomationSettings
) -> dg.SensorDefinition:
    """The sensor of one project."""

    def look(instance: dg.DagsterInstance, cursor: str | None) -> tuple[str, str]:
        found = watch_freshness(graph, translator, settings, instance, cursor, datetime.now(UTC))
        return found.cursor, str(found)

    said = "Puts on record which views serve rows older than they promise."
    return build_watching_sensor(graph.project.name, "freshness", said, settings, look)
