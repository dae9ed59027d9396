"""The registry asset: `feast apply`, with its changes as metadata."""

from typing import Any

import dagster as dg

from feature_platform.orchestration.graph.retries import RETRIES, one_line_failures
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import RegistryData


def build_registry_asset(
    data: RegistryData,
    translator: DagsterFeastTranslator,
    retry_policy: dg.RetryPolicy | None = RETRIES,
) -> dg.AssetsDefinition:
    """The asset of a project's registry."""
    spec = translator.spec_of(data)
    project = data.project

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        # It has no partitions, but Dagster's --partition-range asks it of every selected asset.
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
        pool="/".join(spec.key.path),
    )
    def registry_asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from feature_platform.registry.registry_apply import apply

        with one_line_failures():
            change = apply(project.store(), project.contents)
        context.log.info("feast apply: %s", change.text)
        return dg.MaterializeResult(
            asset_key=spec.key,
            metadata={
                "feature_platform/added": list(change.added),
                "feature_platform/updated": list(change.updated),
                "feature_platform/deleted": list(change.deleted),
                "feature_platform/plan": dg.MetadataValue.md(f"```\n{change.text}\n```"),
            },
        )

    return registry_asset
