"""How new the texts of ordinary windows are: ids and free text always, categories hardly ever.

Of a set of values that grows, such as ids, tokens or merchants, a window holds values that its
reference has never seen, and that says only that time goes by. How many is learnt from the
reference: each of its later windows against those before it. What such a feature can still show is
a single new value that takes a larger share than new ones do, many more new values than the set
grows by, and where nearly all are new, the lengths and the repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feature_platform.statistics.bins import Bins, unseen_rows
from feature_platform.statistics.profiles.distinct_sketch import DistinctSketch
from feature_platform.statistics.profiles.profile import Profile, merge_profiles
from feature_platform.statistics.spread import Spread

OPEN = 0.002
"""Share of rows with new values from which a set of values is an open one."""
ID_LIKE = 0.3
"""The same, from which shares of values say too little of a feature."""
_ENOUGH = 8  # windows of which one may have been extraordinary
_LATE = ("most", "variance")
_FEW = 3  # windows that tell nothing of how much they differ


@dataclass(frozen=True)
class Novelty:
    """What the windows of a reference say of values that are new; all 0 where there are too few.

    Attributes:
        windows: Windows that were held against those before them.
        share: Share of a window's values that none of the windows before holds, on average.
        largest: Share of the most frequent such value, in all windows but the most extraordinary.
        most: Share of a window's values that the earlier half of the windows does not hold, in all
            windows of the later half but the most extraordinary; None where it was not looked for.
        variance: Variance of that among windows, beside its growth from window to window.
        ratios: Windows that `distinct` was found in.
        distinct: Distinct values of a window over its values, on average.
        distinct_variance: Variance of that among windows.
        lengths: How much the lengths of the values differ between windows.
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
        """From groups of like windows, oldest first; of lists, their elements count.

        Args:
            groups: The windows of each.
        """
        held = [[each for window in group if (each := texts_of(window)).values] for group in groups]
        if not any(each.categories is not None for group in held for each in group):
            return cls()
        found = [new for group in held for new in _news(group)]
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
        """Share of new values to be expected beside the values of `known`, not a list.

        The larger of what was seen among windows and what the values themselves say: by Good and
        Turing, the share of those that occur once.
        """
        if known.categories is None or not known.values:
            return 0.0
        if not known.categories.complete:
            return max(self.share, OPEN)
        once = sum(1 for count in known.categories.counts.values() if count == 1)
        return max(self.share, once / known.values)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        # What was not looked for is left out, as by older versions: a reference keeps its hash.
        looked_for = {} if self.most is None else {"most": self.most, "variance": self.variance}
        rest = {name: each for name, each in self.__dict__.items() if name not in _LATE}
        return {**rest, **looked_for, "lengths": self.lengths.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Novelty":
        """What `to_json` wrote."""
        return cls(**{**data, "lengths": Spread.from_json(data["lengths"])})


def texts_of(found: Profile) -> Profile:
    """What is not a list: the elements of lists, or theirs."""
    while found.kind == "list" and found.elements is not None:
        found = found.elements
    return found


def _news(group: Sequence[Profile]) -> list[tuple[float, float]]:
    """For the later half of the windows, the share of new values and that of the largest."""
    seen: set[str] = set()
    sketch = DistinctSketch.empty()
    missed = values = 0
    found = []
    for place, window in enumerate(group):
        if window.categories is None:
            continue
        if 2 * place >= len(group) and values:
            # A value that is not listed may have been seen, but not often: see `unseen_counts`.
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
    """Share of values of later windows that the earlier half of a group does not hold.

    The last windows of a reference are a while before the one that is compared with it, and the
    set has grown meanwhile: some of these are as far from what they are held against.

    Returns:
        The largest but one, and the variance around a line through the windows of all groups.
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
    # Where every group has one such window there is no line: the mean is what is left.
    line = np.polyfit(places, shares, 1 if max(places) else 0)
    rest = np.array(shares) - np.polyval(line, places)
    variance = float(rest @ rest) / (len(shares) - len(line))
    return sorted(shares)[-2 if len(shares) >= _ENOUGH else -1], variance


def new_share(known: Profile, window: Profile) -> float:
    """Share of the values of `window`, a text each, that `known` does not hold."""
    for each in (known, window):
        if each.categories is None or not each.categories.complete:
            return _new_share(known.distinct, window)
    return unseen_rows(window, known) / window.values


def _new_share(seen: DistinctSketch, window: Profile) -> float:
    """As many of the window's values as are new among those of its hashes that both would keep."""
    most = seen.hashes[-1]
    both = window.distinct.hashes[window.distinct.hashes <= most]
    if not len(both):
        return 0.0
    new = 1 - float(np.isin(both, seen.hashes).mean())
    return new * window.distinct_count / window.values
