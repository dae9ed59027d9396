"""Quantiles of a stream in one pass: a KLL sketch with a bound on its own error.

Karnin, Lang and Liberty, "Optimal quantile approximation in streams" (2016). An item of level ``h``
stands for ``2**h`` values. A full level is sorted, and every other item, odd or even at random,
moves up a level. As in the paper, a sampler replaces the bottom levels of long batches.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import zip_longest
from typing import Any, Literal

import numpy as np

from feature_platform.statistics.profiles.arrays import (
    FloatArray,
    IntArray,
    decode_array,
    encode_array,
)

DEFAULT_K = 1024
"""Items of the top level of a stored sketch: a rank error of about 0.1 %."""
EXACT_LIMIT = 65_536
"""Values above which a batch is sampled; below, a sketch is exact until compressed."""
_SAMPLE = 16_384  # most values drawn from a longer batch: a rank error of 0.4 to 0.55 %
_DECAY = 2 / 3
_MIN_LEVEL = 8


@dataclass(frozen=True, eq=False)
class QuantileSketch:
    """Sorted items by level, and the variance that compaction has added.

    Each of ``levels[h]`` stands for ``2**h`` of the `count` values. `rank_variance` is a bound, in
    values squared; 0 while the sketch is exact.
    """

    levels: tuple[FloatArray, ...]
    count: int
    rank_variance: float

    @classmethod
    def of(cls, values: FloatArray, seed: int = 0) -> "QuantileSketch":
        """The sketch of `values` (no NaN), exact up to `EXACT_LIMIT` of them.

        Longer input is sampled: one random value of each block of ``2**h``.
        """
        count = len(values)
        if count <= EXACT_LIMIT:
            return cls((np.sort(values),), count, 0.0)
        height = math.ceil(math.log2(count / _SAMPLE))
        width = 1 << height
        blocks = count // width
        sample = np.sort(values[_places(blocks, width, seed)])
        rest = np.sort(values[blocks * width :])
        levels = (rest, *(_EMPTY for _ in range(height - 1)), sample)
        # A block is a Bernoulli draw for any rank: variance width^2 p(1 - p), at most width^2 / 4.
        return cls(levels, count, blocks * width**2 / 4)

    @property
    def rank_error(self) -> float:
        """Standard error of a rank as a share of `count`; 0 while the sketch is exact."""
        return math.sqrt(self.rank_variance) / self.count if self.count else 0.0

    @cached_property
    def weighted(self) -> tuple[FloatArray, IntArray]:
        """All items, sorted, and their weights, which sum to `count`."""
        if len(self.levels) == 1:
            return self.levels[0], np.ones(len(self.levels[0]), dtype=np.int64)
        items = np.concatenate(self.levels)
        weights = np.repeat(
            np.left_shift(1, np.arange(len(self.levels), dtype=np.int64)),
            [len(level) for level in self.levels],
        )
        order = np.argsort(items, kind="stable")
        return items[order], weights[order]

    def quantiles(self, shares: FloatArray) -> FloatArray:
        """The value at each share of the ranks (NumPy's ``inverted_cdf``); NaN without values."""
        if not self.count:
            return np.full(len(shares), math.nan)
        items, weights = self.weighted
        cumulative = np.cumsum(weights)
        # Slightly below the rank, or 0.1 * 30 = 3.0000000000000004 gives the fourth value.
        ranks = np.asarray(shares) * self.count - 1e-9 * self.count
        places = np.searchsorted(cumulative, ranks, side="left")
        return np.asarray(items[np.minimum(places, len(items) - 1)], dtype=np.float64)

    def counts(self, edges: FloatArray) -> FloatArray:
        """Values in each of ``len(edges) + 1`` bins ``[edge, next edge)``, the outer ones open."""
        return np.diff(self.below(edges), prepend=0.0, append=float(self.count))

    def below(self, points: FloatArray, side: Literal["left", "right"] = "left") -> FloatArray:
        """Values below each point, or up to it where `side` is ``right``."""
        total = np.zeros(len(points))
        for height, level in enumerate(self.levels):
            if len(level):
                total += np.searchsorted(level, points, side=side) * float(1 << height)
        return total

    def merge(self, other: "QuantileSketch", k: int = DEFAULT_K) -> "QuantileSketch":
        """The sketch of both streams, compressed to `k`."""
        pairs = zip_longest(self.levels, other.levels, fillvalue=_EMPTY)
        levels = tuple(np.sort(np.concatenate(pair)) for pair in pairs)
        variance = self.rank_variance + other.rank_variance
        return QuantileSketch(levels, self.count + other.count, variance).compress(k)

    def compress(self, k: int = DEFAULT_K) -> "QuantileSketch":
        """The same stream in about ``3 * k`` items; the sketch itself if it is no larger.

        Each compaction of items of weight ``w`` moves an odd rank by ``w``, up or down at random,
        and an even rank not at all: variance at most ``w**2``.
        """
        most = sum(_capacity(k, depth) for depth in range(len(self.levels)))
        if sum(map(len, self.levels)) <= most:
            return self
        levels = list(self.levels)
        variance = self.rank_variance
        # A fixed seed: the same stream gives the same sketch on every machine.
        coin = np.random.Generator(np.random.PCG64(self.count))
        height = 0
        while height < len(levels):
            level = levels[height]
            if len(level) > _capacity(k, len(levels) - 1 - height):
                if height + 1 == len(levels):
                    levels.append(_EMPTY)
                even = len(level) & ~1
                promoted = level[int(coin.integers(2)) : even : 2]
                levels[height] = level[even:]
                levels[height + 1] = np.sort(np.concatenate([levels[height + 1], promoted]))
                variance += 4.0**height
                # A new top lowers the capacity of the levels below: start again.
                height = 0 if len(promoted) == len(levels[height + 1]) else height + 1
            else:
                height += 1
        return QuantileSketch(tuple(levels), self.count, variance)

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`, bit for bit."""
        return {
            "levels": [encode_array(level) for level in self.levels],
            "count": self.count,
            "rank_variance": self.rank_variance,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "QuantileSketch":
        """The inverse of `to_json`."""
        levels = tuple(decode_array(level, np.float64) for level in data["levels"])
        return cls(levels, int(data["count"]), float(data["rank_variance"]))


_EMPTY: FloatArray = np.empty(0)


def _capacity(k: int, depth: int) -> int:
    """Most items of a level, counted from the top."""
    return max(_MIN_LEVEL, math.ceil(k * _DECAY**depth))


@lru_cache(maxsize=8)
def _places(blocks: int, width: int, seed: int) -> IntArray:
    """One random place per block; cached, since the columns of a window have one length."""
    random = np.random.Generator(np.random.PCG64(seed))
    return np.arange(blocks) * width + random.integers(width, size=blocks)
