"""How much the windows of a reference differ among themselves beyond chance.

Rows of one day are not independent: a day has its weather and its campaigns. As in survey sampling
(Kish's design effect), a window is worth fewer rows than it has: the variance of its shares is
``1 / n + v``, where ``v``, the variance between windows, is estimated from the reference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from feature_platform.statistics.bins import Bins
from feature_platform.statistics.distances import chi_square, kolmogorov_smirnov
from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.profiles.profile import Profile

_KOLMOGOROV_SQUARE = math.pi**2 / 12  # mean of the squared Kolmogorov variable
_TAIL = 1e-5  # tail probability at which two distributions are made to agree
_KOLMOGOROV_TAIL = float(
    special.chdtri(1, _TAIL) / (special.kolmogi(_TAIL) ** 2 / _KOLMOGOROV_SQUARE)
)


@dataclass(frozen=True)
class Spread:
    """Variance between windows beyond chance; all 0 where the reference has too few windows.

    Attributes:
        bins: For PSI and shares of bins, in units of a multinomial variance (per bin's share).
        ranks: For Kolmogorov-Smirnov, in the same units. Both are widened, since windows mostly
            differ in one direction (a shift), not in all bins at random: for the same mean square,
            such differences have longer tails.
        nulls: Of the null rate.
        mean: Of the window's mean, in units of the feature squared.
    """

    windows: int = 0
    bins: float = 0.0
    ranks: float = 0.0
    nulls: float = 0.0
    mean: float = 0.0

    @classmethod
    def among(cls, groups: Sequence[tuple[Sequence[Profile], Profile]], bins: Bins) -> "Spread":
        """Estimate it from groups of like windows with their merged profiles.

        Each window is compared with the rest of its group.
        """
        found: dict[str, list[tuple[float, float]]] = {
            name: [] for name in ("bins", "ranks", "nulls", "mean")
        }
        freedom = 1
        for group, whole in groups:
            if len(group) < 2:  # noqa: PLR2004
                continue
            counts = bins.counts(whole, whole)
            freedom = max(freedom, int(np.count_nonzero(counts)) - 1)
            for window in group:
                for name, value in _excess(window, whole, bins, counts).items():
                    # The window and the mean of the rest both vary.
                    found[name].append((value, 1 + 1 / (len(group) - 1)))
        estimated = {name: _variance(values) for name, values in found.items()}
        # The ratio of the quantiles of mean squares of one and of `freedom` dimensions.
        one, several = special.chdtri([1, freedom], _TAIL) / [1, freedom]
        estimated["bins"] *= float(one / several)
        estimated["ranks"] *= _KOLMOGOROV_TAIL
        return cls(windows=max(map(len, found.values())), **estimated)

    @classmethod
    def of_clusters(cls, *sides: tuple[Profile, int]) -> "Spread":
        """For the elements and number of lists of each side; a list is one independent draw."""
        if any(not lists or not elements.rows for elements, lists in sides):
            return cls()
        # Halved, since `Part.between` doubles it for a baseline of one window.
        between = sum(max(0.0, 1 / lists - 1 / each.rows) for each, lists in sides) / 2
        nulls = sum(each.nulls for each, _ in sides) / sum(each.rows for each, _ in sides)
        variance = max((each.std**2 for each, _ in sides if each.finite > 1), default=0.0)
        return cls(1, between, between, nulls * (1 - nulls) * between, variance * between)


def _excess(
    window: Profile, whole: Profile, bins: Bins, whole_counts: FloatArray
) -> dict[str, float]:
    """Squared differences of a window from the rest of its group, less those of chance.

    The rest is `whole` less the window, so that no window is merged twice.
    """
    excess: dict[str, float] = {}
    rows = whole.rows - window.rows
    if not window.rows or not rows:
        return excess
    rate = 1 / window.rows + 1 / rows
    counts = bins.counts(window, whole)
    statistic, freedom, _ = chi_square(np.maximum(whole_counts - counts, 0), counts)
    if freedom:
        # Pearson's statistic: unlike PSI's, its mean is known in small samples too.
        excess["bins"] = (statistic / freedom - 1) * rate
    pooled = whole.nulls / whole.rows
    rest_null_rate = (whole.nulls - window.nulls) / rows
    excess["nulls"] = (window.null_rate - rest_null_rate) ** 2 - pooled * (1 - pooled) * rate
    values = whole.values - window.values
    if window.ranks is not None and whole.ranks is not None and window.values and values:
        # F_window - F_whole is (F_window - F_rest) times the rest's share of the values.
        distance = kolmogorov_smirnov(whole.ranks, window.ranks) * whole.values / values
        excess["ranks"] = distance**2 / _KOLMOGOROV_SQUARE - (1 / window.values + 1 / values)
    finite = whole.finite - window.finite
    if window.finite > 1 and finite > 1:
        difference = (window.mean - whole.mean) * whole.finite / finite
        chance = whole.std**2 * (1 / window.finite + 1 / finite)
        excess["mean"] = difference**2 - chance
    return excess


def _variance(values: Sequence[tuple[float, float]]) -> float:
    """The mean excess, widened (Student over normal quantile) for few windows."""
    if len(values) < 3:  # noqa: PLR2004
        return 0.0
    mean = float(np.mean([value / weight for value, weight in values]))
    normal = float(special.ndtri(_TAIL))
    student = float(special.stdtrit(len(values) - 1, _TAIL))
    return max(0.0, mean) * (student / normal) ** 2
