"""The sensors of automation: one line each."""

from collections.abc import Mapping

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.project_sensor import ProjectSensor
from feature_platform.orchestration.repairs.repair_sensors import REPAIR_CAUSES, repair_sensor
from feature_platform.orchestration.sensors.drift_sensor import DRIFT
from feature_platform.orchestration.sensors.freshness_sensor import FRESHNESS
from feature_platform.orchestration.sensors.online_sensor import ONLINE
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.training.entity_rows import EntityRows

SENSORS: tuple[ProjectSensor, ...] = (
    *map(repair_sensor, REPAIR_CAUSES.values()),
    FRESHNESS,
    ONLINE,
    DRIFT,
)


def build_automation(
    settings: AutomationSettings | None,
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    sets: Mapping[str, EntityRows],
) -> list[dg.SensorDefinition]:
    """The sensors that the settings ask for; none without settings or views to materialize."""
    if settings is None or not graph.materializable:
        return []
    project = AutomatedProject(graph, translator, settings, sets)
    return [sensor.build(project) for sensor in SENSORS if sensor.applies_to(project)]
