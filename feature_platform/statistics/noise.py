"""What each statistic does when nothing has changed, at the sample sizes at hand.

Sizes are effective ones: see `feature_platform.statistics.spread`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import special

from feature_platform.statistics.profiles.arrays import FloatArray

_SIMULATIONS = 4000
_ENOUGH = 40.0  # rows expected in the emptiest bin, from which the limiting law is close enough
_SEED = 20_260_101


class Null(Protocol):
    """The law of a statistic when nothing has changed."""

    @property
    def mean(self) -> float:
        """What chance adds to the statistic on average, to be subtracted from it."""

    def p(self, value: float) -> float:
        """Chance of a value at least so large."""

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""


@dataclass(frozen=True)
class KolmogorovNull:
    """The Kolmogorov-Smirnov distance of two samples; `size` is ``1 / (1 / n + 1 / m)``.

    The limiting law, which is conservative for small samples and for values that repeat.
    """

    size: float

    @property
    def mean(self) -> float:
        """Taken as 0: chance hardly adds to a distance that matters, unlike to PSI."""
        return 0.0

    def p(self, value: float) -> float:
        """Chance of a value at least so large."""
        return float(special.kolmogorov(math.sqrt(self.size) * value))

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""
        return float(special.kolmogi(alpha)) / math.sqrt(self.size)


@dataclass(frozen=True)
class GammaNull:
    """PSI, by the shifted gamma law (Pearson's type III) of the same mean, spread and skewness.

    The limit of PSI, chi-square scaled, is one of them.
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
        """Chance of a value at least so large."""
        above = (value - self.mean) / self._scale + self._shape
        return float(special.gammaincc(self._shape, max(0.0, above)))

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""
        above = float(special.gammainccinv(self._shape, alpha))
        return self.mean + (above - self._shape) * self._scale


@dataclass(frozen=True)
class ShareNull:
    """The greatest absolute change among shares of rows, such as the null rate.

    Each tail is that of the signed root of the likelihood ratio, corrected by half a row, which
    holds far into the tail for rare events where the normal law does not; tails are added up.

    Attributes:
        shares: The shares when nothing has changed, from both windows together.
        sizes: ``1 / (1 / n + 1 / m)`` for each.
        row: One row of the current window as a share, ``1 / n``.
    """

    shares: FloatArray = field(compare=False)
    sizes: FloatArray = field(compare=False)
    row: float

    @property
    def mean(self) -> float:
        """Taken as 0: a change of a share has no bias to subtract."""
        return 0.0

    def p(self, value: float) -> float:
        """Chance of a value at least so large."""
        change = value - self.row / 2
        if change <= 0:
            return 1.0
        return min(1.0, self._tail(change) + self._tail(-change))

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""
        return _invert(self.p, alpha, 1.0)

    def _tail(self, change: float) -> float:
        shares = self.shares[(self.shares + change <= 1) & (self.shares + change >= 0)]
        sizes = self.sizes[(self.shares + change <= 1) & (self.shares + change >= 0)]
        moved = shares + change
        divergence = special.rel_entr(moved, shares) + special.rel_entr(1 - moved, 1 - shares)
        return float(special.ndtr(-np.sqrt(2 * sizes * np.maximum(divergence, 0))).sum())


@dataclass(frozen=True)
class StudentNull:
    """An absolute difference of means over its standard error `error`, by Student's law."""

    error: float
    freedom: float

    @property
    def mean(self) -> float:
        """Taken as 0: a difference of means has no bias to subtract."""
        return 0.0

    def p(self, value: float) -> float:
        """Chance of a value at least so large."""
        if not self.error > 0:
            return 1.0 if value <= 0 else 0.0
        return float(2 * special.stdtr(self.freedom, -abs(value) / self.error))

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""
        return float(-special.stdtrit(self.freedom, alpha / 2)) * self.error


@dataclass(frozen=True)
class ExceedanceNull:
    """How many of the greatest values of both windows fall into the current one.

    If the order of the rows says nothing, the `rows` greatest are all in the current window with
    chance ``(n / (n + m)) ** rows`` at most, whatever the distribution.

    Attributes:
        rows: Rows of the current window beyond the bound.
        share: ``n / (n + m)``.
        bound: The bound.
    """

    rows: float
    share: float
    bound: float

    @property
    def mean(self) -> float:
        """Taken as 0: a bound has no bias to subtract."""
        return 0.0

    def p(self, value: float) -> float:
        """Chance of a value at least so large."""
        return float(self.share**self.rows) if value > self.bound and self.rows else 1.0

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""
        # The rows beyond the bound decide, not how far beyond they are.
        return self.bound if self.rows and self.share**self.rows <= alpha else math.inf


@dataclass(frozen=True)
class UnseenNull:
    """Share of rows whose category the reference has never seen.

    Some are always to be expected: by Good and Turing as large a share as that of the reference's
    rows whose category occurs once. A single new category of ``k`` rows would have to fall into the
    current window with all its rows: chance ``(n / (n + m)) ** k`` for each of the categories.

    Attributes:
        mean: The share to be expected.
        rows: Effective rows of the current window.
        share: ``n / (n + m)``.
        categories: Number of categories in both windows.
    """

    mean: float
    rows: float
    share: float
    categories: int

    def p(self, value: float) -> float:
        """Chance of a value at least so large."""
        if value <= self.mean:
            return 1.0
        low, high = -700.0, 0.0  # ln(p)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._quantile(middle) > value else (low, middle)
        return math.exp(high)

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""
        return self._quantile(math.log(alpha))

    def _quantile(self, log_alpha: float) -> float:
        # Bernstein's bound on the sum, and the bound on one category, both at once.
        nats = -log_alpha
        binomial = math.sqrt(2 * nats * self.mean / self.rows) + nats / (3 * self.rows)
        burst = (math.log(self.categories) + nats) / -math.log(self.share) / self.rows
        return self.mean + binomial + burst


@dataclass(frozen=True)
class LargestUnseenNull:
    """Share of the most frequent value that the reference has never seen, where new ones are usual.

    As frequent as new ones are at most, its rows are Poisson's; or, of any frequency, all its ``k``
    rows fall into the current window, as with `UnseenNull`.

    Attributes:
        mean: The share that the most frequent new value usually has.
        rows: Rows of the current window.
        share: ``n / (n + m)``.
        categories: Number of categories in both windows.
    """

    mean: float
    rows: int
    share: float
    categories: int

    def p(self, value: float) -> float:
        """Chance of a value at least so large."""
        # Half a row less: a share is a whole number of rows, whatever rounding made of it.
        rows = value * self.rows - 0.5
        if rows <= 0 or value <= self.mean:
            return 1.0
        usual = float(special.gammainc(rows + 0.5, self.mean * self.rows)) if self.mean else 0.0
        return float(min(1.0, usual + self.categories * self.share**rows))

    def quantile(self, alpha: float) -> float:
        """The value exceeded with chance `alpha`."""
        return _invert(self.p, alpha, 1.0)


def psi_null(
    reference: FloatArray, current: FloatArray, inflation: float = 1.0
) -> GammaNull | None:
    """The law of PSI when the current window comes from the bins' shares of the reference.

    Its limit is chi-square with ``bins - 1`` degrees of freedom times ``1 / n + 1 / m``; where a
    bin expects few rows, its moments are simulated with a fixed seed.

    Args:
        reference: Counts of the reference in each bin.
        current: Counts of the current window.
        inflation: By how much windows vary more than chance alone: effective over nominal variance.

    Returns:
        None where there is only one bin: nothing can vary.
    """
    n_reference, n_current = float(reference.sum()), float(current.sum())
    # The reference alone, and not both, so that all windows of a season share one simulation; a
    # bin that only the current window fills counts as half a row, as it does in PSI itself.
    counts = np.maximum(reference, 0.5)[(reference + current) > 0]
    if len(counts) < 2 or not n_reference or not n_current:  # noqa: PLR2004
        return None
    shares = counts / counts.sum()
    rate = 1 / n_reference + 1 / n_current
    if float(shares.min()) * min(n_reference, n_current) >= _ENOUGH:
        freedom = len(shares) - 1
        moments = freedom * rate, math.sqrt(2 * freedom) * rate, math.sqrt(8 / freedom)
    else:
        # Rounded: neighbouring windows share a simulation, and no share is known to more digits.
        nearby = round(_rounded(n_reference)), round(_rounded(n_current))
        moments = _simulated(tuple(sorted(map(_rounded, shares))), *nearby)
        # Mean and spread scale with the rate, as those of the limit do.
        inflation *= rate / (1 / nearby[0] + 1 / nearby[1])
    return GammaNull(moments[0] * inflation, moments[1] * inflation, moments[2])


@lru_cache(maxsize=4096)
def _simulated(
    shares: tuple[float, ...], n_reference: int, n_current: int
) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of PSI over fixed-seed draws from the same shares."""
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
    # Never below that of the gamma law from zero: a few thousand draws can miss the tail.
    return mean, std, max(skewness, 2 * std / mean)


def _rounded(value: float) -> float:
    """To two significant digits."""
    return float(f"{value:.1e}")


def _invert(p: Callable[[float], float], alpha: float, high: float) -> float:
    """The least value up to `high` whose `p` is at most `alpha`; `p` never rises."""
    low = 0.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if p(middle) > alpha else (low, middle)
    return high
