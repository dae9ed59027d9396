"""Everything that automation adds to a project's definitions."""

import dagster as dg

from feature_platform.automation.freshness_sensor import build_freshness_sensor
from feature_platform.automation.repair_sensors import Automated, build_repair_sensor
from feature_platform.automation.settings import CAUSES, AutomationSettings
from feature_platform.graph import FeastGraph
from feature_platform.translator import DagsterFeastTranslator


def build_automation(
    settings: AutomationSettings | None, graph: FeastGraph, translator: DagsterFeastTranslator
) -> list[dg.SensorDefinition]:
    """The sensors that the settings ask for; none without settings, or without views.

    Args:
        settings: What automation may do.
        graph: The repo's graph.
        translator: The one that the definitions are built with.
    """
    if settings is None or all(view.refusal for view in graph.views.values()):
        return []
    automated = Automated.of(graph, translator, settings)
    found = [build_repair_sensor(cause, automated) for cause in CAUSES if settings.allows(cause)]
    if settings.freshness:
        found.append(build_freshness_sensor(graph, translator, settings))
    return found
