"""Source assets: a partition is one window of a source table."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.content_hashes import (
    CONTENT_HASH,
    ROW_COUNT,
    combined_hash,
    source_digests,
)
from feature_platform.orchestration.graph.partitions import run_windows
from feature_platform.orchestration.graph.retries import RETRIES, one_line_failures
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import SourceData

if TYPE_CHECKING:
    from feature_platform.tables.table_builders import TableBuilder


def build_source_asset(
    data: SourceData,
    translator: DagsterFeastTranslator,
    table_builder: "TableBuilder | None",
    retry_policy: dg.RetryPolicy | None = RETRIES,
) -> dg.AssetsDefinition:
    """The asset of one source table; without a builder, the repo does not build it."""
    spec = translator.spec_of(data)
    partitions, project = data.partitions, data.project

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
        required_resource_keys=set(table_builder.resources) if table_builder else set(),
        pool="/".join(spec.key.path) if table_builder else None,
    )
    def source_asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        windows = run_windows(context.run.tags, partitions)
        with one_line_failures():
            if table_builder:
                now = datetime.now(UTC)
                for window in windows.values():
                    built = table_builder.build(project, data.name, window, now, context.resources)
                    context.log.info("built %s %s: %s", data.name, window, built)
            digests = source_digests(project.store(), data, list(windows.values()))
        for key, window in windows.items():
            digest = digests[window]
            context.add_asset_metadata(
                {ROW_COUNT: digest.rows, CONTENT_HASH: digest.content_hash},
                asset_key=spec.key,
                partition_key=key,
            )
        spans = list(windows.values())
        return dg.MaterializeResult(
            asset_key=spec.key,
            metadata={
                "feature_platform/window": str(Window(spans[0].start, spans[-1].end)),
                "feature_platform/rows_in_run": sum(digest.rows for digest in digests.values()),
            },
            data_version=dg.DataVersion(
                combined_hash([digests[window].content_hash for window in spans])
            ),
        )

    return source_asset
