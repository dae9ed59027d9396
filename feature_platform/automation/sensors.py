"""Everything that automation adds to a project's definitions."""

from collections.abc import Mapping, Sequence

import dagster as dg

from feature_platform.automation.repair_sensors import (
    Automated,
    build_repair_sensor,
    look_at_sources,
)
from feature_platform.automation.settings import AutomationSettings
from feature_platform.graph import FeastGraph
from feature_platform.translator import DagsterFeastTranslator


def build_automation(
    settings: AutomationSettings,
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    closures: Mapping[str, Sequence[dg.AssetKey]],
    jobs: Mapping[str, frozenset[dg.AssetKey]],
) -> list[dg.SensorDefinition]:
    """The sensors that the settings ask for.

    Args:
        settings: What automation may do.
        graph: The repo's graph.
        translator: The one that the definitions are built with.
        closures: For each view that can be materialized, what a run of it takes along.
        jobs: What each job of the project materializes.
    """
    automated = Automated(graph, translator, settings, closures, jobs)
    found = []
    if settings.source_changed and closures:
        found.append(build_repair_sensor("source_changed", look_at_sources, automated))
    return found
