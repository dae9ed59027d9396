"""What the tick of a sensor works with."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.sensor_memory import Memory

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class SensorContext:
    """What one tick of a sensor works with.

    Attributes:
        graph: The repo's graph.
        translator: The one that the definitions were built with.
        instance: Where materializations are recorded.
        store: The Feast store, for registry and sources.
        settings: The limits of automation.
        memory: What earlier ticks have read; to be updated.
        now: The moment.
    """

    graph: FeastGraph
    translator: DagsterFeastTranslator
    instance: dg.DagsterInstance
    store: "FeatureStore"
    settings: AutomationSettings
    memory: Memory
    now: datetime
