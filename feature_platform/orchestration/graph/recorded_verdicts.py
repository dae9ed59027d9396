"""Verdicts of checks on record: those that no check step gave are put there, all are read back."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

VERDICTS = "feature_platform/verdicts"
# How many evaluations back a verdict is looked for; past that the checks are simply run again.
_HISTORY = 50


def record_results(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    results: Iterable[dg.AssetCheckResult],
    *,
    blocking: Collection[str],
) -> None:
    """Report check results as if their check had been run.

    Args:
        instance: Where they are recorded.
        key: The asset they are about.
        results: One for each check, named.
        blocking: Names of the checks whose failure keeps a window from being served.
    """
    for result in results:
        assert result.check_name is not None  # noqa: S101 - the caller names every check
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=result.check_name,
                passed=result.passed,
                severity=result.severity,
                description=result.description,
                metadata=result.metadata,
                blocking=result.check_name in blocking,
            )
        )


def newest_by_partition(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Collection[str], label: str
) -> dict[str, str]:
    """What the newest materialization of each partition that has it says under a label.

    A partition may have been materialized any number of times: pages are read until all are found.
    """
    found: dict[str, str] = {}
    cursor: str | None = None
    while len(found) < len(keys):
        page = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=asset, asset_partitions=list(keys)),
            limit=1000,
            cursor=cursor,
        )
        for record in page.records:
            materialization = record.asset_materialization
            value = materialization.metadata.get(label) if materialization else None
            if record.partition_key and value is not None:
                found.setdefault(record.partition_key, str(value.value))
        if not page.has_more:
            break
        cursor = page.cursor
    return found


def recorded_verdicts(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey
) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """What each evaluation of a check said, by partition, the newest first."""
    records = instance.event_log_storage.get_asset_check_execution_history(check, limit=_HISTORY)
    for record in records:
        # A record that was planned and never came to its verdict holds the plan instead.
        evaluation: Any = record.evaluation
        checked = isinstance(evaluation, dg.AssetCheckEvaluation)
        value = evaluation.metadata.get(VERDICTS) if checked else None
        said = value.value if isinstance(value, dg.JsonMetadataValue) else None
        if isinstance(said, dict):
            yield said


def refused_partitions(
    instance: dg.DagsterInstance,
    specs: Iterable[dg.AssetCheckSpec],
    partitions: Collection[str],
) -> set[str]:
    """Those of the partitions that a blocking check has refused when it saw them last.

    Args:
        instance: Where checks are recorded.
        specs: The checks; those that do not block refuse nothing.
        partitions: Partition keys.
    """
    found: set[str] = set()
    for spec in specs:
        seen: set[str] = set()
        for said in recorded_verdicts(instance, spec.key) if spec.blocking else ():
            found |= {key for key, each in said.items() if key not in seen and _refuses(each)}
            seen |= said.keys()
            if seen.issuperset(partitions):
                break
    return found & set(partitions)


def _refuses(verdict: Mapping[str, Any]) -> bool:
    """A check of a source says why; one of drift has a verdict, of which only the worst blocks."""
    return bool(verdict.get("blocks")) or verdict.get("verdict") == "drift"
