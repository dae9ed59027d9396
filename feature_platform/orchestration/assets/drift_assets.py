"""Drift assets: each feature of a window against its reference."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.checks.drift_checks import series
from feature_platform.orchestration.checks.metadata_tables import metadata_table
from feature_platform.orchestration.checks.report_checks import REPORT
from feature_platform.orchestration.graph.partitions import run_windows
from feature_platform.orchestration.graph.retries import RETRIES, one_line_failures
from feature_platform.orchestration.graph.translator import op_name

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.drift.drift_results import WindowDrift
    from feature_platform.orchestration.checks.drift_gate import DriftReport


def build_drift_asset(
    report: "DriftReport", retry_policy: dg.RetryPolicy | None = RETRIES
) -> dg.AssetsDefinition:
    """The asset of one view's drift, with its checks."""
    spec = report.translator.spec_of(report.data)
    partitions = report.data.partitions

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        check_specs=report.specs,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
    )
    def drift_asset(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        windows = run_windows(context.run.tags, partitions)
        with one_line_failures():
            store = report.data.project.store()
            found = report.judge_windows(store, windows)
        pages = report.write_pages(context.instance, found)
        for key, each in found.items():
            metadata = series(each)
            if key in pages:
                metadata[REPORT] = dg.MetadataValue.path(pages[key])
            context.add_asset_metadata(metadata, asset_key=spec.key, partition_key=key)
        newest = next(reversed(found.values()))
        yield dg.MaterializeResult(asset_key=spec.key, metadata={"features": _table(newest)})
        yield from report.results(found, pages)
        # Last, so that the verdicts are recorded even if Feast's metrics refuse the profiles.
        with one_line_failures():
            _write_feast_metrics(report, store, windows.values())

    return drift_asset


def _write_feast_metrics(
    report: "DriftReport", store: "FeatureStore", windows: Iterable[Window]
) -> None:
    """Write the profiles into Feast's own metrics, if the repo has Feast monitor its views."""
    from feature_platform.drift.feast_monitoring import is_monitored, write_metrics

    profiles = report.judge().profiles
    for window in windows:
        if is_monitored(store, window) and (known := profiles.read(window, [])) is not None:
            write_metrics(store, report.data.name, window, known.features)


def _table(found: "WindowDrift") -> dg.TableMetadataValue:
    """The features of the newest window of a run, worst first."""
    return metadata_table(
        ("feature", "verdict", "why"),
        [
            {
                "feature": each.feature,
                "verdict": found.verdict_of(each),
                "why": found.sentence_of(each),
            }
            for each in found.worst_first
        ],
    )
