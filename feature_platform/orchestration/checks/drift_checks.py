"""Results of the drift checks: no feature is far from its reference."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.checks.report_checks import (
    REPORT,
    WORST_FIRST,
    feature_check_names,
    finite,
    severity,
)
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS
from feature_platform.orchestration.graph.translator_data import DriftData
from feature_platform.orchestration.validation.check_declarations import DRIFT

if TYPE_CHECKING:
    from feature_platform.drift.drift_results import WindowDrift
    from feature_platform.statistics import Comparison

LEFT_OUT = "feature_platform/left_out"
# Sentences in a description.
_MOST_LINES = 5


@dataclass(frozen=True)
class _Judged:
    """The verdict on one window, of the view or of one feature."""

    window: "WindowDrift"
    verdict: str
    sentence: str
    comparisons: "Sequence[Comparison]"

    @property
    def order(self) -> tuple[int, float]:
        """The worst first; of several, the one furthest from its threshold."""
        furthest = max((each.severity for each in self.comparisons), default=0.0)
        return WORST_FIRST.index(self.verdict), -furthest


def drift_check_results(
    found: "Mapping[str, WindowDrift]",
    data: DriftData,
    key: dg.AssetKey,
    pages: Mapping[str, Path],
    left_out: Mapping[str, str] | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """One result per check, over the windows of a run; drift and HTML pages by partition key.

    The check that sums them up has why features are `left_out` in its metadata.
    """
    whole = {
        partition: _Judged(
            each, "ok" if each.passed else each.verdict, each.sentence, each.worst_first
        )
        for partition, each in found.items()
    }
    summary = _result(key, DRIFT.name, whole, pages, _summary)
    if left_out:
        said = "; ".join(f"{feature}: {why}" for feature, why in left_out.items())
        metadata = {**summary.metadata, LEFT_OUT: dg.MetadataValue.text(said)}
        summary = summary._replace(metadata=metadata)
    yield summary
    for feature, name in feature_check_names(data).items():
        judged = {
            partition: _Judged(
                each,
                "ok" if each.passes(one) else each.verdict_of(one),
                each.sentence_of(one),
                [one],
            )
            for partition, each in found.items()
            for one in each.comparisons
            if one.feature == feature
        }
        if judged:
            yield _result(key, name, judged, pages, _numbers)
            continue
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{feature} was not compared: the view no longer defines it; "
            "reload the code location.",
        )


def series(found: "WindowDrift") -> dict[str, Any]:
    """Numbers of one partition; the UI draws each over the partitions."""
    numbers = _counts(found)
    for each in found.comparisons:
        numbers |= finite(
            {
                f"distance/{each.feature}": each.severity,
                f"null_rate/{each.feature}": each.current.null_rate if each.current else math.nan,
                f"mean/{each.feature}": each.current.mean if each.current else math.nan,
            }
        )
    return numbers


def _result(
    key: dg.AssetKey,
    name: str,
    judged: Mapping[str, _Judged],
    pages: Mapping[str, Path],
    numbers: Callable[[_Judged], dict[str, Any]],
) -> dg.AssetCheckResult:
    """The result of one check, with the numbers of its worst window."""
    partition, worst = min(judged.items(), key=lambda each: each[1].order)
    several = len(judged) > 1
    lines = [
        f"{each.window.window}: {each.sentence}" if several else each.sentence
        for each in judged.values()
        if each.verdict != "ok"
    ]
    description = "\n".join(lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        description += f"\nand {len(lines) - _MOST_LINES} more windows"
    if not lines:
        calm = f"No drift in {len(judged)} windows. The nearest: " if several else ""
        description = f"{calm}{worst.sentence}"
    page = {REPORT: dg.MetadataValue.path(pages[partition])} if partition in pages else {}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not lines,
        severity=severity(each.verdict for each in judged.values()),
        description=description,
        metadata={
            VERDICTS: dg.JsonMetadataValue(
                {
                    each: {"passed": one.verdict == "ok", "verdict": one.verdict}
                    for each, one in judged.items()
                }
            ),
            "feature_platform/window": str(worst.window.window),
            **numbers(worst),
            **page,
        },
    )


def _summary(judged: _Judged) -> dict[str, Any]:
    window = judged.window
    version = f", version {window.reference_version}" if window.reference_version else ""
    distance = max((each.severity for each in judged.comparisons), default=math.nan)
    return {
        "feature_platform/reference": f"{window.reference}{version}",
        **_counts(window),
        **finite({"feature_platform/worst_distance": distance}),
    }


def _numbers(judged: _Judged) -> dict[str, Any]:
    """Numbers of one feature; the UI draws each over the runs."""
    from feature_platform.statistics.drift_statistics import STATISTICS

    [comparison] = judged.comparisons
    numbers: dict[str, float] = {"feature_platform/distance": comparison.severity}
    for each in comparison.measures:
        if each.statistic in STATISTICS and STATISTICS[each.statistic].in_checks:
            numbers[f"feature_platform/{each.statistic}"] = each.value
    for side, summary in (("reference", comparison.reference), ("current", comparison.current)):
        if summary is not None:
            numbers[f"feature_platform/{side}_null_rate"] = summary.null_rate
            numbers[f"feature_platform/{side}_mean"] = summary.mean
    found = finite(numbers)
    found["feature_platform/reference_rows"] = comparison.reference_rows
    found["feature_platform/current_rows"] = comparison.current_rows
    worst = comparison.worst
    if worst is not None:
        # Alerts show these.
        found["feature_platform/statistic"] = worst.statistic
        found |= finite(
            {
                "feature_platform/observed": worst.value,
                "feature_platform/threshold": worst.threshold,
            }
        )
    if comparison.bins:
        from feature_platform.reports.pictures import overlay_data_uri

        drawn = overlay_data_uri(comparison)
        found["picture"] = dg.MetadataValue.md(f"![{comparison.feature}]({drawn})")
    return found


def _counts(found: "WindowDrift") -> dict[str, Any]:
    return {
        "feature_platform/features": len(found.comparisons),
        "feature_platform/features_drifted": found.counts["drift"],
        "feature_platform/features_warned": found.counts["warn"],
        "feature_platform/features_insufficient": found.counts["insufficient"],
    }
