"""Null distributions: what each statistic does when nothing has changed, at given sample sizes.

Sizes are effective ones, see `feature_platform.statistics.spread`: `n` rows of the current window
and `m` of the reference.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Protocol

import numpy as np
from scipy import special

from feature_platform.statistics.profiles.arrays import FloatArray

_SIMULATIONS = 4000
_LARGE = 40.0  # rows expected in the emptiest bin, from which the limiting distribution is used
_SEED = 20_260_101


class Null(Protocol):
    """The distribution of a statistic when nothing has changed."""

    @property
    def mean(self) -> float:
        """Expected value, which the effect is measured from; 0 where chance adds no bias."""

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""

    def quantile(self, alpha: float) -> float:
        """The value that is exceeded with probability `alpha`."""


@dataclass(frozen=True)
class KolmogorovNull:
    """The Kolmogorov-Smirnov distance of two samples; `size` is ``1 / (1 / n + 1 / m)``.

    The limiting distribution, which is conservative for small samples and for ties.
    """

    mean: ClassVar[float] = 0.0
    size: float

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""
        return float(special.kolmogorov(math.sqrt(self.size) * value))

    def quantile(self, alpha: float) -> float:
        """The value that is exceeded with probability `alpha`."""
        return float(special.kolmogi(alpha)) / math.sqrt(self.size)


@dataclass(frozen=True)
class GammaNull:
    """PSI, by the shifted gamma distribution (Pearson type III) of the same first three moments.

    The limit of PSI, a scaled chi-square, is one of them.
    """

    mean: float
    std: float
    skewness: float

    @property
    def _shape(self) -> float:
        return 4 / self.skewness**2

    @property
    def _scale(self) -> float:
        return self.std * self.skewness / 2

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""
        above = (value - self.mean) / self._scale + self._shape
        return float(special.gammaincc(self._shape, max(0.0, above)))

    def quantile(self, alpha: float) -> float:
        """The value that is exceeded with probability `alpha`."""
        above = float(special.gammainccinv(self._shape, alpha))
        return self.mean + (above - self._shape) * self._scale


@dataclass(frozen=True)
class ShareNull:
    """The largest absolute change among shares of rows, such as the null rate.

    Each tail is that of the signed root of the likelihood ratio, corrected by half a row. It holds
    far into the tail for rare events, where the normal approximation does not; tails are added up.

    Attributes:
        shares: The shares when nothing has changed, pooled over both sides; one per category.
        sizes: ``1 / (1 / n + 1 / m)`` of each share.
        row: One row of the current window as a share, ``1 / n``.
    """

    mean: ClassVar[float] = 0.0
    shares: FloatArray = field(compare=False)
    sizes: FloatArray = field(compare=False)
    row: float

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""
        change = value - self.row / 2
        if change <= 0:
            return 1.0
        return min(1.0, self._tail(change) + self._tail(-change))

    def quantile(self, alpha: float) -> float:
        """The value that is exceeded with probability `alpha`."""
        return _invert(self.p, alpha, 1.0)

    def _tail(self, change: float) -> float:
        possible = (self.shares + change <= 1) & (self.shares + change >= 0)
        shares, sizes = self.shares[possible], self.sizes[possible]
        moved = shares + change
        divergence = special.rel_entr(moved, shares) + special.rel_entr(1 - moved, 1 - shares)
        return float(special.ndtr(-np.sqrt(2 * sizes * np.maximum(divergence, 0))).sum())


@dataclass(frozen=True)
class StudentNull:
    """An absolute difference of means with the standard error `error`: Student's t distribution."""

    mean: ClassVar[float] = 0.0
    error: float
    freedom: float

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""
        if not self.error > 0:
            return 1.0 if value <= 0 else 0.0
        return float(2 * special.stdtr(self.freedom, -abs(value) / self.error))

    def quantile(self, alpha: float) -> float:
        """The value that is exceeded with probability `alpha`."""
        return float(-special.stdtrit(self.freedom, alpha / 2)) * self.error


@dataclass(frozen=True)
class ExceedanceNull:
    """How many of the greatest values of both sides are in the current window.

    Under exchangeability the `rows` greatest are all in the current window with a probability of
    ``(n / (n + m)) ** rows`` at most, whatever the distribution of the values.

    Attributes:
        rows: Rows of the current window above the bound.
        share: ``n / (n + m)``.
        bound: The bound, in units of the statistic.
    """

    mean: ClassVar[float] = 0.0
    rows: float
    share: float
    bound: float

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""
        return float(self.share**self.rows) if value > self.bound and self.rows else 1.0

    def quantile(self, alpha: float) -> float:
        """The bound where so many rows above it are that improbable, else infinity."""
        return self.bound if self.rows and self.share**self.rows <= alpha else math.inf


@dataclass(frozen=True)
class UnseenNull:
    """Share of rows whose category the reference has never seen.

    Some are always expected: by Good and Turing, the share of the reference's rows whose category
    occurs once. A new category of ``k`` rows has all of them in the current window with probability
    ``(n / (n + m)) ** k``, for each of the categories.

    Attributes:
        mean: The expected share.
        rows: Effective rows of the current window.
        share: ``n / (n + m)``.
        categories: Number of categories on both sides.
    """

    mean: float
    rows: float
    share: float
    categories: int

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""
        if value <= self.mean:
            return 1.0
        low, high = -700.0, 0.0  # ln(p)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._quantile(middle) > value else (low, middle)
        return math.exp(high)

    def quantile(self, alpha: float) -> float:
        """The value that is exceeded with probability `alpha`."""
        return self._quantile(math.log(alpha))

    def _quantile(self, log_alpha: float) -> float:
        # Bernstein's inequality for the sum plus the bound for one category.
        nats = -log_alpha
        binomial = math.sqrt(2 * nats * self.mean / self.rows) + nats / (3 * self.rows)
        burst = (math.log(self.categories) + nats) / -math.log(self.share) / self.rows
        return self.mean + binomial + burst


@dataclass(frozen=True)
class LargestUnseenNull:
    """Share of the most frequent value that the reference has never seen, of an open set.

    Either it is as frequent as new values usually are at most, with a Poisson number of rows; or it
    has any frequency and all its ``k`` rows are in the current window, as in `UnseenNull`.

    Attributes:
        mean: The usual share of the most frequent new value.
        rows: Rows of the current window.
        share: ``n / (n + m)``.
        categories: Number of categories on both sides.
    """

    mean: float
    rows: int
    share: float
    categories: int

    def p(self, value: float) -> float:
        """Probability of a value of at least `value`."""
        # Half a row less: a share is a whole number of rows, whatever rounding made of it.
        rows = value * self.rows - 0.5
        if rows <= 0 or value <= self.mean:
            return 1.0
        usual = float(special.gammainc(rows + 0.5, self.mean * self.rows)) if self.mean else 0.0
        return float(min(1.0, usual + self.categories * self.share**rows))

    def quantile(self, alpha: float) -> float:
        """The value that is exceeded with probability `alpha`."""
        return _invert(self.p, alpha, 1.0)


def psi_null(
    reference: FloatArray, current: FloatArray, inflation: float = 1.0
) -> GammaNull | None:
    """The null distribution of PSI when the current window has the reference's shares of bins.

    Its limit is chi-square with ``bins - 1`` degrees of freedom times ``1 / n + 1 / m``. Where a
    bin expects fewer than 40 rows, the moments are simulated with a fixed seed.

    Args:
        reference: Counts of the reference, one per bin.
        current: Counts of the current window, one per bin.
        inflation: Effective over nominal variance: how much more windows vary than chance alone.

    Returns:
        None for a single bin, which cannot vary.
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
    return GammaNull(moments[0] * inflation, moments[1] * inflation, moments[2])


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


def _invert(p: Callable[[float], float], alpha: float, high: float) -> float:
    """The least value up to `high` whose `p` is at most `alpha`; `p` is non-increasing."""
    low = 0.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if p(middle) > alpha else (low, middle)
    return high
