"""What a sensor works with during a tick."""

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
    """The project, its state and the limits of one tick.

    Attributes:
        graph: The repo's graph.
        translator: The one that the definitions were built with.
        instance: The Dagster instance.
        store: The Feast store; reads registry and sources.
        settings: How far back, and how much at a time.
        memory: What earlier ticks read; updated.
        now: The moment.
    """

    graph: FeastGraph
    translator: DagsterFeastTranslator
    instance: dg.DagsterInstance
    store: "FeatureStore"
    settings: AutomationSettings
    memory: Memory
    now: datetime
