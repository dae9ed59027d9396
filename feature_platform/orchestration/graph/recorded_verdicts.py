"""Check results outside of check steps: recorded, and read back."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

VERDICTS = "feature_platform/verdicts"
# Evaluations of a check that are searched for a verdict; without one the check is run again.
_HISTORY = 50


def record_results(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    results: Iterable[dg.AssetCheckResult],
    *,
    blocking: Collection[str],
) -> None:
    """Record check results as if a check step had made them."""
    for result in results:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=str(result.check_name),
                passed=result.passed,
                severity=result.severity,
                description=result.description,
                metadata=result.metadata,
                blocking=result.check_name in blocking,
            )
        )


def as_result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    """The same verdict, as a check step yields it."""
    return dg.AssetCheckResult(
        asset_key=evaluation.asset_key,
        check_name=evaluation.check_name,
        passed=evaluation.passed,
        severity=evaluation.severity,
        description=evaluation.description,
        metadata=evaluation.metadata,
    )


def newest_by_partition(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Collection[str], label: str
) -> dict[str, str]:
    """Metadata `label` of the newest materialization of each partition that has it."""
    found = newest_metadata(instance, asset, keys, label)
    return {key: str(metadata[label].value) for key, metadata in found.items()}


def newest_metadata(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Collection[str], label: str
) -> dict[str, Mapping[str, Any]]:
    """All metadata of the newest materialization of each partition that has `label`.

    Pages are read until each partition is found: any of them may have been materialized often.
    """
    found: dict[str, Mapping[str, Any]] = {}
    cursor: str | None = None
    while len(found) < len(keys):
        page = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=asset, asset_partitions=list(keys)),
            limit=1000,
            cursor=cursor,
        )
        for record in page.records:
            materialization = record.asset_materialization
            metadata: Mapping[str, Any] = materialization.metadata if materialization else {}
            if record.partition_key and metadata.get(label) is not None:
                found.setdefault(record.partition_key, metadata)
        if not page.has_more:
            break
        cursor = page.cursor
    return found


def recorded_verdicts(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey
) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """The verdicts of each evaluation of a check, by partition, the newest first."""
    records = instance.event_log_storage.get_asset_check_execution_history(check, limit=_HISTORY)
    for record in records:
        # A check that was planned and did not finish has a plan in place of an evaluation.
        evaluation: Any = record.evaluation
        checked = isinstance(evaluation, dg.AssetCheckEvaluation)
        value = evaluation.metadata.get(VERDICTS) if checked else None
        verdicts = value.value if isinstance(value, dg.JsonMetadataValue) else None
        if isinstance(verdicts, dict):
            yield verdicts


def refused_partitions(
    instance: dg.DagsterInstance,
    specs: Iterable[dg.AssetCheckSpec],
    partitions: Collection[str],
) -> set[str]:
    """The partitions that failed one of the blocking checks when they were last checked."""
    found: set[str] = set()
    for spec in specs:
        seen: set[str] = set()
        for verdicts in recorded_verdicts(instance, spec.key) if spec.blocking else ():
            found |= {key for key, each in verdicts.items() if key not in seen and _blocks(each)}
            seen |= verdicts.keys()
            if seen.issuperset(partitions):
                break
    return found & set(partitions)


def _blocks(verdict: Mapping[str, Any]) -> bool:
    """Source checks record why they block; of drift, only the worst verdict does."""
    return bool(verdict.get("blocks")) or verdict.get("verdict") == "drift"
