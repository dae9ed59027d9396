"""A batch source as numbered rows in pieces, read in batches or fetched by number."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.types as pt
from pyarrow import fs

from feature_platform.offline.ticks import MISSING, Ints, Unit, tick_of, ticks, unit_of
from feature_platform.sources.source_errors import require_columns, unreadable


@dataclass(frozen=True)
class Reading:
    """How much of a source is read at a time.

    Attributes:
        threads: Number of pieces.
        batch_rows: Number of rows of each.
        memory_limit: Limit of DuckDB, where it is needed, such as 512MB.
    """

    threads: int = 1
    batch_rows: int = 262_144
    memory_limit: str = "1GB"


class Piece(Protocol):
    """Consecutive rows of a source: some row groups, or a table in memory.

    Attributes:
        rows: Number of rows.
    """

    rows: int

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Read columns in batches of at most `size` rows, in order."""

    def bounds(self, column: str, unit: Unit) -> tuple[int, int] | None:
        """The first and last time of a column in ticks, if they are known."""


@dataclass(frozen=True)
class SourceTable:
    """A batch source that is open for reading.

    Attributes:
        name: Name of the batch source.
        schema: Its columns; dictionaries are read as their values.
        pieces: Its rows, in order. Rows are numbered from 0 through all pieces.
        starts: The number of the first row of each piece, then the number of rows.
    """

    name: str
    schema: pa.Schema
    pieces: tuple[Piece, ...]
    starts: tuple[int, ...]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.starts[-1]

    def require(self, columns: Sequence[str]) -> None:
        """Check that the columns exist.

        Raises:
            SourceError: One does not.
        """
        require_columns(self.name, self.schema.names, columns)

    def read(self, piece: int, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Read columns of a piece in batches of at most `size` rows.

        Raises:
            SourceError: It cannot be read.
        """
        wanted = pa.schema([self.schema.field(name) for name in columns])
        try:
            for batch in self.pieces[piece].batches(columns, size):
                yield _as(batch, wanted)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.name, error) from error

    def read_between(
        self,
        time: str,
        columns: Sequence[str],
        first: datetime | None,
        last: datetime | None,
        size: int,
    ) -> Iterator[tuple[pa.RecordBatch, Ints]]:
        """Read the rows whose time lies in a range, both ends included; None is no bound.

        Rows without a time are in no range, but are read if there is no bound at all.

        Yields:
            A batch of the columns and the time, and the ticks of its times.

        Raises:
            SourceError: The source cannot be read, or the column does not hold times.
        """
        unit = unit_of(self.schema.field(time).type)
        low = MISSING + 1 if first is None else tick_of(first, unit)
        high = np.iinfo(np.int64).max if last is None else tick_of(last, unit)
        wanted = list(dict.fromkeys([*columns, time]))
        for number, piece in enumerate(self.pieces):
            bounds = piece.bounds(time, unit)
            if bounds is not None and (bounds[0] > high or bounds[1] < low):
                continue
            for batch in self.read(number, wanted, size):
                found = ticks(batch.column(time), unit, f"source '{self.name}': column '{time}'")
                if first is None and last is None:
                    yield batch, found
                else:
                    inside = (found >= low) & (found <= high)
                    yield batch.filter(pa.array(inside)), found[inside]

    def fetch(self, rows: Ints, columns: Sequence[str], reading: Reading) -> pa.Table:
        """Fetch rows by their numbers, which are ascending and distinct.

        Raises:
            SourceError: They cannot be read.
        """
        schema = pa.schema([self.schema.field(name) for name in columns])
        cuts = np.searchsorted(rows, self.starts)
        touched = [number for number in range(len(self.pieces)) if cuts[number] < cuts[number + 1]]

        def of(number: int) -> list[pa.RecordBatch]:
            mine = rows[cuts[number] : cuts[number + 1]] - self.starts[number]
            # Whole rows are wide: small batches stay in the processor's cache.
            return list(self._picked(number, mine, columns, min(reading.batch_rows, 65_536)))

        if reading.threads > 1 and len(touched) > 1:
            with ThreadPoolExecutor(reading.threads) as pool:
                found = [batch for batches in pool.map(of, touched) for batch in batches]
        else:
            found = [batch for number in touched for batch in of(number)]
        return pa.Table.from_batches(found, schema)

    def _picked(
        self, piece: int, rows: Ints, columns: Sequence[str], size: int
    ) -> Iterator[pa.RecordBatch]:
        start = done = 0
        for batch in self.read(piece, columns, size):
            end = start + batch.num_rows
            stop = int(np.searchsorted(rows, end))
            if stop > done:
                yield batch.take(pa.array(rows[done:stop] - start))
            start, done = end, stop
            if done == len(rows):
                return


def table_of_dataset(name: str, dataset: ds.FileSystemDataset, threads: int) -> SourceTable:
    """A dataset of Parquet files.

    Raises:
        SourceError: A file of it cannot be read, or files disagree about a column.
    """
    fragments = list(dataset.get_fragments())
    try:
        with ThreadPoolExecutor(max(threads, 1)) as pool:
            list(pool.map(lambda each: each.ensure_complete_metadata(), fragments))
        schema = _unified([_plain(fragment.physical_schema) for fragment in fragments])
        parts = [ds.get_partition_keys(fragment.partition_expression) for fragment in fragments]
    except (pa.ArrowException, OSError) as error:
        raise unreadable(name, error) from error
    for field in _plain(dataset.schema):  # columns of partitions, and those a format declares
        if field.name not in schema.names and (not parts or any(field.name in p for p in parts)):
            schema = schema.append(field)
    pieces: list[Piece] = [
        _RowGroups(fragment, numbers, part, schema)
        for fragment, part in zip(fragments, parts, strict=True)
        for numbers in _grouped(fragment.metadata)
    ]
    return _of_pieces(name, schema, pieces)


def table_in_memory(name: str, table: pa.Table) -> SourceTable:
    """A table in memory."""
    schema = _plain(table.schema)
    return _of_pieces(name, schema, [_InMemory(table)] if table.num_rows else [])


def _grouped(metadata: Any, rows: int = 262_144) -> Iterator[list[int]]:
    """Consecutive row groups with about `rows` rows together."""
    found: list[int] = []
    held = 0
    for number in range(metadata.num_row_groups):
        more = metadata.row_group(number).num_rows
        if found and held + more > rows:
            yield found
            found, held = [], 0
        found.append(number)
        held += more
    if found:
        yield found


def _of_pieces(name: str, schema: pa.Schema, pieces: list[Piece]) -> SourceTable:
    starts = np.concatenate([[0], np.cumsum([piece.rows for piece in pieces], dtype=np.int64)])
    return SourceTable(name, schema, tuple(pieces), tuple(int(start) for start in starts))


class _RowGroups:
    def __init__(
        self, fragment: Any, numbers: list[int], partition: dict[str, Any], schema: pa.Schema
    ) -> None:
        self.rows = sum(int(fragment.metadata.row_group(each).num_rows) for each in numbers)
        self._fragment = fragment
        self._numbers = numbers
        self._partition = partition
        self._schema = schema

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        fragment = self._fragment
        present = set(fragment.physical_schema.names)
        stored = [name for name in columns if name in present and name not in self._partition]
        if not stored:
            for start in range(0, self.rows, size):
                yield self._completed({}, min(size, self.rows - start), columns)
            return
        remote = not isinstance(fragment.filesystem, fs.LocalFileSystem)
        with fragment.filesystem.open_input_file(fragment.path) as opened:
            file = pq.ParquetFile(
                opened, metadata=fragment.metadata, pre_buffer=remote, buffer_size=0
            )
            for batch in file.iter_batches(
                batch_size=size, row_groups=self._numbers, columns=stored, use_threads=False
            ):
                found = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield self._completed(found, batch.num_rows, columns)

    def bounds(self, column: str, unit: Unit) -> tuple[int, int] | None:
        found = [self._bounds(number, column, unit) for number in self._numbers]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return None
        return min(low for low, _ in known), max(high for _, high in known)

    def _bounds(self, number: int, column: str, unit: Unit) -> tuple[int, int] | None:
        group = self._fragment.metadata.row_group(number)
        for place in range(group.num_columns):
            described = group.column(place)
            if described.path_in_schema == column:
                return _bounds(described, unit)
        return None

    def _completed(
        self, found: dict[str, Any], rows: int, columns: Sequence[str]
    ) -> pa.RecordBatch:
        arrays = []
        for name in columns:
            if name in found:
                arrays.append(found[name])
            elif name in self._partition:
                value = pa.scalar(self._partition[name])
                arrays.append(pa.repeat(value, rows))
            else:
                arrays.append(pa.nulls(rows, self._schema.field(name).type))
        return pa.RecordBatch.from_arrays(arrays, names=list(columns))


class _InMemory:
    def __init__(self, table: pa.Table) -> None:
        self.rows = table.num_rows
        self._table = table

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        yield from self._table.select(list(columns)).to_batches(max_chunksize=size)

    def bounds(self, column: str, unit: Unit) -> tuple[int, int] | None:  # noqa: ARG002
        return None


def _bounds(described: Any, unit: Unit) -> tuple[int, int] | None:
    """First and last tick by a column's Parquet statistics, widened to whole microseconds."""
    try:
        if not described.is_stats_set or not described.statistics.has_min_max:
            return None
        low, high = described.statistics.min, described.statistics.max
    except (pa.ArrowException, ValueError, OverflowError):
        return None
    if not isinstance(low, datetime) or not isinstance(high, datetime):
        return None
    return tick_of(low, unit), tick_of(high, unit) + (1 if unit == "us" else 1000)


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with types that Arrow can filter, take and join, at any depth.

    Dictionaries and run-end encoded columns are read as their values, views as what they view.
    """
    return pa.schema((field.name, _plain_type(field.type)) for field in schema)


def _plain_type(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911  a line a layout
    if pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    if pt.is_string_view(kind):
        return pa.string()
    if pt.is_binary_view(kind):
        return pa.binary()
    if pt.is_list(kind) or pt.is_list_view(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pt.is_large_list(kind) or pt.is_large_list_view(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if pt.is_struct(kind):
        return pa.struct([(field.name, _plain_type(field.type)) for field in kind])
    if pt.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    return kind


def _unified(schemas: list[pa.Schema]) -> pa.Schema:
    """The schema that all rows fit in; a time that has a zone in some files is UTC in all."""
    zones: dict[str, set[str | None]] = {}
    for field in chain.from_iterable(schemas):
        if pa.types.is_timestamp(field.type):
            zones.setdefault(field.name, set()).add(field.type.tz)

    def in_utc(field: pa.Field) -> pa.Field:
        is_mixed = pa.types.is_timestamp(field.type) and len(zones[field.name]) > 1
        return field.with_type(pa.timestamp(field.type.unit, "UTC")) if is_mixed else field

    return pa.unify_schemas(
        [pa.schema(map(in_utc, schema)) for schema in schemas], promote_options="permissive"
    )


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.types == schema.types:
        return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    arrays = [
        _cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pt.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if "list_view" in str(column.type):
        return pa.array(column.to_pylist(), kind)  # Arrow's cast gives nulls broken offsets
    return column.cast(kind)


def processors() -> int:
    """The number of threads that can run at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
