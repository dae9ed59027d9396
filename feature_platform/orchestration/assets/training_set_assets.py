"""Training set assets: a service's features as of each entity row, one snapshot per window."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.checks.training_set_checks import (
    check_result,
    judge,
    training_set_checks,
)
from feature_platform.orchestration.graph.content_hashes import ROW_COUNT, combined_hash
from feature_platform.orchestration.graph.partitions import run_windows
from feature_platform.orchestration.graph.retries import RETRIES, one_line_failures
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import TrainingSetData
from feature_platform.tables.raw_tables import raw_table_binder
from feature_platform.training.entity_rows import EntityRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feature_platform.core.windows import Window
    from feature_platform.orchestration.checks.training_set_checks import BuiltSet
    from feature_platform.training.training_set import TrainingSet

VERSION = "feature_platform/version"


@dataclass(frozen=True)
class TrainingSetSettings:
    """The entity rows of a service's training set, and the folder of its snapshots."""

    rows: EntityRows
    folder: Path


def build_training_set_asset(
    data: TrainingSetData,
    translator: DagsterFeastTranslator,
    settings: TrainingSetSettings,
    retry_policy: dg.RetryPolicy | None = RETRIES,
) -> dg.AssetsDefinition:
    """The asset of one service's training set, with its checks."""
    spec = translator.spec_of(data)
    partitions, project, rows = data.partitions, data.project, settings.rows
    checks = training_set_checks(spec.key, rows)

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        check_specs=checks,
        # Also without partitions: Dagster's --partition-range asks it of every selected asset.
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
        pool="/".join(spec.key.path),
    )
    def training_set_asset(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from feature_platform.training.entity_rows import read_entity_rows
        from feature_platform.training.leak_probe import probe_training_set
        from feature_platform.training.saved_datasets import register
        from feature_platform.training.training_set import build_training_set

        windows: dict[str | None, Window | None] = {None: None}
        if partitions:
            windows = dict(run_windows(context.run.tags, partitions).items())
        built: list[BuiltSet] = []
        now = datetime.now(UTC)
        with one_line_failures():
            store = project.store()
            bind = raw_table_binder(project)
            for key, window in windows.items():
                entities = read_entity_rows(project, rows, window, now=now, bind=bind)
                made = build_training_set(
                    project,
                    data.name,
                    entities,
                    settings.folder,
                    timestamp=rows.timestamp,
                    origin=rows.origin,
                    label=rows.label,
                    partition=key,
                    known_by=rows.known_by,
                    progress=partial(context.log.info, "%s: %s", key or data.name),
                )
                table = made.to_arrow()
                probed = probe_training_set(
                    store,
                    store.get_feature_service(data.name),
                    table,
                    rows.timestamp,
                    seed=int(made.version, 16),
                    known_by=rows.known_by,
                )
                register(store, made)
                built.append(judge(made, table, probed, entities.num_rows, rows.label))
                if key is not None:
                    context.add_asset_metadata(
                        _metadata(made), asset_key=spec.key, partition_key=key
                    )
        versions = [each.made.version for each in built]
        yield dg.MaterializeResult(
            asset_key=spec.key,
            metadata=_run_metadata([each.made for each in built]),
            data_version=dg.DataVersion(combined_hash(versions)),
            check_results=[check_result(check, built) for check in checks],
        )

    return training_set_asset


def _metadata(made: "TrainingSet") -> dict[str, Any]:
    metadata: dict[str, Any] = {
        ROW_COUNT: made.rows,
        VERSION: made.version,
        "feature_platform/snapshot": dg.MetadataValue.path(str(made.snapshot.folder)),
    }
    if made.changes:
        metadata["feature_platform/changes"] = dg.MetadataValue.md(
            "\n".join(f"- {change}" for change in made.changes)
        )
    return metadata


def _run_metadata(made: "Sequence[TrainingSet]") -> dict[str, Any]:
    if len(made) == 1:
        return _metadata(made[0])
    return {
        "feature_platform/rows_in_run": sum(each.rows for each in made),
        "feature_platform/snapshots": len(made),
        "feature_platform/snapshots_changed": sum(bool(each.changes) for each in made),
    }
