"""Join keys as small integers (codes), so that the point-in-time join only compares numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.errors import SourceError
from feature_platform.offline.ticks import Ints, is_text

# The longest look-up table from integers to codes.
_DIRECT = 1 << 24


@dataclass(frozen=True)
class KeyCodes:
    """The distinct keys of entity rows, numbered from 0.

    Attributes:
        codes: The code of each entity row; -1 if a part of its key is null or does not fit the
            source's type.
        count: Number of distinct keys.
    """

    codes: Ints
    count: int
    _columns: tuple["_Values", ...]
    _combined: tuple[Ints, ...]

    def of(self, columns: Sequence[Any]) -> Ints:
        """The codes of source rows; -1 if no entity row has the key."""
        found = self._columns[0].codes(columns[0])
        for values, combined, column in zip(
            self._columns[1:], self._combined, columns[1:], strict=True
        ):
            part = values.codes(column)
            mixed = np.where((found < 0) | (part < 0), -1, found * values.count + part)
            place = np.minimum(np.searchsorted(combined, mixed), len(combined) - 1)
            found = (
                np.where(combined[place] == mixed, place, -1) if len(combined) else mixed * 0 - 1
            )
        return found


def key_codes(
    entity_columns: Sequence[tuple[str, Any]], source_types: Sequence[pa.DataType], subject: str
) -> KeyCodes:
    """Number the keys of entity rows.

    Args:
        entity_columns: Name and values of each part of the key.
        source_types: The type of each part in the source.
        subject: What errors are about.

    Raises:
        SourceError: A part cannot be compared with the source's column.
    """
    parts, combined = [], []
    codes = np.zeros(0, dtype=np.int64)
    count = 0
    for number, ((name, column), kind) in enumerate(zip(entity_columns, source_types, strict=True)):
        values, part = _number(name, column, kind, subject)
        parts.append(values)
        if number == 0:
            codes, count = part, values.count
            continue
        mixed = np.where((codes < 0) | (part < 0), -1, codes * values.count + part)
        known = np.unique(mixed[mixed >= 0])
        codes = np.where(mixed < 0, -1, np.searchsorted(known, mixed))
        combined.append(known)
        count = len(known)
    return KeyCodes(codes, count, tuple(parts), tuple(combined))


class _Values:
    """The distinct values of one part of the key."""

    def __init__(self, values: Any, kind: pa.DataType) -> None:
        self.kind = kind
        self.values = values
        self.count = max(len(values), 1)
        self._table: Ints | None = None
        self._first = 0
        if pa.types.is_integer(kind) and not pa.types.is_uint64(kind) and len(values):
            bounds = pc.min_max(values).as_py()
            span = bounds["max"] - bounds["min"] + 1
            near = abs(bounds["min"]) < 2**62  # so that differences from it do not overflow
            if near and span <= min(_DIRECT, max(1 << 20, 16 * len(values))):
                self._first = bounds["min"]
                self._table = np.full(span + 2, -1, dtype=np.int64)
                self._table[values.to_numpy() - self._first + 1] = np.arange(len(values))

    def codes(self, column: Any) -> Ints:
        """The number of each value; -1 for unknown values."""
        column = _cast(column, self.kind)
        if self._table is not None:
            return self._looked_up(column)
        found = pc.index_in(column, value_set=self.values, skip_nulls=True)
        numbers: Ints = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return numbers

    def _looked_up(self, column: Any) -> Ints:
        table = self._table
        assert table is not None  # noqa: S101 - for the type checker
        nulls = column.null_count
        numbers = (pc.fill_null(column, 0) if nulls else column).to_numpy(zero_copy_only=False)
        # Values outside of the table are clipped to its ends, which have no key.
        found: Ints = np.take(table, numbers - (self._first - 1), mode="clip")
        if nulls:
            found[column.is_null().to_numpy(zero_copy_only=False)] = -1
        return found


def _number(name: str, column: Any, source: pa.DataType, subject: str) -> tuple[_Values, Ints]:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = _compared(column.type, source)
    if kind is None:
        raise SourceError(
            subject,
            f"has key '{name}' of type {column.type}, but the source's is {source}",
            f"cast the entity rows' '{name}' to the type of the source",
        )
    try:
        wanted = _entity_cast(column, kind)
    except pa.ArrowException as error:
        raise SourceError(
            subject,
            f"has key '{name}' of type {column.type}, which the source's type {source} cannot hold "
            f"({error})",
            f"cast the entity rows' '{name}' to the type of the source",
        ) from error
    values = pc.unique(pc.drop_null(wanted))
    numbered = _Values(values, kind)
    return numbered, numbered.codes(wanted)


def _compared(entity: pa.DataType, source: pa.DataType) -> pa.DataType | None:
    """The type in which keys of two types are compared; None if they cannot be."""
    found = None
    if pa.types.is_null(entity) or entity == source:
        found = source
    elif pa.types.is_null(source):
        found = entity
    elif _is_number(source) and _is_number(entity):
        if pa.types.is_floating(source):
            found = pa.float64()
        else:
            found = pa.uint64() if pa.types.is_uint64(source) else pa.int64()
    elif is_text(source) and is_text(entity):
        found = source if source in (pa.string(), pa.large_string()) else pa.large_string()
    elif _is_bytes(source) and _is_bytes(entity):
        found = pa.large_binary()
    elif pa.types.is_decimal(source) and (
        pa.types.is_decimal(entity) or pa.types.is_integer(entity)
    ):
        places = max(source.scale, entity.scale if pa.types.is_decimal(entity) else 0)
        found = pa.decimal256(76, places)
    elif pa.types.is_temporal(source) and pa.types.is_temporal(entity):
        found = source
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _entity_cast(column: Any, kind: pa.DataType) -> Any:
    """Entity keys cast to the compared type; keys that do not fit match nothing, become null."""
    if pa.types.is_floating(column.type) and pa.types.is_integer(kind):
        # pandas turns integers with nulls into floats.
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**63))
        column = pc.if_else(whole, column, pa.scalar(None, column.type))
    if pa.types.is_uint64(kind) and pa.types.is_signed_integer(column.type):
        column = pc.if_else(pc.less(column, 0), pa.scalar(None, column.type), column)
    if pa.types.is_signed_integer(kind) and pa.types.is_uint64(column.type):
        column = pc.if_else(pc.greater(column, 2**63 - 1), pa.scalar(None, column.type), column)
    return _cast(column, kind)


def _cast(column: Any, kind: pa.DataType) -> Any:
    if column.type == kind:
        return column
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(column.type):
        return column.cast(kind, safe=False)
    return column.cast(kind)
