"""Every drift statistic, declared once; verdicts, checks and reports read `STATISTICS`.

A new statistic is a formula here, declared by `_statistic`; one that decides also has a field in
`Thresholds`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from feature_platform.statistics import distances
from feature_platform.statistics.bins import unseen_counts
from feature_platform.statistics.measures import Measure
from feature_platform.statistics.novelty import ID_LIKE, new_share
from feature_platform.statistics.null_distributions import (
    Null,
    exceedance_null,
    kolmogorov_null,
    largest_unseen_null,
    psi_null,
    share_null,
    student_null,
    unseen_null,
)
from feature_platform.statistics.parts import Part
from feature_platform.statistics.thresholds import Thresholds, max_ratio, mean_ratio

_SMALL_EFFECT = 0.15  # standard deviations, as for PSI and Kolmogorov-Smirnov

Features = Literal["all", "numbers", "categories", "open sets", "ids"]
"""Which features a statistic applies to; of ``open sets`` new categories are usual, of ``ids``
nearly all are new."""


@dataclass(frozen=True)
class Effect:
    """A computed statistic, NaN where it does not apply; see `Measure` for the rest."""

    value: float
    null: Null | None = None
    floor: float | None = None
    p_value: float | None = None


_Formula = Callable[[Part, float | None], Effect | None]


@dataclass(frozen=True)
class Statistic:
    """The declaration of one statistic.

    Attributes:
        compute: The formula, from a part of a feature and the effect that matters; None where the
            part lacks what it needs. Named after the statistic, documented with what it measures.
        title: The statistic in sentences and on pages.
        threshold: The field of `Thresholds` with the effect that matters; its own name if empty,
            None for evidence only.
        weight: Its share of the probability of a false alarm, relative to the others: 3 for those
            that see most changes, 1 for those that see a special one, and 6 for the null rate,
            since hardly any other sees nulls.
        in_checks: Whether the check of a feature reports it, for a curve over its runs.
    """

    compute: _Formula
    title: str
    features: Features = "all"
    threshold: str | None = ""
    weight: int = 1
    is_share: bool = False
    in_checks: bool = False

    @property
    def name(self) -> str:
        """Its name in stored comparisons and metadata."""
        return self.compute.__name__

    def measure(self, part: Part, thresholds: Thresholds) -> Measure | None:
        """The measure of `part`, without thresholds yet; None where it does not apply."""
        if not _APPLIES[self.features](part):
            return None
        field = self.threshold
        limit = None if field is None else getattr(thresholds, field or self.name)
        found = self.compute(part, limit)
        if found is None or math.isnan(found.value):
            return None
        null = found.null
        return Measure(
            self.name,
            found.value,
            expected=0.0 if null is None else null.mean,
            floor=None if null is None else found.floor,
            p_value=found.p_value if null is None else null.p(found.value),
            null=null,
        )


def measure(part: Part, thresholds: Thresholds) -> tuple[Measure, ...]:
    """Every statistic that applies to `part`; `Measure.at_level` sets the thresholds."""
    if not part.reference.rows or not part.current.rows:
        return ()
    found = (statistic.measure(part, thresholds) for statistic in STATISTICS.values())
    return tuple(each for each in found if each is not None)


STATISTICS: dict[str, Statistic] = {}
"""The index by name, in the order in which comparisons list them."""


def _statistic(title: str, **declared: Any) -> Callable[[_Formula], _Formula]:
    """Declare the decorated formula as a `Statistic`."""

    def declare(compute: _Formula) -> _Formula:
        STATISTICS[compute.__name__] = Statistic(compute, title, **declared)
        return compute

    return declare


@_statistic("change of the null rate", weight=6, is_share=True)
def null_rate_change(part: Part, limit: float | None) -> Effect:
    """Absolute change of the share of rows without a value."""
    reference, current = part.reference, part.current
    pooled = (reference.nulls + current.nulls + 0.5) / (reference.rows + current.rows + 1)
    between = part.between(part.spread.nulls) / (pooled * (1 - pooled))
    rate = 1 / reference.rows + 1 / current.rows + between
    null = share_null(np.array([pooled]), np.array([1 / rate]), 1 / current.rows)
    return Effect(abs(current.null_rate - reference.null_rate), null, limit)


@_statistic("PSI", weight=3, in_checks=True)
def psi(part: Part, limit: float | None) -> Effect:
    """Population stability index over the bins, null among them."""
    rate = 1 / part.reference.rows + 1 / part.current.rows
    before, now = _sketch_rates(part)
    total = rate + part.between(part.spread.bins) + before + now
    null = psi_null(*part.counts, inflation=total / rate)
    return Effect(distances.psi(*part.counts), null, limit)


@_statistic("Jensen-Shannon distance", threshold=None, in_checks=True)
def jensen_shannon(part: Part, _: float | None) -> Effect:
    """Jensen-Shannon distance of the shares of the bins, from 0 to 1."""
    return Effect(distances.jensen_shannon(*part.counts))


@_statistic("chi-square", threshold=None)
def chi_square(part: Part, _: float | None) -> Effect:
    """Pearson's chi-square of the counts of the bins."""
    found = distances.chi_square(*part.counts)
    return Effect(found[0], p_value=found[2])


@_statistic("Cramér's V", features="categories", threshold=None, in_checks=True)
def cramers_v(part: Part, _: float | None) -> Effect:
    """Association between side and category, from 0 (the same) to 1 (nothing in common)."""
    return Effect(distances.cramers_v(*part.counts))


@_statistic("largest change of a category's share", features="categories", weight=3, is_share=True)
def share_change(part: Part, limit: float | None) -> Effect:
    """Largest absolute change of the share of one category, null and unseen ones left out."""
    n_reference, n_current = part.reference.rows, part.current.rows
    # The last bins, unseen and null, have statistics of their own.
    last = -1 if part.bins.opened else -2
    r, c = part.counts[0][:last], part.counts[1][:last]
    pooled = (r + c + 0.5) / (n_reference + n_current + 1)
    size = 1 / (1 / n_reference + 1 / n_current + part.between(part.spread.bins))
    null = share_null(pooled, np.full(len(r), size), 1 / n_current)
    return Effect(float(np.abs(c / n_current - r / n_reference).max()), null, limit)


@_statistic("share of unseen categories", features="categories", weight=3, is_share=True)
def unseen_share(part: Part, limit: float | None) -> Effect | None:
    """Share of the values whose category the reference does not know."""
    reference, current = part.reference, part.current
    if not reference.values or not current.values or reference.categories is None:
        return None
    unseen = unseen_counts(current, reference)
    value = sum(unseen.values()) / current.values
    if part.bins.opened:
        return Effect(value)
    once = sum(1 for n in reference.categories.counts.values() if n == 1)
    missing = (once + 1) / reference.values if reference.categories.complete else 0.0
    null = unseen_null(
        mean=min(1.0, missing),
        rows=1 / (1 / current.values + part.between(part.spread.bins)),
        share=current.values / (current.values + reference.values),
        categories=max(1, len(reference.categories.counts) + len(unseen)),
    )
    return Effect(value, null, limit)


@_statistic(
    "share of the most frequent new value",
    features="open sets",
    threshold="unseen_share",
    weight=3,
    is_share=True,
)
def largest_unseen_share(part: Part, limit: float | None) -> Effect:
    """Share of the values that is the most frequent one that the reference does not know."""
    reference, current = part.reference, part.current
    unseen = unseen_counts(current, reference)
    null = largest_unseen_null(
        mean=part.novelty.largest,
        rows=current.values,
        share=current.values / (current.values + reference.values),
        categories=max(1, reference.distinct_count + len(unseen)),
    )
    # Twice the threshold: the frequencies of new values vary far more than one value's rows do.
    floor = None if limit is None else 2 * limit
    return Effect(max(unseen.values(), default=0) / current.values, null, floor)


@_statistic("share of new values above the usual", features="open sets", is_share=True)
def new_share_rise(part: Part, limit: float | None) -> Effect | None:
    """Share of the values that are new, above the most that windows of the reference had."""
    novelty = part.novelty
    if novelty.most is None:
        return None
    rows = part.current.values
    value = max(0.0, new_share(part.reference, part.current) - novelty.most)
    # At least one row's worth: where no window had a new value, one may have by chance.
    usual = max(novelty.most, 1 / rows)
    error = math.sqrt(novelty.variance + usual * (1 - usual) / rows)
    return Effect(value, student_null(error, max(1, novelty.windows - 2)), limit)


@_statistic("change of the distinct values over all", features="ids", is_share=True)
def distinct_change(part: Part, limit: float | None) -> Effect | None:
    """Absolute change of distinct values over values, from their mean over the windows."""
    current, novelty = part.current, part.novelty
    if novelty.ratios < 3:  # noqa: PLR2004
        return None
    error = math.sqrt(novelty.distinct_variance * (1 + 1 / novelty.ratios))
    if current.categories is None or not current.categories.complete:
        error = math.hypot(error, current.distinct.error * novelty.distinct)
    value = abs(current.distinct_count / current.values - novelty.distinct)
    return Effect(value, student_null(error, novelty.ratios - 1), limit)


@_statistic("Kolmogorov-Smirnov distance", features="numbers", weight=3, in_checks=True)
def ks(part: Part, limit: float | None) -> Effect:
    """Largest difference of the two empirical distribution functions."""
    assert part.reference.ranks and part.current.ranks  # noqa: S101, PT018 - numbers have ranks
    value = distances.kolmogorov_smirnov(part.reference.ranks, part.current.ranks)
    return Effect(value, kolmogorov_null(1 / _rank_rate(part)), limit)


@_statistic(
    "Wasserstein distance in standard deviations",
    features="numbers",
    threshold=None,
    in_checks=True,
)
def wasserstein(part: Part, _: float | None) -> Effect:
    """Earth mover's distance, in standard deviations of the reference."""
    assert part.reference.ranks and part.current.ranks  # noqa: S101, PT018 - numbers have ranks
    std = part.reference.std
    return Effect(distances.wasserstein(part.reference.ranks, part.current.ranks, std))


@_statistic("change of the share of infinities", features="numbers", is_share=True)
def infinite_share_change(part: Part, limit: float | None) -> Effect | None:
    """Absolute change of the share of the values that are infinite."""
    reference, current = part.reference, part.current
    r, c = ((each.values - each.finite) / each.values for each in (reference, current))
    if not r and not c:
        return None
    rows = reference.values + current.values
    pooled = (reference.values * r + current.values * c + 0.5) / (rows + 1)
    null = share_null(np.array([pooled]), np.array([1 / _rank_rate(part)]), 1 / current.values)
    return Effect(abs(c - r), null, limit)


@_statistic("relative change of the mean", features="numbers")
def mean_change(part: Part, limit: float | None) -> Effect | None:
    """Absolute change of the mean over the absolute mean of the reference."""
    reference, current = part.reference, part.current
    value, scale = mean_ratio(reference, current), abs(reference.mean)
    if math.isnan(value) or reference.finite < 2 or current.finite < 2:  # noqa: PLR2004
        return Effect(value)
    if not math.isfinite(reference.std + current.std):
        return None
    own = reference.std**2 / reference.finite
    # The larger of the two estimates of the window's variance: in long tails mean and standard
    # deviation go together, and the smaller would call a lucky window a change.
    window = max(reference.std, current.std) ** 2 / current.finite
    error = math.sqrt(own + window + part.between(part.spread.mean))
    floor = None if limit is None else max(limit, _SMALL_EFFECT * reference.std / scale)
    return Effect(value, student_null(error / scale, current.finite - 1), floor)


@_statistic("maximum over the reference's maximum", features="numbers")
def max_multiplier(part: Part, limit: float | None) -> Effect:
    """Maximum over the reference's maximum, if that is above zero."""
    reference, current = part.reference, part.current
    value = max_ratio(reference, current)
    if math.isnan(value) or limit is None or current.ranks is None:
        return Effect(value)
    beyond = current.ranks.counts(np.array([np.nextafter(limit * reference.maximum, math.inf)]))
    rows = max(float(beyond[-1]), float(value > limit))
    share = current.finite / (current.finite + reference.finite)
    return Effect(value, exceedance_null(rows, share, limit), limit)


def full_title(statistic: str) -> str:
    """A measure's statistic in a sentence, such as ``PSI of the elements`` for ``elements.psi``."""
    *parts, name = statistic.split(".")
    # A stored comparison may have a statistic that is no longer there.
    title = STATISTICS[name].title if name in STATISTICS else name
    return title + "".join(f" of the {part}" for part in reversed(parts))


def _numbers(part: Part) -> bool:
    sides = (part.reference, part.current)
    return not part.bins.categorical and all(each.ranks and each.values for each in sides)


def _open_set(part: Part) -> bool:
    return part.bins.opened and bool(part.reference.values and part.current.values)


_APPLIES: Mapping[Features, Callable[[Part], bool]] = {
    "all": lambda _: True,
    "numbers": _numbers,
    "categories": lambda part: part.bins.categorical,
    "open sets": _open_set,
    "ids": lambda part: _open_set(part) and part.novelty.share_of(part.reference) >= ID_LIKE,
}


def _rank_rate(part: Part) -> float:
    """Variance of a rank, as a share squared, in units of that of one row."""
    reference, current = part.reference, part.current
    rate = 1 / reference.values + 1 / current.values + part.between(part.spread.ranks)
    return rate + sum(_sketch_rates(part))


def _sketch_rates(part: Part) -> tuple[float, float]:
    """The error of each side's ranks as if from fewer rows: 4 times its variance as a share."""
    sides = (part.reference.ranks, part.current.ranks)
    before, now = (0.0 if ranks is None else 4 * ranks.rank_error**2 for ranks in sides)
    return before, now
