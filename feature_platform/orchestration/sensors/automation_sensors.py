"""Everything that automation adds to a project's definitions."""

from collections.abc import Mapping

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.repair_sensors import Automated, build_repair_sensor
from feature_platform.orchestration.sensors.drift_sensor import build_drift_sensor
from feature_platform.orchestration.sensors.freshness_sensor import build_freshness_sensor
from feature_platform.orchestration.sensors.online_sensor import build_online_sensor
from feature_platform.orchestration.watch.automation_settings import CAUSES, AutomationSettings
from feature_platform.training.entity_rows import EntityRows


def build_automation(
    settings: AutomationSettings | None,
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    sets: Mapping[str, EntityRows],
) -> list[dg.SensorDefinition]:
    """The sensors that the settings ask for; none without settings, or without views.

    Args:
        settings: What automation may do.
        graph: The repo's graph.
        translator: The one that the definitions are built with.
        sets: Where the entity rows of training sets come from, by service.
    """
    if settings is None or not graph.materializable:
        return []
    automated = Automated.of(graph, translator, settings)
    found = [build_repair_sensor(cause, automated) for cause in CAUSES if settings.allows(cause)]
    if settings.freshness:
        found.append(build_freshness_sensor(graph, translator, settings))
    if settings.online:
        found.append(build_online_sensor(graph, translator, settings))
    if settings.drift and sets:
        found.append(build_drift_sensor(graph, translator, settings, sets))
    return found
