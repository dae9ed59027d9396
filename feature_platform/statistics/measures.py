"""Every statistic of one feature in one window, with its law when nothing has changed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from feature_platform.statistics import distances, noise
from feature_platform.statistics.bins import Bins, unseen_counts
from feature_platform.statistics.novelty import ID_LIKE, Novelty, new_share
from feature_platform.statistics.profiles.arrays import FloatArray, finite_or_none, nan_if_none
from feature_platform.statistics.profiles.profile import Profile
from feature_platform.statistics.reference import Baseline
from feature_platform.statistics.spread import Spread
from feature_platform.statistics.thresholds import Thresholds, max_ratio, mean_ratio

WARN_SHARE = 0.5
_MAIN = ("psi", "ks", "share_change", "unseen_share", "largest_unseen_share")
_SMALL_EFFECT = 0.15  # standard deviations, as for PSI and Kolmogorov-Smirnov


@dataclass(frozen=True)
class Measure:
    """One statistic.

    Attributes:
        statistic: Its name; of a list feature with ``length.`` or ``elements.`` before it.
        value: What was measured; NaN where it does not apply.
        expected: Its expected value when nothing has changed, at these sample sizes.
        floor: Effect above `expected` that matters; None where it does not decide.
        threshold: Above it is drift: `expected` plus the larger of `floor` and what chance gives.
        warn_threshold: Above it is a warning.
        p_value: Chance of such a value when nothing has changed; None where it is not known.
        law: Its law when nothing has changed; not stored.
    """

    statistic: str
    value: float
    expected: float = 0.0
    floor: float | None = None
    threshold: float = math.nan
    warn_threshold: float = math.nan
    p_value: float | None = None
    law: noise.Null | None = field(default=None, repr=False, compare=False)

    @property
    def decides(self) -> bool:
        """Whether it can make a verdict."""
        return self.floor is not None and self.p_value is not None and not math.isnan(self.value)

    @property
    def weight(self) -> int:
        """Its share of the chance of a false alarm, before the shares are made to sum to one.

        The statistics that see most changes get three times that of those that watch one corner;
        the null rate twice that again, since hardly anything else sees nulls.
        """
        plain = self.statistic.rpartition(".")[2]
        if plain == "null_rate_change":
            return 6
        return 3 if plain in _MAIN else 1

    @property
    def severity(self) -> float:
        """Value over threshold, both above `expected`; 1 is where drift begins."""
        if not self.decides or not self.threshold > self.expected:
            return 0.0
        return max(0.0, (self.value - self.expected) / (self.threshold - self.expected))

    @property
    def limited_by(self) -> str:
        """What set the threshold: ``effect`` (smaller does not matter) or ``chance``."""
        if self.floor is None or self.threshold <= self.expected + self.floor * (1 + 1e-9):
            return "effect"
        return "chance"

    def at_level(self, level: float) -> "Measure":
        """With thresholds such that chance alone passes them with probability `level` at most."""
        if self.floor is None or self.law is None:
            return self
        drift, warn = self.expected + self.floor, self.expected + self.floor * WARN_SHARE
        # Asking for a quantile costs; the effects that matter are mostly far beyond chance.
        if self.law.p(warn) > level:
            chance = self.law.quantile(level)
            drift, warn = max(drift, chance), max(warn, chance)
        return replace(self, threshold=drift, warn_threshold=warn)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back, without `law`."""
        return {
            "statistic": self.statistic,
            "value": finite_or_none(self.value),
            "expected": self.expected,
            "floor": self.floor,
            "threshold": finite_or_none(self.threshold),
            "warn_threshold": finite_or_none(self.warn_threshold),
            "p_value": self.p_value,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Measure":
        """What `to_json` wrote."""
        reals = {name: nan_if_none(data[name]) for name in ("value", "threshold", "warn_threshold")}
        if data["floor"] is not None:
            # Where there is a threshold, it is out of reach if it is no finite number.
            reals |= {n: math.inf for n in ("threshold", "warn_threshold") if data[n] is None}
        return cls(**{**data, **reals})


def measure(  # noqa: PLR0917 - each is another thing
    baseline: Baseline,
    current: Profile,
    bins: Bins,
    spread: Spread,
    thresholds: Thresholds,
    novelty: Novelty | None = None,
) -> tuple[Measure, ...]:
    """All measures of a feature that is not a list; `Measure.at_level` sets their thresholds.

    The statistics are those of `feature_platform.statistics.distances`; their laws those of
    `feature_platform.statistics.noise`, at effective sample sizes.
    """
    reference = baseline.profile
    if not reference.rows or not current.rows:
        return ()
    # What the window's own deviation and the baseline's mean deviation add to each variance.
    weight = 1 + 1 / baseline.windows if spread.windows else 0.0
    counts = bins.counts(reference, reference), bins.counts(current, reference)
    found = [
        _null_rate(reference, current, spread.nulls * weight, thresholds),
        *_shape(counts, reference, current, spread.bins * weight, thresholds),
    ]
    if bins.categorical:
        found += _categories(counts, reference, current, spread.bins * weight, thresholds, bins)
        known = novelty or Novelty()
        if bins.opened and reference.values and current.values:
            found.append(_largest_unseen(reference, current, known, thresholds))
            found.append(_new_share_rise(reference, current, known, thresholds))
        if bins.opened and known.share_of(reference) >= ID_LIKE and current.values:
            found.append(_distinct(current, known, thresholds))
    elif reference.ranks is not None and current.ranks is not None:
        found += _numbers(reference, current, spread, weight, thresholds)
    return tuple(each for each in found if not math.isnan(each.value))


def _measured(
    statistic: str, value: float, law: noise.Null | None, floor: float | None = None
) -> Measure:
    p_value = None if law is None or math.isnan(value) else law.p(value)
    return Measure(
        statistic,
        value,
        expected=0.0 if law is None else law.mean,
        floor=floor if law is not None else None,
        p_value=p_value,
        law=law,
    )


def _null_rate(
    reference: Profile, current: Profile, between: float, thresholds: Thresholds
) -> Measure:
    pooled = (reference.nulls + current.nulls + 0.5) / (reference.rows + current.rows + 1)
    rate = 1 / reference.rows + 1 / current.rows + between / (pooled * (1 - pooled))
    law = noise.ShareNull(np.array([pooled]), np.array([1 / rate]), 1 / current.rows)
    change = abs(current.null_rate - reference.null_rate)
    return _measured("null_rate_change", change, law, thresholds.null_rate_change)


def _shape(
    counts: tuple[FloatArray, FloatArray],
    reference: Profile,
    current: Profile,
    between: float,
    thresholds: Thresholds,
) -> Iterator[Measure]:
    rate = 1 / reference.rows + 1 / current.rows
    total = rate + between + _sketch_rate(reference) + _sketch_rate(current)
    law = noise.psi_null(*counts, inflation=total / rate)
    yield _measured("psi", distances.psi(*counts), law, thresholds.psi)
    yield _measured("jensen_shannon", distances.jensen_shannon(*counts), None)
    statistic, _, p_value = distances.chi_square(*counts)
    yield replace(_measured("chi_square", statistic, None), p_value=p_value)


def _categories(  # noqa: PLR0917 - each is another thing
    counts: tuple[FloatArray, FloatArray],
    reference: Profile,
    current: Profile,
    between: float,
    thresholds: Thresholds,
    bins: Bins,
) -> Iterator[Measure]:
    yield _measured("cramers_v", distances.cramers_v(*counts), None)
    rows = reference.rows, current.rows
    # The last bins, unseen and null, have measures of their own.
    last = -1 if bins.opened else -2
    r, c = counts[0][:last], counts[1][:last]
    known = len(r)
    if rows[0] and rows[1]:
        change = float(np.abs(c / rows[1] - r / rows[0]).max())
        pooled = (r + c + 0.5) / (rows[0] + rows[1] + 1)
        sizes = np.full(known, 1 / (1 / rows[0] + 1 / rows[1] + between))
        law = noise.ShareNull(pooled, sizes, 1 / rows[1])
        yield _measured("share_change", change, law, thresholds.share_change)
    if reference.values and current.values and reference.categories is not None:
        unseen = unseen_counts(current, reference)
        once = sum(1 for n in reference.categories.counts.values() if n == 1)
        missing = (once + 1) / reference.values if reference.categories.complete else 0.0
        null = noise.UnseenNull(
            mean=min(1.0, missing),
            rows=1 / (1 / current.values + between),
            share=current.values / (current.values + reference.values),
            categories=max(1, len(reference.categories.counts) + len(unseen)),
        )
        value = sum(unseen.values()) / current.values
        # The expected share is part of the law here, not subtracted twice.
        floor = None if bins.opened else thresholds.unseen_share
        yield _measured("unseen_share", value, None if bins.opened else null, floor)


def _largest_unseen(
    reference: Profile, current: Profile, novelty: Novelty, thresholds: Thresholds
) -> Measure:
    """The share of the most frequent value that the reference does not know."""
    unseen = unseen_counts(current, reference)
    null = noise.LargestUnseenNull(
        mean=novelty.largest,
        rows=current.values,
        share=current.values / (current.values + reference.values),
        categories=max(1, reference.distinct_count + len(unseen)),
    )
    value = max(unseen.values(), default=0) / current.values
    floor = thresholds.unseen_share
    # Twice: sizes of new values vary far more than the rows of one do.
    return _measured("largest_unseen_share", value, null, None if floor is None else 2 * floor)


def _new_share_rise(
    reference: Profile, current: Profile, novelty: Novelty, thresholds: Thresholds
) -> Measure:
    """How much more of the values the reference does not know than it was ever used to."""
    if novelty.most is None:
        return Measure("new_share_rise", math.nan)
    value = max(0.0, new_share(reference, current) - novelty.most)
    # Not less than one row's worth: a set whose windows held nothing new may hold one value.
    usual = max(novelty.most, 1 / current.values)
    error = math.sqrt(novelty.variance + usual * (1 - usual) / current.values)
    law = noise.StudentNull(error, max(1, novelty.windows - 2))
    return _measured("new_share_rise", value, law, thresholds.new_share_rise)


def _distinct(current: Profile, novelty: Novelty, thresholds: Thresholds) -> Measure:
    """How far the distinct values over all values are from what they are in other windows."""
    value = abs(current.distinct_count / current.values - novelty.distinct)
    if novelty.ratios < 3:  # noqa: PLR2004
        return Measure("distinct_change", math.nan)
    error = math.sqrt(novelty.distinct_variance * (1 + 1 / novelty.ratios))
    if current.categories is None or not current.categories.complete:
        error = math.hypot(error, current.distinct.error * novelty.distinct)
    law = noise.StudentNull(error, novelty.ratios - 1)
    return _measured("distinct_change", value, law, thresholds.distinct_change)


def _numbers(
    reference: Profile, current: Profile, spread: Spread, weight: float, thresholds: Thresholds
) -> Iterator[Measure]:
    if not reference.values or not current.values or reference.ranks is None:
        return
    if current.ranks is None:
        return
    rate = 1 / reference.values + 1 / current.values + spread.ranks * weight
    rate += _sketch_rate(reference) + _sketch_rate(current)
    ks = distances.kolmogorov_smirnov(reference.ranks, current.ranks)
    yield _measured("ks", ks, noise.KolmogorovNull(1 / rate), thresholds.ks)
    moved = distances.wasserstein(reference.ranks, current.ranks, reference.std)
    yield _measured("wasserstein", moved, None)
    infinite = [(p.values - p.finite) / p.values for p in (reference, current)]
    if any(infinite):
        pooled = (reference.values * infinite[0] + current.values * infinite[1] + 0.5) / (
            reference.values + current.values + 1
        )
        law = noise.ShareNull(np.array([pooled]), np.array([1 / rate]), 1 / current.values)
        yield _measured(
            *("infinite_share_change", abs(infinite[1] - infinite[0]), law),
            thresholds.infinite_share_change,
        )
    yield _mean(reference, current, spread.mean * weight, thresholds)
    yield _maximum(reference, current, thresholds)


def _mean(reference: Profile, current: Profile, between: float, thresholds: Thresholds) -> Measure:
    value, scale = mean_ratio(reference, current), abs(reference.mean)
    if math.isnan(value) or reference.finite < 2 or current.finite < 2:  # noqa: PLR2004
        return Measure("mean_change", value)
    if not math.isfinite(reference.std + current.std):
        return Measure("mean_change", math.nan)
    own = reference.std**2 / reference.finite
    # Of the two estimates of the window's variance the larger: with a long tail the mean and the
    # standard deviation go together, and the smaller one would call a lucky window a change.
    error = math.sqrt(own + max(reference.std, current.std) ** 2 / current.finite + between)
    law = noise.StudentNull(error / scale, current.finite - 1)
    floor = thresholds.mean_change
    if floor is not None:
        floor = max(floor, _SMALL_EFFECT * reference.std / scale)
    return _measured("mean_change", value, law, floor)


def _maximum(reference: Profile, current: Profile, thresholds: Thresholds) -> Measure:
    value, bound = max_ratio(reference, current), thresholds.max_multiplier
    if math.isnan(value) or bound is None or current.ranks is None:
        return Measure("max_multiplier", value)
    beyond = current.ranks.counts(np.array([np.nextafter(bound * reference.maximum, math.inf)]))
    rows = max(float(beyond[-1]), float(value > bound))
    share = current.finite / (current.finite + reference.finite)
    law = noise.ExceedanceNull(rows, share, bound)
    return _measured("max_multiplier", value, law, bound)


def _sketch_rate(found: Profile) -> float:
    """The error of a sketch's ranks as if from fewer rows: 4 times its variance as a share."""
    return 0.0 if found.ranks is None else 4 * found.ranks.rank_error**2
