"""Feature view assets: a partition puts exactly one window online, behind its gate."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window, merge, missing
from feature_platform.errors import OnlineStoreError
from feature_platform.orchestration.graph.content_hashes import (
    CONTENT_HASH,
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
    from feast import FeatureStore

    from feature_platform.materialize.materialize_window import MaterializationResult
    from feature_platform.orchestration.checks.drift_gate import DriftReport
    from feature_platform.orchestration.checks.source_gate import SourceGate
    from feature_platform.sources.window_digests import WindowDigest


class FeatureViewConfig(dg.Config):
    """What a run of a feature view may be told."""

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
        gates: Decide which windows of its source may be served; several where a derived view
            reads several sources.
        retry_policy: When a failed step is tried again.
        drift: The view's drift, which is asked where it blocks.
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
        from feature_platform.materialize.materialize_window import materialize_window
        from feature_platform.registry.registry_apply import ensure_registered

        windows = run_windows(context.run.tags, partitions)
        spans = list(windows.values())
        whole = Window(spans[0].start, spans[-1].end)
        passed: list[WindowDigest] = []
        with one_line_failures():
            store = project.store()
            if change := ensure_registered(store, project.contents, view):
                context.log.info("'%s' was not in the registry; applied the repo: %s", view, change)

            def check(span: Window) -> None:
                # Under the view's lock: what is checked now is what is written next.
                for gate in gates:
                    passed.extend(
                        gate.require(
                            context.instance,
                            store,
                            span,
                            allow_failed=config.allow_failed_checks,
                            log=context.log,
                        )
                    )
                if drift is not None and drift.blocking:
                    drift.require(
                        context.instance,
                        store,
                        windows,
                        allow_failed=config.allow_failed_checks,
                        log=context.log,
                    )

            def materialize(span: Window) -> "MaterializationResult":
                return materialize_window(
                    store,
                    view,
                    span.start,
                    span.end,
                    before=partial(check, span),
                    may_serve=None
                    if config.allow_failed_checks
                    else partial(
                        _servable,
                        gates=gates,
                        drift=drift,
                        instance=context.instance,
                        store=store,
                        passed=span,
                        log=context.log,
                    ),
                )

            if why_transformed(data.obj):
                # What is computed is a function of its partition, whatever range it is part of; and
                # if one of them has failed its checks, none is served, as with other views.
                check(whole)
                passed.clear()
                result = _total([materialize(span) for span in spans])
            else:
                result = materialize(whole)
        if result.rebuild_due:
            # Also as an observation: whoever tells people need not read every materialization.
            context.log_event(rebuild_due_observation(spec.key, whole))
        for key, window in windows.items():
            inside = [digest for digest in passed if window.overlaps(digest.window)]
            context.add_asset_metadata(
                {
                    ROW_COUNT: sum(digest.rows for digest in inside),
                    CONTENT_HASH: combined_hash([digest.content_hash for digest in inside]),
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


def _servable(
    spans: Sequence[Window],
    *,
    gates: "Sequence[SourceGate]",
    drift: "DriftReport | None",
    instance: dg.DagsterInstance,
    store: "FeatureStore",
    passed: Window,
    log: logging.Logger,
) -> list[Window]:
    """What of the windows already online has passed; `passed` has just been through the gate."""
    others = missing(spans, [passed])
    for gate in gates:
        others = gate.servable(instance, store, others, log=log)
    if drift is not None and drift.blocking:
        others = drift.servable(store, others, log=log)
    return merge([*others, *(each for span in spans if (each := span.intersection(passed)))])


def _held_online(store: "FeatureStore", view: str, log: logging.Logger) -> dict[str, Any]:
    """How much is online now, from which growth is told; what was written is so without it."""
    from feature_platform.online.online_size import online_size

    try:
        found = online_size(store, [view])
    except OnlineStoreError as error:
        log.warning("what is online was not counted: %s", error)
        return {}
    return {} if found is None else dict(size_metadata(found, view))


def _total(results: "Sequence[MaterializationResult]") -> "MaterializationResult":
    """What the partitions of a run did together."""
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
    """What a run did; the counts of a run of several partitions stand at each of them."""
    metadata: dict[str, Any] = {
        "feature_platform/window": str(window),
        "feature_platform/rows_read": result.rows_read,
        "feature_platform/keys_written": result.keys_written,
        "feature_platform/seconds": round(result.seconds, 3),
    }
    # What is as it should be needs no line.
    if result.reason:
        metadata["feature_platform/written_by_feast"] = result.reason
    if result.rows_without_key:
        metadata["feature_platform/rows_without_key"] = result.rows_without_key
    if result.keys_vanished:
        metadata["feature_platform/keys_vanished"] = result.keys_vanished
    if result.rebuild_due:
        metadata[REBUILD_DUE] = True
    return metadata
