"""Verdicts that no check step gave: put on record for the UI and for the next gate."""

from collections.abc import Collection, Iterable

import dagster as dg


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
