"""Feature view assets: a partition puts exactly one window online, once it has passed its gates."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.durations import in_words
from feature_platform.core.windows import Window
from feature_platform.errors import OnlineStoreError, SourceError
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.graph.content_hashes import (
    CONTENT_HASH,
    NOTHING_ONLINE,
    ROW_COUNT,
    combined_hash,
)
from feature_platform.orchestration.graph.partitions import run_windows
from feature_platform.orchestration.graph.rebuild_due import REBUILD_DUE, rebuild_due_observation
from feature_platform.orchestration.graph.retries import RETRIES, one_line_failures
from feature_platform.orchestration.graph.size_metadata import size_metadata
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.repo.computability import why_transformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feast import FeatureStore

    from feature_platform.materialize.materialize_window import MaterializationResult
    from feature_platform.orchestration.checks.drift_gate import DriftReport
    from feature_platform.orchestration.checks.source_gate import SourceGate
    from feature_platform.orchestration.checks.view_gate import ViewGate


class FeatureViewConfig(dg.Config):
    """Configuration of a run of a feature view."""

    allow_failed_checks: bool = False


def build_feature_view_asset(
    data: FeatureViewData,
    translator: DagsterFeastTranslator,
    gates: "Sequence[SourceGate]",
    retry_policy: dg.RetryPolicy | None = RETRIES,
    drift: "DriftReport | None" = None,
) -> dg.AssetsDefinition:
    """The asset of one feature view.

    Args:
        data: The feature view.
        translator: Gives the spec.
        gates: One per source that it reads.
        retry_policy: How failed steps are retried.
        drift: Its drift report, if drift blocks the view.
    """
    spec = translator.spec_of(data)
    partitions, project, view = data.partitions, data.project, data.name

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
        # One view never writes twice at once, while others go on.
        pool="/".join(spec.key.path),
    )
    def feature_view_asset(
        context: dg.AssetExecutionContext, config: FeatureViewConfig
    ) -> dg.MaterializeResult[Any]:
        from feature_platform.orchestration.checks.view_gate import ViewGate
        from feature_platform.registry.registrable import require_refreshed_services
        from feature_platform.registry.registry_apply import ensure_registered

        windows = run_windows(context.run.tags, partitions)
        spans = list(windows.values())
        whole = Window(spans[0].start, spans[-1].end)
        began = datetime.now(UTC)
        with one_line_failures():
            store = project.store()
            if change := ensure_registered(store, project.contents, view):
                context.log.info("'%s' was not in the registry; applied the repo: %s", view, change)
            require_refreshed_services(store, view)
            run = GateRun(context.instance, store, config.allow_failed_checks, context.log)
            gate = ViewGate(view, gates, drift, run)
            write = partial(_materialize, store, view, gate)
            if why_transformed(data.obj):
                # Each partition is computed by itself, so that its rows do not depend on the range
                # of the run; all of them are checked first, so that all are served or none.
                if len(spans) > 1:
                    _require_all(store, view, gate, whole)
                result = _total([write(span) for span in spans])
            else:
                result = write(whole)
        if result.rebuild_due:
            # Also as an observation, so that alerts need not read every materialization.
            context.log_event(rebuild_due_observation(spec.key, whole))
        for key, window in windows.items():
            inside = [digest for digest in gate.passed if window.overlaps(digest.window)]
            rows = sum(digest.rows for digest in inside)
            outlived = _outlived(store, data, window, rows, began)
            if outlived:
                context.log.warning("'%s' %s: nothing went online: %s", view, key, outlived)
            context.add_asset_metadata(
                {
                    ROW_COUNT: rows,
                    CONTENT_HASH: combined_hash([digest.content_hash for digest in inside]),
                    **({NOTHING_ONLINE: outlived} if outlived else {}),
                },
                asset_key=spec.key,
                partition_key=key,
            )
        return dg.MaterializeResult(
            asset_key=spec.key,
            metadata=_metadata(whole, result)
            | _held_online(store, view, context.log)
            | {"dagster/column_lineage": translator.column_lineage(data)},
        )

    return feature_view_asset


def _require_all(store: "FeatureStore", view: str, gate: "ViewGate", whole: Window) -> None:
    from feature_platform.encoding.view_layout import view_layout
    from feature_platform.materialize.window_gate import open_sources
    from feature_platform.registry.windows_on_record import load_view

    layout = view_layout(load_view(store, view))
    with open_sources(store.config, layout, gate, [whole]) as opened:
        gate.require(opened, whole)
    gate.passed.clear()


def _materialize(
    store: "FeatureStore", view: str, gate: "ViewGate", span: Window
) -> "MaterializationResult":
    from feature_platform.materialize.materialize_window import materialize_window

    return materialize_window(store, view, span.start, span.end, gate=gate)


def _held_online(store: "FeatureStore", view: str, log: logging.Logger) -> dict[str, Any]:
    """The number of keys online, from which growth is computed; the write succeeds without it."""
    from feature_platform.online.online_size import online_size

    try:
        found = online_size(store, [view])
    except OnlineStoreError as error:
        log.warning("the keys online were not counted: %s", error)
        return {}
    return {} if found is None else dict(size_metadata(found, view))


def _outlived(
    store: "FeatureStore", data: FeatureViewData, window: Window, rows: int, began: datetime
) -> str:
    """Why nothing of a window went online though it has rows; empty where something did.

    Rows that were older than the TTL when the write began are not written. The source is read for
    the one window that the TTL ends in.
    """
    from feature_platform.sources.event_times import newest_event

    ttl: timedelta | None = data.obj.ttl
    oldest = began - ttl if ttl else None
    if oldest is None or not rows or window.start >= oldest:
        return ""
    if window.end > oldest:
        try:
            newest = [newest_event(store, each.obj, [window]) for each in data.sources]
        except SourceError:
            return ""  # it was read a moment ago: what is online is not in doubt
        if any(moment is None or moment >= oldest for moment in newest):
            return ""
    return f"each of its {rows:,} rows is older than the TTL of {in_words(ttl or timedelta())}"


def _total(results: "Sequence[MaterializationResult]") -> "MaterializationResult":
    """The sum over the partitions of a run."""
    first, last = results[0], results[-1]
    return replace(
        first,
        window=Window(first.window.start, last.window.end),
        rows_read=sum(each.rows_read for each in results),
        keys_written=sum(each.keys_written for each in results),
        rows_without_key=sum(each.rows_without_key for each in results),
        keys_vanished=sum(each.keys_vanished for each in results),
        seconds=sum(each.seconds for each in results),
        rebuild_due=any(each.rebuild_due for each in results),
    )


def _metadata(window: Window, result: "MaterializationResult") -> dict[str, Any]:
    """Metadata of a run; each of its partitions has the counts of the whole run."""
    metadata: dict[str, Any] = {
        "feature_platform/window": str(window),
        "feature_platform/rows_read": result.rows_read,
        "feature_platform/keys_written": result.keys_written,
        "feature_platform/seconds": round(result.seconds, 3),
    }
    # Only what is unusual.
    if result.reason:
        metadata["feature_platform/written_by_feast"] = result.reason
    if result.rows_without_key:
        metadata["feature_platform/rows_without_key"] = result.rows_without_key
    if result.keys_vanished:
        metadata["feature_platform/keys_vanished"] = result.keys_vanished
    if result.rebuild_due:
        metadata[REBUILD_DUE] = True
    return metadata
