"""Columns of byte strings: joined in Arrow, numbers encoded in NumPy."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_CACHED_LENGTHS = 4096


def binary_array(offsets: npt.NDArray[np.integer[Any]], data: Any) -> pa.Array:
    """An Arrow binary array without nulls over existing bytes.

    Args:
        offsets: The start of each string, and the end of the last.
        data: The bytes, as a buffer or a NumPy array of uint8.
    """
    ends = np.ascontiguousarray(offsets, dtype=np.int32)
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )


def constant(value: bytes, length: int) -> pa.Array:
    """An array that repeats a byte string `length` times."""
    return pa.repeat(pa.scalar(value, pa.binary()), length)


def join(*pieces: pa.Array) -> pa.Array:
    """The pieces of each row concatenated."""
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary()))


def objects(column: pa.Array) -> list[Any]:
    """The values as Python objects; several times faster than ``to_pylist``."""
    found: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return found


def fixed_width(values: npt.NDArray[Any]) -> pa.Array:
    """Each number in little-endian bytes."""
    width = values.dtype.itemsize
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    offsets = np.arange(len(values) + 1, dtype=np.int32) * width
    return binary_array(offsets, little.view(np.uint8))


def varints(values: npt.NDArray[np.int64]) -> pa.Array:
    """Each number as a protobuf varint: seven bits per byte, lowest first; negatives take ten."""
    unsigned = values.astype(np.int64, copy=False).view(np.uint64)
    if len(unsigned) == 0:
        return pa.array([], pa.binary())
    most = max(1, -(-int(unsigned.max()).bit_length() // 7))
    shifts = np.arange(most, dtype=np.uint64) * np.uint64(7)
    groups = unsigned[:, None] >> shifts
    lengths = np.maximum((groups != 0).sum(axis=1), 1)
    digits = (groups & np.uint64(0x7F)).astype(np.uint8)
    places = np.arange(most)
    digits[places < (lengths - 1)[:, None]] |= 0x80
    used = digits[places < lengths[:, None]]
    return binary_array(np.concatenate([[0], np.cumsum(lengths)]), used)


def length_prefix(column: pa.Array) -> pa.Array:
    """The length of each byte string as a varint."""
    lengths = pc.binary_length(column).to_numpy(zero_copy_only=False)
    if len(lengths) and lengths.max() < _CACHED_LENGTHS:
        return _short_prefixes().take(pa.array(lengths, pa.int32()))
    return varints(lengths.astype(np.int64))


@cache
def _short_prefixes() -> pa.Array:
    return varints(np.arange(_CACHED_LENGTHS, dtype=np.int64))
