"""Distinct values of a stream: the k minimum values of a hash.

Bar-Yossef et al., "Counting distinct elements in a data stream" (2002); the unbiased estimator
``(k - 1) / u_k`` is that of Beyer et al. (2007), ``u_k`` being the k-th smallest hash in (0, 1).
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
"""Hashes kept: a standard error of 1 / sqrt(K - 2), 3.1 %."""
CHUNK = 65_536
"""Numbers to hash at once: enough that threads seldom wait for the interpreter, and few enough for
the second-level cache."""
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
        hashes = SmallestHashes(self)
        for start in range(0, len(values), CHUNK):
            hashes.add(values[start : start + CHUNK] + 0.0)
        return hashes.sketch()

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


class SmallestHashes:
    """A sketch while it grows; chunk by chunk, at most `CHUNK` numbers each."""

    def __init__(self, start: DistinctSketch) -> None:
        self._kept = start.hashes
        self._waiting: list[HashArray] = []
        self._held = 0
        # Two buffers for all chunks: fresh ones of this size cost as much as the arithmetic.
        self._mixed, self._spare = (np.empty(CHUNK, dtype=np.uint64) for _ in range(2))

    def add(self, chunk: FloatArray) -> None:
        """See the numbers of `chunk`, in which no zero is negative."""
        size = len(chunk)
        hashes = _mix(chunk.view(np.uint64), self._mixed[:size], self._spare[:size])
        # Until there are K, all are candidates; few at first, since after some thousand of a
        # feature with many values most of the others are too large to be candidates.
        while len(self._kept) < K and len(hashes):
            some = 4 * K if len(hashes) == size else size
            self._kept, hashes = _smallest(self._kept, hashes[:some]), hashes[some:]
        if not len(hashes):
            return
        limit = self._kept[-1]
        if not self._kept[0]:
            # The hash of 0 is 0, and a feature that is mostly 0 need not bring it again each time:
            # one less than 0 is the largest there is.
            least = np.subtract(hashes, np.uint64(1), out=self._spare[: len(hashes)])
            self._waiting.append(hashes[least < limit - np.uint64(1)])
        else:
            self._waiting.append(hashes[hashes < limit])
        self._held += len(self._waiting[-1])
        if self._held >= K:
            self._gather()

    def sketch(self) -> DistinctSketch:
        """What was seen."""
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
        # Of few values there are many repeats; to hash them away is far cheaper than to sort them.
        new = pc.unique(pa.array(new)).to_numpy()
    merged = np.sort(np.concatenate([kept, new]))
    # Not np.unique, which hashes hashes: sorted neighbours tell repeats apart at once.
    distinct: HashArray = merged[np.diff(merged, prepend=~merged[:1]) != 0]
    return distinct[:K]


def _mix(bits: HashArray, mixed: HashArray, spare: HashArray) -> HashArray:
    """Into `mixed`: `bits`, the upper half folded onto the lower, times an odd constant.

    One round is enough for the smallest hashes: numbers that follow each other become multiples of
    an odd constant modulo 2**64, which spread more evenly than chance would spread them.
    """
    np.right_shift(bits, np.uint64(32), out=spare)
    np.bitwise_xor(bits, spare, out=mixed)
    mixed *= _MIX
    return mixed


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
    once = _mix(hashes, np.empty_like(hashes), np.empty_like(hashes))
    return _mix(once, np.empty_like(hashes), np.empty_like(hashes))
