"""Distinct values of a stream: the k minimum values of a hash.

Bar-Yossef et al., "Counting distinct elements in a data stream" (2002); the unbiased estimator
``(k - 1) / u_k`` is that of Beyer et al. (2007), ``u_k`` being the k-th smallest hash in (0, 1).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from feature_platform.statistics.arrays import FloatArray, HashArray, decode_array, encode_array

K = 1024
"""Hashes kept: a standard error of 1 / sqrt(K - 2), 3.1 %."""
_CHUNK = 16_384  # hashes of a chunk stay in the first-level cache while they are mixed
_MIX = np.uint64(0xD6E8FEB86659FD93)
_SPAN = 2.0**64


@dataclass(frozen=True, eq=False)
class DistinctSketch:
    """The `K` smallest hashes seen, sorted; all of them while there are fewer."""

    hashes: HashArray

    @classmethod
    def empty(cls) -> "DistinctSketch":
        """Nothing seen."""
        return cls(np.empty(0, dtype=np.uint64))

    def add_numbers(self, values: FloatArray) -> "DistinctSketch":
        """With the numbers of `values` (no NaN) seen too; -0.0 is 0.0."""
        kept, waiting, held = self.hashes, [], 0
        # Two buffers for all chunks: fresh ones of this size cost as much as the arithmetic.
        numbers, spare = np.empty(_CHUNK), np.empty(_CHUNK, dtype=np.uint64)
        for start in range(0, len(values), _CHUNK):
            # Adding 0.0 turns -0.0 into 0.0, which is the same number in other bits.
            chunk = values[start : start + _CHUNK]
            size = len(chunk)
            bits = np.add(chunk, 0.0, out=numbers[:size]).view(np.uint64)
            hashes = _mix(bits, spare[:size])
            hashes = hashes[hashes < kept[-1]] if len(kept) == K else hashes.copy()
            waiting.append(hashes)
            held += len(hashes)
            # Sorting is what costs: let the few that are small enough gather first.
            if held >= K:
                kept, waiting, held = _smallest(kept, np.concatenate(waiting)), [], 0
        return DistinctSketch(_smallest(kept, np.concatenate(waiting)) if waiting else kept)

    def add_texts(self, values: pa.Array) -> "DistinctSketch":
        """With the strings or bytes of `values` (a large_string or large_binary, no nulls) seen."""
        return DistinctSketch(_smallest(self.hashes, _hash_texts(values)))

    def merge(self, other: "DistinctSketch") -> "DistinctSketch":
        """The sketch of both streams."""
        return DistinctSketch(_smallest(self.hashes, other.hashes))

    @property
    def estimate(self) -> float:
        """Number of distinct values: exact below `K`, else with the standard error `error`."""
        if len(self.hashes) < K:
            return float(len(self.hashes))
        return (K - 1) * _SPAN / float(self.hashes[-1])

    @property
    def error(self) -> float:
        """Relative standard error of `estimate`; 0 where it is exact."""
        return 0.0 if len(self.hashes) < K else 1 / math.sqrt(K - 2)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"hashes": encode_array(self.hashes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "DistinctSketch":
        """What `to_json` wrote."""
        return cls(decode_array(data["hashes"], np.uint64))


def _smallest(kept: HashArray, new: HashArray) -> HashArray:
    if len(kept) == K:
        new = new[new < kept[-1]]
        if not len(new):
            return kept
    merged = np.sort(np.concatenate([kept, new]))
    # Not np.unique, which hashes hashes: sorted neighbours tell repeats apart at once.
    distinct: HashArray = merged[np.diff(merged, prepend=~merged[:1]) != 0]
    return distinct[:K]


def _mix(bits: HashArray, spare: HashArray) -> HashArray:
    """Fold the upper half onto the lower, and multiply: the upper bits depend on all, in place.

    One round is enough for the smallest hashes: numbers that follow each other become multiples of
    an odd constant modulo 2**64, which spread more evenly than chance would spread them.
    """
    np.right_shift(bits, np.uint64(32), out=spare)
    bits ^= spare
    bits *= _MIX
    return bits


def _hash_texts(values: pa.Array) -> HashArray:
    """A polynomial of each value's bytes modulo 2**64, mixed; by column, not by value."""
    if not len(values):
        return np.empty(0, dtype=np.uint64)
    _, offsets_buffer, data = values.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[
        values.offset : values.offset + len(values) + 1
    ]
    lengths = np.diff(offsets)
    size = int(offsets[-1] - offsets[0])
    hashes = np.zeros(len(values), dtype=np.uint64)
    if size:
        texts = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]]
        starts = offsets[:-1] - offsets[0]
        place = np.arange(size) - np.repeat(starts, lengths)
        powers = np.cumprod(np.full(int(lengths.max()), _MIX | np.uint64(1), dtype=np.uint64))
        terms = (texts.astype(np.uint64) + np.uint64(1)) * powers[place]
        filled = lengths > 0
        # reduceat sums to the next start, and an empty value has none of its own.
        hashes[filled] = np.add.reduceat(terms, starts[filled])
    hashes += lengths.astype(np.uint64)
    return _mix(_mix(hashes, np.empty_like(hashes)), np.empty_like(hashes))
