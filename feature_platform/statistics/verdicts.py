"""From measures to verdicts: effect sizes decide, beyond chance across the whole family."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from feature_platform.errors import StatisticsError
from feature_platform.statistics.comparison import Comparison, Verdict
from feature_platform.statistics.measures import Measure
from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.thresholds import DEFAULT_THRESHOLDS, Thresholds

NAMES = {
    "psi": "PSI",
    "ks": "Kolmogorov-Smirnov distance",
    "share_change": "largest change of a category's share",
    "null_rate_change": "change of the null rate",
    "unseen_share": "share of unseen categories",
    "largest_unseen_share": "share of the most frequent new value",
    "new_share_rise": "share of new values above the usual",
    "distinct_change": "change of the distinct values over all",
    "infinite_share_change": "change of the share of infinities",
    "mean_change": "relative change of the mean",
    "max_multiplier": "maximum over the reference's maximum",
    "wasserstein": "Wasserstein distance in standard deviations",
    "jensen_shannon": "Jensen-Shannon distance",
    "chi_square": "chi-square",
    "cramers_v": "Cramér's V",
}
"""What a statistic is called in a sentence."""


def benjamini_hochberg(p_values: Sequence[float]) -> FloatArray:
    """Adjusted p-values: those of at most ``q`` are found at false discovery rate ``q``.

    Benjamini and Hochberg (1995). Same order as `p_values`.
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
    """The same comparisons, judged as one family: the features of a window, or of many windows.

    Each measure's threshold becomes what chance passes, somewhere in the family, with probability
    `Thresholds.alpha` at most (Benjamini-Hochberg, and Bonferroni among the measures of a feature,
    weighted),
    or the effect that matters, if that is larger.

    Raises:
        StatisticsError: A comparison was read from storage, without the laws of its measures.
    """
    family = tuple(comparisons)
    judged = [each for each in family if each.reason == "measured"]
    if not judged:
        return family
    for each in judged:
        if any(m.floor is not None and m.law is None for m in each.measures):
            raise StatisticsError(
                f"comparison of {each.feature!r}",
                "it was read from storage, and cannot be corrected again",
                "compare the profiles of all windows in one call of compare_windows",
            )
    p_values = [min(1.0, _feature_p(each)) for each in judged]
    adjusted = benjamini_hochberg(p_values)
    found = max(1, int(np.count_nonzero(adjusted <= thresholds.alpha)))
    level = thresholds.alpha * found / len(judged)
    verdicts = iter(
        _judge(replace(each, p_value=p, adjusted_p=float(q), family=len(judged)), level, thresholds)
        for each, p, q in zip(judged, p_values, adjusted, strict=True)
    )
    return tuple(next(verdicts) if each.reason == "measured" else each for each in family)


def _feature_p(comparison: Comparison) -> float:
    """The least of the deciding measures' p-values, over their weights (Bonferroni)."""
    deciding = [m for m in comparison.measures if m.decides]
    total = sum(each.weight for each in deciding)
    return min((total / m.weight * (m.p_value or 0.0) for m in deciding), default=1.0)


def _judge(comparison: Comparison, level: float, thresholds: Thresholds) -> Comparison:
    total = sum(each.weight for each in comparison.measures if each.decides)
    measures = tuple(m.at_level(level * m.weight / max(1, total)) for m in comparison.measures)
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
        return f"{name} has not drifted: {_told(worst, worst.threshold, 'at most')} {sizes}."
    ordered = sorted(raised, key=lambda each: -each.severity)
    first = ordered[0]
    threshold = first.threshold if verdict == "drift" else first.warn_threshold
    said = "has drifted" if verdict == "drift" else "may be drifting"
    more = "".join(f", {spoken(m.statistic)} {m.value:.3g}" for m in ordered[1:3])
    return f"{name} {said}: {_told(first, threshold, '>')}{more} {sizes}."


def _told(measure: Measure, threshold: float, relation: str) -> str:
    # A threshold without a value is one that no value of so few rows could pass.
    bound = f"{threshold:.3g}" if np.isfinite(threshold) else "what so few rows can show"
    return f"{spoken(measure.statistic)} {measure.value:.3g} {relation} {bound}"


def spoken(statistic: str) -> str:
    """The name of a statistic in a sentence, such as ``PSI of the elements``."""
    part, _, plain = statistic.rpartition(".")
    name = NAMES.get(plain, plain)
    *outer, last = part.split(".")
    inside = "".join(f" of the {each}" for each in reversed(outer))
    return f"{name} of the {last}{inside}" if part else name
