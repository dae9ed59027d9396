"""How many values of an ordinary window are new: nearly all ids, hardly any category.

A window of a growing set of values, such as ids, tokens or merchants, has values that its reference
lacks, which is no drift. How many is estimated from the reference: each of its later windows
against those before it. Such a feature can still drift by a single new value of a larger share
than new ones usually have, by many more new values than the set grows by, and where nearly all are
new, by the lengths and the repeats.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from feature_platform.statistics.bins import Bins, unseen_counts
from feature_platform.statistics.profiles.distinct_sketch import DistinctSketch
from feature_platform.statistics.profiles.profile import Profile, merge_profiles
from feature_platform.statistics.spread import Spread

OPEN = 0.002
"""Share of new values from which a set of values is open."""
ID_LIKE = 0.3
"""Share of new values from which shares of single values say too little of a feature."""
_ENOUGH = 8  # windows from which the most extreme one is left out
_LATE = ("most", "variance")
_FEW = 3  # windows below which their variance is unknown


@dataclass(frozen=True)
class Novelty:
    """Shares of new values among the windows of a reference; all 0 where windows are too few.

    Attributes:
        share: Share of a window's values that no window before has, on average.
        largest: Share of the most frequent such value; the maximum over windows, the most extreme
            one left out.
        most: Share of a window's values that the earlier half of the windows lacks; the maximum
            over the later half, the most extreme window left out. None where not computed.
        variance: Variance of that among windows, around its linear growth.
        distinct: Distinct values of a window over its values, on average over `ratios` windows.
    """

    windows: int = 0
    share: float = 0.0
    largest: float = 0.0
    most: float | None = None
    variance: float = 0.0
    ratios: int = 0
    distinct: float = 0.0
    distinct_variance: float = 0.0
    lengths: Spread = field(default_factory=Spread)

    @classmethod
    def among(cls, groups: Sequence[Sequence[Profile]]) -> "Novelty":
        """Estimate it from groups of like windows, oldest first; lists by their elements."""
        held = [[each for window in group if (each := texts_of(window)).values] for group in groups]
        if not any(each.categories is not None for group in held for each in group):
            return cls()
        found = [new for group in held for new in _new_shares(group)]
        largest = sorted(largest for _, largest in found)
        ratios = [each.distinct_count / each.values for group in held for each in group]
        share = float(np.mean([share for share, _ in found])) if found else 0.0
        most, variance = _growth(held) if share >= OPEN else (None, 0.0)
        lengths = Spread()
        if share >= ID_LIKE:
            parts = [[each.lengths for each in group if each.lengths] for group in held]
            wholes = [(part, merge_profiles(part)) for part in parts if part]
            if wholes:
                lengths = Spread.among(
                    wholes, Bins.of(merge_profiles([whole for _, whole in wholes]))
                )
        return cls(
            windows=len(found),
            share=share,
            largest=largest[-2 if len(found) >= _ENOUGH else -1] if found else 0.0,
            most=most,
            variance=variance,
            ratios=len(ratios),
            distinct=float(np.mean(ratios)),
            distinct_variance=float(np.var(ratios, ddof=1)) if len(ratios) > 1 else 0.0,
            lengths=lengths,
        )

    def share_of(self, known: Profile) -> float:
        """Expected share of values that `known`, not a list, lacks.

        The larger of the average among windows and the Good-Turing estimate, the share of the
        values that occur once.
        """
        if known.categories is None or not known.values:
            return 0.0
        if not known.categories.complete:
            return max(self.share, OPEN)
        once = sum(1 for count in known.categories.counts.values() if count == 1)
        return max(self.share, once / known.values)

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
        # Left out where not computed, as older releases did: a reference keeps its hash.
        computed = {} if self.most is None else {"most": self.most, "variance": self.variance}
        rest = {name: each for name, each in self.__dict__.items() if name not in _LATE}
        return {**rest, **computed, "lengths": asdict(self.lengths)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Novelty":
        """The inverse of `to_json`."""
        return cls(**{**data, "lengths": Spread(**data["lengths"])})


def texts_of(found: Profile) -> Profile:
    """The innermost elements of lists; `found` itself if it is no list."""
    while found.kind == "list" and found.elements is not None:
        found = found.elements
    return found


def _new_shares(group: Sequence[Profile]) -> list[tuple[float, float]]:
    """For the later half of the windows, the shares of all new values and of the largest one."""
    seen: set[str] = set()
    sketch = DistinctSketch.empty()
    missed = values = 0
    found = []
    for place, window in enumerate(group):
        if window.categories is None:
            continue
        if 2 * place >= len(group) and values:
            # An unlisted value may have been seen, but not often: see `unseen_counts`.
            least = 3 * missed / values * window.values + 10 if missed else 0
            new = [
                count
                for name, count in window.categories.counts.items()
                if name not in seen and count > least
            ]
            complete = window.categories.complete and not missed
            share = sum(new) / window.values if complete else _new_share(sketch, window)
            found.append((share, max(new, default=0) / window.values))
        seen |= window.categories.counts.keys()
        sketch = sketch.merge(window.distinct)
        missed += window.categories.undercount
        values += window.values
    return found


def _growth(groups: Sequence[Sequence[Profile]]) -> tuple[float | None, float]:
    """Shares of new values of the later windows of a group, against its earlier half.

    A window is compared with a reference that ended a while ago, and the set has grown meanwhile;
    the last windows of a group are as far from its earlier half. The result is the largest share
    (of 8 or more, the second largest), and the variance around a line through all windows.
    """
    places: list[int] = []
    shares: list[float] = []
    for group in groups:
        half = (len(group) + 1) // 2
        if half < len(group):
            known = merge_profiles(group[:half])
            shares += [new_share(known, window) for window in group[half:]]
            places += range(len(group) - half)
    if len(shares) < _FEW:
        return None, 0.0
    # Where every group has one such window, the mean in place of a line.
    line = np.polyfit(places, shares, 1 if max(places) else 0)
    rest = np.array(shares) - np.polyval(line, places)
    variance = float(rest @ rest) / (len(shares) - len(line))
    return sorted(shares)[-2 if len(shares) >= _ENOUGH else -1], variance


def new_share(known: Profile, window: Profile) -> float:
    """Share of the values of `window` (texts) that `known` lacks."""
    for each in (known, window):
        if each.categories is None or not each.categories.complete:
            return _new_share(known.distinct, window)
    return sum(unseen_counts(window, known).values()) / window.values


def _new_share(seen: DistinctSketch, window: Profile) -> float:
    """The share of new values among the hashes that both sketches would keep, scaled to values."""
    most = seen.hashes[-1]
    both = window.distinct.hashes[window.distinct.hashes <= most]
    if not len(both):
        return 0.0
    new = 1 - float(np.isin(both, seen.hashes).mean())
    return new * window.distinct_count / window.values
