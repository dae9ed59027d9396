"""What a run of a view materializes too: the registry, its sources, its drift report."""

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import DriftData


def run_closures(
    graph: FeastGraph, translator: DagsterFeastTranslator
) -> dict[str, list[dg.AssetKey]]:
    """For each view that can be materialized, the keys that a run of it materializes."""
    found: dict[str, list[dg.AssetKey]] = {}
    for name, view in graph.materializable.items():
        keys = [translator.key_of(graph.registry), translator.key_of(view)]
        drift = graph.drifts.get(name)
        keys += [translator.key_of(drift)] if isinstance(drift, DriftData) else []
        # A daily view on a source with hourly partitions checks each hour at its gate.
        keys += [
            translator.key_of(source)
            for source in view.sources
            if source.partitions == view.partitions
        ]
        found[name] = keys
    return found
