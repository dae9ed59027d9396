"""How far two distributions are apart: formulas alone, on counts or on sketches."""

import math

import numpy as np
from scipy import special

from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.profiles.quantile_sketch import QuantileSketch

_POINTS = 2048  # quantiles that stand for a larger sample in the Wasserstein integral


def psi(reference: FloatArray, current: FloatArray) -> float:
    """Population stability index of two vectors of bin counts: ``sum((c - r) ln(c / r))``.

    A bin empty on one side counts as half a row there, so that the value says how many rows the
    surprise rests on (a fixed clip such as 0.001 does not); a bin empty on both sides says nothing.
    NaN where one side has no rows.
    """
    r, c = _shares(reference, current, empty_as=0.5)
    return float(np.sum((c - r) * np.log(c / r))) if len(r) else math.nan


def jensen_shannon(reference: FloatArray, current: FloatArray) -> float:
    """Jensen-Shannon distance in base 2, from 0 to 1: the root of the divergence.

    Endres and Schindelin (2003). NaN where one side has no rows.
    """
    r, c = _shares(reference, current)
    if not len(r):
        return math.nan
    middle = (r + c) / 2
    nats = (special.rel_entr(r, middle).sum() + special.rel_entr(c, middle).sum()) / 2
    return math.sqrt(max(0.0, float(nats)) / math.log(2))


def chi_square(reference: FloatArray, current: FloatArray) -> tuple[float, int, float]:
    """Pearson's test of homogeneity: statistic, degrees of freedom, p-value.

    NaN, 0 and 1 where there are not two bins and rows on both sides.
    """
    keep = (reference + current) > 0
    table = np.vstack([reference[keep], current[keep]])
    rows = table.sum(axis=1)
    freedom = table.shape[1] - 1
    if freedom < 1 or not rows.all():
        return math.nan, 0, 1.0
    expected = np.outer(rows, table.sum(axis=0)) / rows.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, freedom, float(special.chdtrc(freedom, statistic))


def cramers_v(reference: FloatArray, current: FloatArray) -> float:
    """Cramér's V between window and bin, from 0 (the same) to 1 (nothing in common).

    Both windows weigh the same: with raw counts a long reference would push any V towards 0.
    NaN where one side has no rows.
    """
    r, c = _shares(reference, current)
    if not len(r):
        return math.nan
    # chi-square / N of a table whose rows sum to one half each, and min(2, bins) - 1 = 1.
    return math.sqrt(float(np.sum((r - c) ** 2 / (r + c))) / 2)


def kolmogorov_smirnov(reference: QuantileSketch, current: QuantileSketch) -> float:
    """Greatest difference of the two distribution functions; NaN where one side has no values.

    Between two items of the reference its function is flat and the other one rises, so the greatest
    difference is met at an item of the reference, from the left or from the right.
    """
    if not reference.count or not current.count:
        return math.nan
    items, weights = reference.weighted
    steps = np.cumsum(weights) / reference.count
    before = np.concatenate([[0.0], steps[:-1]])
    left = current.below(items, "left") / current.count
    right = current.below(items, "right") / current.count
    # Items repeat: the function's own left limit is that before the first of a run of equals.
    first = np.searchsorted(items, items, side="left")
    last = np.searchsorted(items, items, side="right") - 1
    return float(max(np.abs(left - before[first]).max(), np.abs(right - steps[last]).max()))


def wasserstein(reference: QuantileSketch, current: QuantileSketch, scale: float) -> float:
    """Earth mover's distance of the finite values over `scale`, such as the reference's std.

    Above 2,048 items a side it is taken over that many quantiles. NaN where a side has no finite
    values, or where `scale` is not above 0.
    """
    if not scale > 0:
        return math.nan
    r, r_weights = _finite(reference)
    c, c_weights = _finite(current)
    if not len(r) or not len(c):
        return math.nan
    both = np.sort(np.concatenate([r, c]), kind="stable")
    r_share = np.concatenate([[0.0], np.cumsum(r_weights) / r_weights.sum()])
    c_share = np.concatenate([[0.0], np.cumsum(c_weights) / c_weights.sum()])
    r_below = r_share[np.searchsorted(r, both[:-1], side="right")]
    c_below = c_share[np.searchsorted(c, both[:-1], side="right")]
    # Scaled first: the difference of two values near the ends of float64 overflows.
    gaps = np.diff(both / scale)
    return float(np.sum(np.abs(r_below - c_below) * gaps))


def _shares(
    reference: FloatArray, current: FloatArray, empty_as: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Shares of the bins that either side fills; two empty arrays where a side has no rows."""
    n_reference, n_current = reference.sum(), current.sum()
    if not n_reference or not n_current:
        return np.empty(0), np.empty(0)
    keep = (reference + current) > 0
    return (
        np.maximum(reference[keep], empty_as) / n_reference,
        np.maximum(current[keep], empty_as) / n_current,
    )


def _finite(sketch: QuantileSketch) -> tuple[FloatArray, FloatArray]:
    items, weights = sketch.weighted
    keep = np.isfinite(items)
    items, shares = items[keep], weights[keep].astype(np.float64)
    if len(items) <= _POINTS:
        return items, shares
    cumulative = np.cumsum(shares)
    middles = (np.arange(_POINTS) + 0.5) / _POINTS * cumulative[-1]
    return items[np.searchsorted(cumulative, middles)], np.ones(_POINTS)
