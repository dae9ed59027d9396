"""Arrays and numbers as JSON, exactly: base64 of little-endian bytes, and no NaN in the text."""

import base64
import math
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]


def encode_array(values: npt.NDArray[Any]) -> str:
    """One-dimensional `values` of 8-byte numbers as ASCII; `decode_array` gives the same bits."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def decode_array(text: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """The array that `encode_array` wrote, of `dtype`, writable by nobody."""
    return np.frombuffer(base64.b64decode(text), dtype=np.dtype(dtype).newbyteorder("<")).astype(
        dtype
    )


def finite_or_none(value: float) -> float | None:
    """JSON has no NaN and no infinity: None stands for "there is none"."""
    return float(value) if math.isfinite(value) else None


def nan_if_none(value: float | None) -> float:
    """The inverse of `finite_or_none` for statistics that are undefined on no values."""
    return math.nan if value is None else float(value)
