"""Null distributions: what each statistic does when nothing has changed, at given sample sizes.

Sizes are effective ones, see `feature_platform.statistics.spread`: `n` rows of the current window
and `m` of the reference. A `share` is ``n / (n + m)``, `categories` is their number on both sides.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from scipy import special

from feature_platform.statistics.profiles.arrays import FloatArray

_SIMULATIONS = 4000
_LARGE = 40.0  # rows expected in the emptiest bin, from which the limiting distribution is used
_SEED = 20_260_101


@dataclass(frozen=True)
class Null:
    """The distribution of a statistic when nothing has changed.

    `p` is the probability of at least a value, `quantile` its inverse, and `mean` the value that
    the effect is measured from, 0 where chance adds no bias.
    """

    p: Callable[[float], float]
    quantile: Callable[[float], float]
    mean: float = 0.0


def kolmogorov_null(size: float) -> Null:
    """The Kolmogorov-Smirnov distance of two samples; `size` is ``1 / (1 / n + 1 / m)``.

    The limiting distribution, which is conservative for small samples and for ties.
    """
    root = math.sqrt(size)
    return Null(
        lambda value: float(special.kolmogorov(root * value)),
        lambda alpha: float(special.kolmogi(alpha)) / root,
    )


def share_null(shares: FloatArray, sizes: FloatArray, row: float) -> Null:
    """The largest absolute change among shares of rows, such as the null rate.

    Each tail is that of the signed root of the likelihood ratio, corrected by half a row. It holds
    far into the tail for rare events, where the normal approximation does not; tails are added up.
    `shares` are pooled over both sides, `sizes` are ``1 / (1 / n + 1 / m)``, `row` is ``1 / n``.
    """

    def tail(change: float) -> float:
        possible = (shares + change <= 1) & (shares + change >= 0)
        before = shares[possible]
        now = before + change
        divergence = special.rel_entr(now, before) + special.rel_entr(1 - now, 1 - before)
        roots = np.sqrt(2 * sizes[possible] * np.maximum(divergence, 0))
        return float(special.ndtr(-roots).sum())

    def p(value: float) -> float:
        change = value - row / 2
        return 1.0 if change <= 0 else min(1.0, tail(change) + tail(-change))

    return Null(p, partial(_invert, p))


def student_null(error: float, freedom: float) -> Null:
    """An absolute difference of means with the standard error `error`: Student's t distribution."""

    def p(value: float) -> float:
        if not error > 0:
            return 1.0 if value <= 0 else 0.0
        return float(2 * special.stdtr(freedom, -abs(value) / error))

    return Null(p, lambda alpha: float(-special.stdtrit(freedom, alpha / 2)) * error)


def exceedance_null(rows: float, share: float, bound: float) -> Null:
    """How many of the greatest values of both sides are in the current window.

    Under exchangeability the `rows` greatest are all in the current window with a probability of
    ``share ** rows`` at most, whatever the distribution of the values. `rows` of the current window
    are above the bound.
    """
    chance = float(share**rows) if rows else 1.0
    return Null(
        lambda value: chance if value > bound else 1.0,
        # The rows above the bound count, not how far above it they are.
        lambda alpha: bound if rows and chance <= alpha else math.inf,
    )


def unseen_null(mean: float, rows: float, share: float, categories: int) -> Null:
    """Share of rows whose category the reference has never seen.

    Some are always expected: by Good and Turing, the share of the reference's rows whose category
    occurs once (`mean`). A new category of ``k`` rows has all of them in the current window with
    probability ``share ** k``, for each of the categories.
    """

    def quantile(log_alpha: float) -> float:
        # Bernstein's inequality for the sum plus the bound for one category.
        nats = -log_alpha
        binomial = math.sqrt(2 * nats * mean / rows) + nats / (3 * rows)
        burst = (math.log(categories) + nats) / -math.log(share) / rows
        return mean + binomial + burst

    def p(value: float) -> float:
        if value <= mean:
            return 1.0
        return math.exp(_invert(quantile, value, low=-700.0, high=0.0, halvings=60))

    return Null(p, lambda alpha: quantile(math.log(alpha)), mean)


def largest_unseen_null(mean: float, rows: int, share: float, categories: int) -> Null:
    """Share of the most frequent value that the reference has never seen, of an open set.

    Either it is as frequent as new values usually are at most (`mean`), with a Poisson number of
    rows; or it has any frequency and all its rows are in the current window, as in `unseen_null`.
    """

    def p(value: float) -> float:
        # Half a row less: a share is a whole number of rows, whatever rounding made of it.
        above = value * rows - 0.5
        if above <= 0 or value <= mean:
            return 1.0
        usual = float(special.gammainc(above + 0.5, mean * rows)) if mean else 0.0
        return float(min(1.0, usual + categories * share**above))

    return Null(p, partial(_invert, p), mean)


def psi_null(reference: FloatArray, current: FloatArray, inflation: float = 1.0) -> Null | None:
    """The null distribution of PSI when the current window has the reference's shares of bins.

    The shifted gamma distribution (Pearson type III) of the same first three moments. They are
    those of the limit, chi-square with ``bins - 1`` degrees of freedom times ``1 / n + 1 / m``;
    where a bin expects fewer than 40 rows, they are simulated with a fixed seed. `inflation` is
    effective over nominal variance. None for a single bin, which cannot vary.
    """
    n_reference, n_current = float(reference.sum()), float(current.sum())
    # Of the reference alone, so that all windows of a season share one simulation. A bin that only
    # the current window fills counts as half a row, as in PSI itself.
    counts = np.maximum(reference, 0.5)[(reference + current) > 0]
    if len(counts) < 2 or not n_reference or not n_current:  # noqa: PLR2004
        return None
    shares = counts / counts.sum()
    rate = 1 / n_reference + 1 / n_current
    if float(shares.min()) * min(n_reference, n_current) >= _LARGE:
        freedom = len(shares) - 1
        moments = freedom * rate, math.sqrt(2 * freedom) * rate, math.sqrt(8 / freedom)
    else:
        # Rounded, so that similar windows share a simulation; shares are known no more exactly.
        nearby = round(_rounded(n_reference)), round(_rounded(n_current))
        moments = _simulated(tuple(sorted(map(_rounded, shares))), *nearby)
        # Mean and standard deviation scale with the rate, as those of the limit do.
        inflation *= rate / (1 / nearby[0] + 1 / nearby[1])
    mean, std, skewness = moments[0] * inflation, moments[1] * inflation, moments[2]
    shape, scale = 4 / skewness**2, std * skewness / 2
    return Null(
        lambda value: float(special.gammaincc(shape, max(0.0, (value - mean) / scale + shape))),
        lambda alpha: mean + (float(special.gammainccinv(shape, alpha)) - shape) * scale,
        mean,
    )


@lru_cache(maxsize=4096)
def _simulated(
    shares: tuple[float, ...], n_reference: int, n_current: int
) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of PSI over draws of both sides from `shares`."""
    random = np.random.Generator(np.random.PCG64(_SEED))
    probabilities = np.array(shares) / math.fsum(shares)
    reference = random.multinomial(n_reference, probabilities, size=_SIMULATIONS)
    current = random.multinomial(n_current, probabilities, size=_SIMULATIONS)
    r = np.maximum(reference, 0.5) / n_reference
    c = np.maximum(current, 0.5) / n_current
    terms = np.where((reference + current) > 0, (c - r) * np.log(c / r), 0.0)
    values = terms.sum(axis=1)
    mean, std = float(values.mean()), float(values.std())
    skewness = float(np.mean(((values - mean) / std) ** 3))
    # At least that of the gamma distribution from zero: a few thousand draws can miss the tail.
    return mean, std, max(skewness, 2 * std / mean)


def _rounded(value: float) -> float:
    """`value` to two significant digits."""
    return float(f"{value:.1e}")


def _invert(
    function: Callable[[float], float],
    bound: float,
    low: float = 0.0,
    high: float = 1.0,
    halvings: int = 24,
) -> float:
    """The least argument up to `high` at which the non-increasing function is at most `bound`."""
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > bound else (low, middle)
    return high
