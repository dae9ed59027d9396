"""From measures to verdicts: effect sizes decide, beyond chance across the whole family."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from feature_platform.errors import StatisticsError
from feature_platform.statistics.comparison import Comparison, Verdict
from feature_platform.statistics.drift_statistics import STATISTICS, full_title
from feature_platform.statistics.measures import Measure
from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.thresholds import DEFAULT_THRESHOLDS, Thresholds


def benjamini_hochberg(p_values: Sequence[float]) -> FloatArray:
    """Adjusted p-values, in the same order: those up to ``q`` have false discovery rate ``q``.

    Benjamini and Hochberg (1995).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def correct(
    comparisons: Iterable[Comparison], thresholds: Thresholds = DEFAULT_THRESHOLDS
) -> tuple[Comparison, ...]:
    """Judge comparisons as one family: the features of a window, or of many windows.

    The threshold of each measure is the effect that matters, or if larger what chance exceeds
    somewhere in the family with probability `Thresholds.alpha` at most (Benjamini-Hochberg over
    features, weighted Bonferroni over the measures of one feature).

    Raises:
        StatisticsError: A comparison was read from storage, without null distributions.
    """
    family = tuple(comparisons)
    measured = [each for each in family if each.reason == "measured"]
    if not measured:
        return family
    for each in measured:
        if any(m.floor is not None and m.null is None for m in each.measures):
            raise StatisticsError(
                f"comparison of {each.feature!r}",
                "it was read from storage, and cannot be corrected again",
                "compare the profiles of all windows in one call of compare_windows",
            )
    p_values = [min(1.0, _feature_p(each)) for each in measured]
    adjusted = benjamini_hochberg(p_values)
    rejected = max(1, int(np.count_nonzero(adjusted <= thresholds.alpha)))
    level = thresholds.alpha * rejected / len(measured)
    judged = iter(
        _judge(
            replace(each, p_value=p, adjusted_p=float(q), family=len(measured)), level, thresholds
        )
        for each, p, q in zip(measured, p_values, adjusted, strict=True)
    )
    return tuple(next(judged) if each.reason == "measured" else each for each in family)


def _weight(measure: Measure) -> int:
    return STATISTICS[measure.name].weight


def _feature_p(comparison: Comparison) -> float:
    """The least p-value of the deciding measures, each over its weight (Bonferroni)."""
    deciding = [m for m in comparison.measures if m.decides]
    total = sum(map(_weight, deciding))
    return min((total / _weight(m) * (m.p_value or 0.0) for m in deciding), default=1.0)


def _judge(comparison: Comparison, level: float, thresholds: Thresholds) -> Comparison:
    total = sum(_weight(each) for each in comparison.measures if each.decides)
    measures = tuple(m.at_level(level * _weight(m) / max(1, total)) for m in comparison.measures)
    comparison = replace(comparison, measures=measures)
    drifting = [each for each in measures if each.decides and each.value > each.threshold]
    warning = [each for each in measures if each.decides and each.value > each.warn_threshold]
    few = min(comparison.reference_rows, comparison.current_rows) < thresholds.min_rows
    verdict: Verdict = "drift" if drifting else "insufficient" if few else "ok"
    if verdict == "ok" and warning:
        verdict = "warn"
    sentence = _sentence(comparison, verdict, drifting or warning, thresholds)
    return replace(comparison, verdict=verdict, sentence=sentence)


def _sentence(
    comparison: Comparison, verdict: Verdict, raised: Sequence[Measure], thresholds: Thresholds
) -> str:
    sizes = (
        f"({comparison.current_rows:,} rows against {comparison.reference_rows:,} of the reference)"
    )
    if comparison.basis and verdict != "insufficient":
        sizes += f"; {comparison.basis}"
    name = comparison.feature
    if verdict == "insufficient":
        return (
            f"{name} cannot be judged: {thresholds.min_rows} rows are needed on both sides {sizes}."
        )
    if verdict == "ok":
        worst = comparison.worst
        if worst is None:
            return f"{name} has not changed: neither side holds anything to measure {sizes}."
        return f"{name} has not drifted: {_compared(worst, worst.threshold, 'at most')} {sizes}."
    ordered = sorted(raised, key=lambda each: -each.severity)
    first = ordered[0]
    threshold = first.threshold if verdict == "drift" else first.warn_threshold
    finding = "has drifted" if verdict == "drift" else "may be drifting"
    more = "".join(f", {full_title(m.statistic)} {m.value:.3g}" for m in ordered[1:3])
    return f"{name} {finding}: {_compared(first, threshold, '>')}{more} {sizes}."


def _compared(measure: Measure, threshold: float, relation: str) -> str:
    # No value of so few rows can exceed an infinite threshold.
    bound = f"{threshold:.3g}" if np.isfinite(threshold) else "what so few rows can show"
    return f"{full_title(measure.statistic)} {measure.value:.3g} {relation} {bound}"
