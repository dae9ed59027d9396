"""Moments, extremes and distinct values of a column of numbers in one pass."""

import math
from dataclasses import dataclass

import numpy as np

from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.profiles.distinct_sketch import (
    CHUNK,
    DistinctSketch,
    SmallestHashes,
)


@dataclass(frozen=True, eq=False)
class Scan:
    """The result of `scan`, see `Profile`; moments are undefined if a number is infinite."""

    mean: float
    squares: float
    minimum: float
    maximum: float
    zeros: int
    distinct: DistinctSketch


def scan(numbers: FloatArray) -> Scan:
    """Read `numbers` (no NaN) once, in chunks that stay in the cache."""
    if not len(numbers):
        return Scan(math.nan, 0.0, math.nan, math.nan, 0, DistinctSketch.empty())
    # Deviations from a nearby value: squares of raw values would cancel far from zero.
    shift = float(numbers[:CHUNK].mean()) if np.isfinite(numbers[:CHUNK]).all() else 0.0
    total = squares = 0.0
    minimum, maximum, zeros = math.inf, -math.inf, 0
    hashes = SmallestHashes()
    buffer = np.empty(min(CHUNK, len(numbers)))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(numbers), CHUNK):
            chunk = numbers[start : start + CHUNK]
            least, most = float(chunk.min()), float(chunk.max())
            minimum, maximum = min(minimum, least), max(maximum, most)
            deviations = np.subtract(chunk, shift, out=buffer[: len(chunk)])
            total += float(deviations.sum())
            # Not a dot product: BLAS would start threads of its own.
            squares += float(np.multiply(deviations, deviations, out=deviations).sum())
            found = int(np.count_nonzero(chunk == 0)) if least <= 0 <= most else 0
            zeros += found
            # Adding 0.0 turns -0.0 into 0.0, the same number in other bits.
            hashes.add(np.add(chunk, 0.0, out=deviations) if found else chunk)
    mean, squares = shift + total / len(numbers), squares - total * total / len(numbers)
    # Squares of numbers above about 1e154 overflow.
    squares = max(0.0, squares) if math.isfinite(squares) else math.inf
    return Scan(mean, squares, minimum, maximum, zeros, hashes.sketch())
