"""Results of source checks, as Dagster shows and records them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.checks.metadata_tables import metadata_table
from feature_platform.orchestration.graph.content_hashes import CONTENT_HASH
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS

if TYPE_CHECKING:
    from feature_platform.orchestration.validation.outcomes import CheckOutcome, ExpectationOutcome

# Expectations in the table of results, failures first.
_MAX_SHOWN = 100


@dataclass(frozen=True)
class WindowVerdict:
    """The verdicts of all checks on one partition.

    Attributes:
        content_hash: Of the content that was checked.
        rules: Hash of the schema, suite and settings it was checked against.
    """

    partition: str
    window: Window
    content_hash: str
    rules: str
    outcomes: "tuple[CheckOutcome, ...]"

    @property
    def blocks(self) -> str:
        """Why the partition must not be served; empty if it may."""
        return "; ".join(filter(None, map(_blocks, self.outcomes)))


def source_check_results(
    specs: Sequence[dg.AssetCheckSpec], verdicts: Sequence[WindowVerdict]
) -> Iterator[dg.AssetCheckResult]:
    """One result per check, over the windows of a run."""
    for spec in specs:
        per_window = [
            (verdict, outcome)
            for verdict in verdicts
            for outcome in verdict.outcomes
            if outcome.name == spec.name
        ]
        failed = [(verdict, outcome) for verdict, outcome in per_window if not outcome.passed]
        warns = failed and not any(outcome.blocks for _, outcome in failed)
        yield dg.AssetCheckResult(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=not failed,
            severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
            description=_describe(per_window, failed),
            metadata=_metadata(per_window),
        )


def _blocks(outcome: "CheckOutcome") -> str:
    return f"check '{outcome.name}' ({outcome.sentence})" if outcome.blocks else ""


def _describe(
    per_window: "Sequence[tuple[WindowVerdict, CheckOutcome]]",
    failed: "Sequence[tuple[WindowVerdict, CheckOutcome]]",
) -> str:
    if not failed:
        windows = [verdict.window for verdict, _ in per_window]
        count = f" ({len(windows)} windows)" if len(windows) > 1 else ""
        return f"passed on {Window(windows[0].start, windows[-1].end)}{count}"
    lines = [f"{verdict.window}: {outcome.sentence}" for verdict, outcome in failed[:5]]
    more = len(failed) - len(lines)
    return "\n".join(lines) + (f"\nand {more} more windows" if more else "")


def _metadata(per_window: "Sequence[tuple[WindowVerdict, CheckOutcome]]") -> dict[str, Any]:
    several = len(per_window) > 1
    shown = [
        (verdict, result)
        for verdict, outcome in per_window
        for result in sorted(outcome.results, key=lambda result: result.passed)
        # A run of several windows shows failures only.
        if not several or not result.passed
    ]
    metadata: dict[str, Any] = {
        VERDICTS: dg.JsonMetadataValue(
            {
                verdict.partition: {
                    "content_hash": verdict.content_hash,
                    "rules": verdict.rules,
                    "passed": outcome.passed,
                    "blocks": _blocks(outcome),
                }
                for verdict, outcome in per_window
            }
        )
    }
    if shown:
        metadata["results"] = _table(shown[:_MAX_SHOWN], several=several)
    # Not in the table: a whole source row is wider than a page.
    if offending := [
        {
            "window": str(verdict.window),
            "column": result.column,
            "expectation": result.expectation,
            "rows": [dict(row) for row in result.unexpected_rows],
        }
        for verdict, result in shown[:_MAX_SHOWN]
        if result.unexpected_rows
    ]:
        metadata["offending_rows"] = dg.JsonMetadataValue(offending)
    if not several:
        metadata[CONTENT_HASH] = per_window[0][0].content_hash
    return metadata


def _table(
    shown: "Sequence[tuple[WindowVerdict, ExpectationOutcome]]", *, several: bool
) -> dg.TableMetadataValue:
    """One row per expectation; a page has room for four columns."""
    columns = [*(["window"] if several else []), "expectation", "passed", "expected", "observed"]
    return metadata_table(
        {name: "bool" if name == "passed" else "string" for name in columns},
        [
            {
                "window": str(verdict.window),
                "expectation": f"{result.column or 'table'}: {result.expectation}",
                "passed": result.passed,
                "expected": str(result.expected),
                "observed": str(result.observed),
            }
            for verdict, result in shown
        ],
    )
