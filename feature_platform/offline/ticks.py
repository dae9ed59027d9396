"""Times as whole numbers (ticks), exact to the nanosecond where a source has nanoseconds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.times import MICROSECOND, to_microseconds
from feature_platform.errors import SourceError

Ints = npt.NDArray[np.int64]
Unit = Literal["us", "ns"]

MISSING = int(np.iinfo(np.int64).min)
"""The tick of a null time: before every other."""

_LEAST = MISSING + 1
_GREATEST = int(np.iinfo(np.int64).max)
_PER_MICROSECOND = {"us": 1, "ns": 1000}


@dataclass(frozen=True)
class Moments:
    """The times of entity rows.

    Attributes:
        micros: Whole microseconds since 1970 UTC, rounded down; `MISSING` for null.
        nanos: The remainder of each, 0 to 999 nanoseconds.
    """

    micros: Ints
    nanos: Ints

    def latest(self, unit: Unit) -> Ints:
        """The last tick of a unit that is not after each moment; `MISSING` for null."""
        return self.micros if unit == "us" else _nanoseconds(self.micros, self.nanos)

    def earliest(self, unit: Unit, ttl: timedelta | None) -> Ints:
        """The first tick of a unit that is not more than `ttl` before each moment."""
        span = ttl // MICROSECOND * _PER_MICROSECOND[unit] if ttl else _GREATEST + 1
        if span > _GREATEST:
            return np.full(len(self.micros), _LEAST, dtype=np.int64)
        moments = self.latest(unit)
        found = np.where(moments < _LEAST + span, _LEAST, moments - span)
        # In whole microseconds, a moment with remaining nanoseconds reaches back to the next one.
        return found + (self.nanos > 0) if unit == "us" else found


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def unit_of(*kinds: pa.DataType) -> Unit:
    """The unit in which times of all these types are exact."""
    nanoseconds = any(pa.types.is_timestamp(kind) and kind.unit == "ns" for kind in kinds)
    return "ns" if nanoseconds else "us"


def ticks(column: pa.Array | pa.ChunkedArray, unit: Unit, subject: str) -> Ints:
    """A column of times as ticks since 1970 UTC; `MISSING` for null.

    Times without a zone are UTC. Text is read as ISO 8601.

    Raises:
        SourceError: The column does not hold times.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    times = _timestamps(column, subject)
    if times.type.unit == "ns":
        return _whole(times)
    try:
        micros = _whole(times.cast(pa.timestamp("us", times.type.tz)))
    except pa.ArrowInvalid as error:
        raise SourceError(
            subject,
            f"holds times that do not fit into microseconds since 1970 ({error})",
            "store it as a timestamp of microseconds",
        ) from error
    return micros if unit == "us" else _nanoseconds(micros, np.zeros(len(micros), np.int64))


def tick_of(moment: datetime, unit: Unit) -> int:
    """A datetime as a tick since 1970; without a zone it is UTC."""
    return to_microseconds(moment) * _PER_MICROSECOND[unit]


def moments_of(column: pa.Array | pa.ChunkedArray, subject: str) -> Moments:
    """The times of entity rows; those without a zone are UTC.

    Raises:
        SourceError: The column does not hold times.
    """
    if unit_of(column.type) == "us":
        micros = ticks(column, "us", subject)
        return Moments(micros, np.zeros(len(micros), dtype=np.int64))
    whole = ticks(column, "ns", subject)
    missing = whole == MISSING
    return Moments(np.where(missing, MISSING, whole // 1000), np.where(missing, 0, whole % 1000))


def _timestamps(column: Any, subject: str) -> Any:
    kind = column.type
    if pa.types.is_null(kind) or pa.types.is_date(kind):
        return column.cast(pa.timestamp("us"))
    if is_text(kind):
        return _parsed(column, subject)
    if not pa.types.is_timestamp(kind):
        raise SourceError(
            subject, f"is of type {kind}", "store it as a timestamp (microseconds, UTC)"
        )
    return column


def _parsed(column: Any, subject: str) -> Any:
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        pass
    try:
        return column.cast(pa.timestamp("us", "UTC"))  # with an offset from UTC
    except pa.ArrowInvalid as error:
        raise SourceError(
            subject, f"is text that is not a time ({error})", "store it as a timestamp"
        ) from error


def _whole(times: Any) -> Ints:
    numbers = times.cast(pa.timestamp(times.type.unit)).cast(pa.int64())
    if numbers.null_count:
        numbers = pc.fill_null(numbers, MISSING)
    found: Ints = numbers.to_numpy(zero_copy_only=False)
    return found


def _nanoseconds(micros: Ints, nanos: Ints) -> Ints:
    """Nanoseconds; times beyond their range become the first or last."""
    low, high = -(2**63) // 1000 + 1, (2**63) // 1000 - 1
    found = np.clip(micros, low, high) * 1000 + nanos
    return np.where(micros == MISSING, MISSING, found)
