"""What stored JSON holds: arrays as base64 of little-endian bytes, no NaN, and a schema version."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_platform.errors import StatisticsError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]


def encode_array(values: npt.NDArray[Any]) -> str:
    """A one-dimensional array of 8-byte numbers as ASCII, for `decode_array`, bit for bit."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def decode_array(text: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """The inverse of `encode_array`."""
    return np.frombuffer(base64.b64decode(text), dtype=np.dtype(dtype).newbyteorder("<")).astype(
        dtype
    )


def finite_or_none(value: float) -> float | None:
    """`value`, or None in place of NaN and infinities, which JSON lacks."""
    return float(value) if math.isfinite(value) else None


def nan_if_none(value: float | None) -> float:
    """The inverse of `finite_or_none` where only NaN is possible."""
    return math.nan if value is None else float(value)


def require_schema(data: Mapping[str, Any], version: int, subject: str, remedy: str) -> None:
    """Raise StatisticsError if stored JSON is of another schema version."""
    found = data.get("schema_version")
    if found != version:
        problem = f"it is of schema version {found!r}, this is version {version}"
        raise StatisticsError(subject, problem, remedy)
