"""Source assets: a partition is one window of a source table."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.assets.retries import RETRIES, one_line_failures
from feature_platform.assets.windows import run_windows
from feature_platform.engine.transformed import why_transformed
from feature_platform.store.project import source_of
from feature_platform.store.windows import Window
from feature_platform.translator import DagsterFeastTranslator, FeastTranslatorData, op_name

if TYPE_CHECKING:
    from feature_platform.assets.source_tables import TableBuilder

CONTENT_HASH = "feature_platform/content_hash"
ROW_COUNT = "dagster/partition_row_count"


def build_source_asset(
    data: FeastTranslatorData,
    translator: DagsterFeastTranslator,
    table_builder: "TableBuilder | None",
    retry_policy: dg.RetryPolicy | None = RETRIES,
) -> dg.AssetsDefinition:
    """The asset of one source table.

    Args:
        data: The source.
        translator: Gives the spec.
        table_builder: Builds windows of the table; None where somebody else does.
        retry_policy: When a failed step is tried again.
    """
    spec = translator.spec_of(data)
    partitions, source, project = data.partitions, data.obj, data.project
    assert partitions is not None  # noqa: S101 - sources are always partitioned
    columns = hashed_columns(data)

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
        required_resource_keys=set(table_builder.resources) if table_builder else set(),
        pool="/".join(spec.key.path) if table_builder else None,
    )
    def source_asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from feature_platform.engine.sources import window_digests

        windows = run_windows(context.run.tags, partitions)
        with one_line_failures():
            if table_builder:
                now = datetime.now(UTC)
                for window in windows.values():
                    built = table_builder.build(project, data.name, window, now, context.resources)
                    context.log.info("built %s %s: %s", data.name, window, built)
            digests = window_digests(project.store(), source, list(windows.values()), columns)
        by_window = {digest.window: digest for digest in digests}
        for key, window in windows.items():
            digest = by_window[window]
            context.add_asset_metadata(
                {ROW_COUNT: digest.rows, CONTENT_HASH: digest.content_hash},
                asset_key=spec.key,
                partition_key=key,
            )
        return dg.MaterializeResult(
            asset_key=spec.key,
            metadata=_run_metadata(windows, sum(digest.rows for digest in digests)),
            data_version=dg.DataVersion(combined_hash([digest.content_hash for digest in digests])),
        )

    return source_asset


def hashed_columns(data: FeastTranslatorData) -> list[str] | None:
    """The columns of a source whose content counts; None counts all of the table's.

    All of them where the repo has a suite, which may look at any; where a transformation reads the
    table, which may use any; and where no schema is known.
    """
    if data.project.suite_file(data.name) is not None:
        return None
    for view in data.project.views.values():
        source = source_of(view)
        if source is not None and source.name == data.name and why_transformed(view):
            return None
    return [column.name for column in data.columns] or None


def _run_metadata(windows: Mapping[str, Window], rows: int) -> dict[str, Any]:
    spans = list(windows.values())
    return {
        "feature_platform/window": str(Window(spans[0].start, spans[-1].end)),
        "feature_platform/rows_in_run": rows,
    }


def combined_hash(hashes: Sequence[str]) -> str:
    """The hash of one window is its own; of several, one over theirs in order of time."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:32]
