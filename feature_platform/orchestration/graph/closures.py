"""What a run of a view takes along: the registry, its sources with the checks, its drift."""

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import DriftData


def run_closures(
    graph: FeastGraph, translator: DagsterFeastTranslator
) -> dict[str, list[dg.AssetKey]]:
    """For each view that can be materialized its own key and the keys a run of it takes along.

    Args:
        graph: The repo's graph.
        translator: The one that the definitions are built with.
    """
    found: dict[str, list[dg.AssetKey]] = {}
    for name, view in graph.materializable.items():
        keys = [translator.key_of(graph.registry), translator.key_of(view)]
        drift = graph.drifts.get(name)
        keys += [translator.key_of(drift)] if isinstance(drift, DriftData) else []
        # A source with hourly partitions has its own job; a daily view on it is checked, hour by
        # hour, at its gate.
        keys += [
            translator.key_of(source)
            for source in view.sources
            if source.partitions == view.partitions
        ]
        found[name] = keys
    return found
