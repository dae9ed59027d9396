"""Number of distinct values of a stream, from the k minimum values of a hash.

Bar-Yossef et al., "Counting distinct elements in a data stream" (2002), with the unbiased estimator
``(k - 1) / u_k`` of Beyer et al. (2007), where ``u_k`` is the k-th smallest hash in (0, 1).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.statistics.profiles.arrays import (
    FloatArray,
    HashArray,
    decode_array,
    encode_array,
)

K = 1024
"""Number of hashes: a standard error of 1 / sqrt(K - 2), 3.1 %."""
CHUNK = 65_536
"""Numbers to hash at once: they fit the second-level cache, and threads rarely wait for the
interpreter."""
_MIX = np.uint64(0xD6E8FEB86659FD93)
_SPAN = 2.0**64


@dataclass(frozen=True, eq=False)
class DistinctSketch:
    """The `K` smallest distinct hashes, sorted; all of them while there are fewer."""

    hashes: HashArray

    @classmethod
    def empty(cls) -> "DistinctSketch":
        """The sketch of no values."""
        return cls(np.empty(0, dtype=np.uint64))

    @classmethod
    def of_texts(cls, values: pa.Array) -> "DistinctSketch":
        """The sketch of a large_string array without nulls."""
        return cls(_smallest(np.empty(0, dtype=np.uint64), _hash_texts(values)))

    def merge(self, other: "DistinctSketch") -> "DistinctSketch":
        """The sketch of both streams."""
        return DistinctSketch(_smallest(self.hashes, other.hashes))

    @property
    def estimate(self) -> float:
        """Number of distinct values: exact below `K`, else with the relative error `error`."""
        if len(self.hashes) < K:
            return float(len(self.hashes))
        return (K - 1) * _SPAN / float(self.hashes[-1])

    @property
    def error(self) -> float:
        """Relative standard error of `estimate`; 0 where it is exact."""
        return 0.0 if len(self.hashes) < K else 1 / math.sqrt(K - 2)

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
        return {"hashes": encode_array(self.hashes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "DistinctSketch":
        """The inverse of `to_json`."""
        return cls(decode_array(data["hashes"], np.uint64))


class SmallestHashes:
    """Builds the sketch of numbers from chunks of at most `CHUNK`."""

    def __init__(self) -> None:
        self._kept: HashArray = np.empty(0, dtype=np.uint64)
        self._waiting: list[HashArray] = []
        self._held = 0
        # Buffers for all chunks: to allocate them anew costs as much as the arithmetic.
        self._mixed, self._spare = (np.empty(CHUNK, dtype=np.uint64) for _ in range(2))

    def add(self, chunk: FloatArray) -> None:
        """Add the numbers of `chunk`, without -0.0."""
        size = len(chunk)
        hashes = _mix(chunk.view(np.uint64), self._mixed[:size], self._spare[:size])
        # Until there are K hashes, all are candidates. Few at a time: once a few thousand distinct
        # values are in, most of the rest are too large.
        while len(self._kept) < K and len(hashes):
            some = 4 * K if len(hashes) == size else size
            self._kept, hashes = _smallest(self._kept, hashes[:some]), hashes[some:]
        if not len(hashes):
            return
        limit = self._kept[-1]
        if not self._kept[0]:
            # The hash of 0 is 0. Do not add it again for each zero: 0 - 1 wraps to the largest.
            least = np.subtract(hashes, np.uint64(1), out=self._spare[: len(hashes)])
            self._waiting.append(hashes[least < limit - np.uint64(1)])
        else:
            self._waiting.append(hashes[hashes < limit])
        self._held += len(self._waiting[-1])
        if self._held >= K:
            self._gather()

    def sketch(self) -> DistinctSketch:
        """The sketch of all numbers so far."""
        self._gather()
        return DistinctSketch(self._kept)

    def _gather(self) -> None:
        if self._waiting:
            self._kept = _smallest(self._kept, np.concatenate(self._waiting))
            self._waiting, self._held = [], 0


def _smallest(kept: HashArray, new: HashArray) -> HashArray:
    if len(kept) == K:
        new = new[new < kept[-1]]
        if not len(new):
            return kept
    if len(new) > 16 * K:
        # Few values repeat often, and to remove repeats is far cheaper than to sort them.
        new = pc.unique(pa.array(new)).to_numpy()
    merged = np.sort(np.concatenate([kept, new]))
    # Faster than np.unique, which does not know that they are sorted.
    distinct: HashArray = merged[np.diff(merged, prepend=~merged[:1]) != 0]
    return distinct[:K]


def _mix(bits: HashArray, mixed: HashArray, spare: HashArray) -> HashArray:
    """Write the hash of `bits` to `mixed`: the halves folded together, times an odd constant.

    One round is enough for the smallest hashes: consecutive numbers become multiples of an odd
    constant modulo 2**64, which are spread more evenly than random numbers.
    """
    np.right_shift(bits, np.uint64(32), out=spare)
    np.bitwise_xor(bits, spare, out=mixed)
    mixed *= _MIX
    return mixed


def _hash_texts(values: pa.Array) -> HashArray:
    """A mixed polynomial of each value's bytes modulo 2**64, vectorized over the column."""
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
        # reduceat sums up to the next start; empty values have none.
        hashes[filled] = np.add.reduceat(terms, starts[filled])
    hashes += lengths.astype(np.uint64)
    once = _mix(hashes, np.empty_like(hashes), np.empty_like(hashes))
    return _mix(once, np.empty_like(hashes), np.empty_like(hashes))
