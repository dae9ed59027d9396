"""Results of the drift checks: no feature is far from its reference."""

import math
from collections.abc import Iterator, Mapping, Sequence
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

# Sentences in a description.
_MOST_LINES = 5


def drift_check_results(
    found: "Mapping[str, WindowDrift]",
    data: DriftData,
    key: dg.AssetKey,
    pages: Mapping[str, Path],
) -> Iterator[dg.AssetCheckResult]:
    """One result per check, over the windows of a run.

    Args:
        found: The drift of each window, by partition key.
        data: The view's drift report.
        key: Its asset.
        pages: HTML reports by partition key.
    """
    yield _summary(found, key, pages)
    for feature, name in feature_check_names(data).items():
        judged = {
            partition: (window, comparison)
            for partition, window in found.items()
            for comparison in window.comparisons
            if comparison.feature == feature
        }
        yield _feature(feature, name, judged, key, pages)


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


def _summary(
    found: "Mapping[str, WindowDrift]", key: dg.AssetKey, pages: Mapping[str, Path]
) -> dg.AssetCheckResult:
    verdicts = {partition: window.verdict for partition, window in found.items()}
    partition = _worst(verdicts, {key: each.worst_first for key, each in found.items()})
    lines = [
        f"{window.window}: {window.sentence}" if len(found) > 1 else window.sentence
        for partition, window in found.items()
        if verdicts[partition] != "ok"
    ]
    window = found[partition]
    worst = max((each.severity for each in window.comparisons), default=math.nan)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=DRIFT.name,
        passed=not lines,
        severity=severity(verdicts.values()),
        description=_joined(lines) or _passed(window.sentence, len(found)),
        metadata={
            VERDICTS: _verdicts(verdicts),
            "feature_platform/window": str(window.window),
            "feature_platform/reference": f"{window.reference}, version {window.reference_version}"
            if window.reference_version
            else window.reference,
            **_counts(window),
            **finite({"feature_platform/worst_distance": worst}),
            **_report(partition, pages),
        },
    )


def _feature(
    feature: str,
    name: str,
    judged: "Mapping[str, tuple[WindowDrift, Comparison]]",
    key: dg.AssetKey,
    pages: Mapping[str, Path],
) -> dg.AssetCheckResult:
    if not judged:
        return dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{feature} was not compared: the view no longer defines it; "
            "reload the code location.",
        )
    verdicts = {partition: window.verdict_of(each) for partition, (window, each) in judged.items()}
    partition = _worst(verdicts, {key: [each] for key, (_, each) in judged.items()})
    lines = [
        f"{window.window}: {window.sentence_of(each)}"
        if len(judged) > 1
        else window.sentence_of(each)
        for partition, (window, each) in judged.items()
        if verdicts[partition] != "ok"
    ]
    window, comparison = judged[partition]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not lines,
        severity=severity(verdicts.values()),
        description=_joined(lines) or _passed(window.sentence_of(comparison), len(judged)),
        metadata={
            VERDICTS: _verdicts(verdicts),
            "feature_platform/window": str(window.window),
            **_numbers(comparison),
            **_picture(comparison),
            **_report(partition, pages),
        },
    )


def _numbers(comparison: "Comparison") -> dict[str, Any]:
    """Numbers of one check; the UI draws each over the runs."""
    from feature_platform.statistics.drift_statistics import STATISTICS

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
    return found


def _picture(comparison: "Comparison") -> dict[str, Any]:
    if not comparison.bins:
        return {}
    from feature_platform.reports.pictures import overlay_data_uri

    drawn = overlay_data_uri(comparison)
    return {"picture": dg.MetadataValue.md(f"![{comparison.feature}]({drawn})")}


def _report(partition: str, pages: Mapping[str, Path]) -> dict[str, Any]:
    return {REPORT: dg.MetadataValue.path(pages[partition])} if partition in pages else {}


def _verdicts(verdicts: "Mapping[str, str]") -> dg.JsonMetadataValue:
    return dg.JsonMetadataValue(
        {
            partition: {"passed": verdict == "ok", "verdict": verdict}
            for partition, verdict in verdicts.items()
        }
    )


def _worst(verdicts: "Mapping[str, str]", found: "Mapping[str, Sequence[Comparison]]") -> str:
    """The partition with the worst verdict; of several, the one furthest from its threshold."""
    return min(
        verdicts,
        key=lambda each: (
            WORST_FIRST.index(verdicts[each]),
            -max((comparison.severity for comparison in found[each]), default=0.0),
        ),
    )


def _joined(lines: Sequence[str]) -> str:
    more = len(lines) - _MOST_LINES
    return "\n".join(lines[:_MOST_LINES]) + (f"\nand {more} more windows" if more > 0 else "")


def _passed(sentence: str, windows: int) -> str:
    return sentence if windows == 1 else f"No drift in {windows} windows. The nearest: {sentence}"


def _counts(found: "WindowDrift") -> dict[str, Any]:
    return {
        "feature_platform/features": len(found.comparisons),
        "feature_platform/features_drifted": found.counts["drift"],
        "feature_platform/features_warned": found.counts["warn"],
        "feature_platform/features_insufficient": found.counts["insufficient"],
    }
