"""The point-in-time join: for each entity row, the newest source row of its key at its time.

The entity rows fit into memory; the source may not. So the source is neither sorted nor joined: the
moments of each key are laid out in order, every source row looks up the first moment that is not
before it (its slot), and a slot keeps its newest row. A moment then sees the newest row of its slot
and of the slots before it. A source row costs one look-up and one comparison, and memory grows with
the entity rows only.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from feature_platform.offline.join_keys import KeyCodes, key_codes
from feature_platform.offline.source_table import Reading, SourceTable
from feature_platform.offline.ticks import MISSING, Ints, Moments, Unit, ticks, unit_of
from feature_platform.offline.tied_rows import Newest, TieBreak

NO_ROW = -1
"""The row number of an entity row without a row."""

# From so many entity rows on, features are arranged in several threads.
_MANY = 100_000


@dataclass(frozen=True)
class AsOf:
    """How the rows of a source are joined to entity rows.

    Attributes:
        source: The source, open.
        keys: Columns of the source to the key columns of the entity rows; none joins all rows.
        time: The event time column of the source.
        created: The created time column, if it has one.
        ttl: Maximum age of a row at the moment; None is any age.
        known: Whether a row must also have been created by the moment.
        order: Columns that break ties of rows equal in both times; the greater value wins.
    """

    source: SourceTable
    keys: tuple[tuple[str, str], ...]
    time: str
    created: str | None
    ttl: timedelta | None
    known: bool
    order: tuple[str, ...]


@dataclass(frozen=True)
class JoinTarget:
    """The entity rows that sources are joined to, one after the other.

    Attributes:
        table: The columns.
        moments: The times.
    """

    table: pa.Table
    moments: Moments
    _laid_out: dict[tuple[Any, ...], "tuple[KeyCodes | None, _Slots]"] = field(default_factory=dict)

    def laid_out(self, join: AsOf, unit: Unit) -> "tuple[KeyCodes | None, _Slots]":
        """The keys and their slots, computed once for all sources with keys of the same types."""
        kinds = tuple(join.source.schema.field(column).type for column, _ in join.keys)
        names = tuple(name for _, name in join.keys)
        if (kinds, names, unit) not in self._laid_out:
            subject = f"entity rows for source '{join.source.name}'"
            columns = [(name, self.table.column(name)) for name in names]
            keys = key_codes(columns, kinds, subject) if names else None
            slots = _slots(keys, self.table.num_rows, self.moments, unit)
            self._laid_out[kinds, names, unit] = keys, slots
        return self._laid_out[kinds, names, unit]


def newest_rows(join: AsOf, target: JoinTarget, reading: Reading) -> Ints:
    """The number of the source row that each entity row sees; `NO_ROW` where it sees none.

    That is the row of its key with the greatest (event time, created time) among those whose event
    time (with `known`: and created time) is not after the moment; it must not be older than the
    TTL. A missing created time is before every other, and is known at no moment. Rows without an
    event time or a part of their key are never seen.

    Raises:
        SourceError: A column is missing or of the wrong type, or the source cannot be read.
    """
    source = join.source
    times = [join.time, *([join.created] if join.created else [])]
    source.require([*(column for column, _ in join.keys), *times, *join.order])
    unit = unit_of(*(source.schema.field(name).type for name in times))
    keys, slots = target.laid_out(join, unit)
    earliest = target.moments.earliest(unit, join.ttl)
    found = np.full(target.table.num_rows, NO_ROW, dtype=np.int64)
    if slots.latest == MISSING:
        return found
    # Created times are only compared where event times are equal, unless they must be known.
    created = None if join.known else join.created
    tie_break = TieBreak(source, ((created,) if created else ()) + join.order, created, reading)
    newest = Newest(slots.count, slots.first[1:] - 1, tie_break)
    span = (int(earliest[slots.of_row >= 0].min()), slots.latest)
    _read_all(_LookUp(join, keys, slots, unit, span), newest, reading)
    seen = _carried(slots, newest, across=join.known)
    of_row = np.where(slots.of_row >= 0, seen[slots.of_row], -1)
    fresh = (of_row >= 0) & (newest.times[of_row] >= earliest)
    found[fresh] = newest.rows[of_row[fresh]]
    return found


@dataclass(frozen=True)
class _Slots:
    """The distinct moments of each key in order, key after key.

    The last slot of each key is after all of its moments: no moment sees its row.

    Attributes:
        moments: In ticks.
        keys: The key of each slot.
        first: The first slot of each key, then the number of slots.
        of_row: The slot of each entity row; -1 if it has no key or no moment.
        latest: The last moment of all.
    """

    moments: Ints
    keys: Ints
    first: Ints
    of_row: Ints
    latest: int

    @property
    def count(self) -> int:
        return len(self.moments)

    def start(self, tick: int) -> Ints:
        """For each key, the first slot that is not before a tick."""
        before = np.zeros(self.count + 1, dtype=np.int64)
        np.cumsum(self.moments < tick, out=before[1:])
        return self.first[:-1] + before[self.first[1:]] - before[self.first[:-1]]

    def of(self, keys: Ints, at: Ints) -> Ints:
        """The first slot of each key that is not before a tick."""
        if len(at) > self.count // 8:
            # Files are mostly written in order of time: then only one slot per key is possible.
            low, high = self.start(int(at.min()))[keys], self.start(int(at.max()))[keys]
        else:
            low, high = self.first[keys], self.first[keys + 1] - 1
        open_ = np.flatnonzero(low < high)
        while len(open_):
            left, right = low[open_], high[open_]
            middle = (left + right) >> 1
            less = self.moments[middle] < at[open_]
            low[open_] = left = np.where(less, middle + 1, left)
            high[open_] = right = np.where(less, right, middle)
            open_ = open_[left < right]
        return low


def _slots(keys: KeyCodes | None, rows: int, moments: Moments, unit: Unit) -> _Slots:
    codes = keys.codes if keys else np.zeros(rows, dtype=np.int64)
    count = keys.count if keys else 1
    at = moments.latest(unit)
    some = np.flatnonzero((codes >= 0) & (at != MISSING))
    order = some[np.lexsort((at[some], codes[some]))]
    sorted_codes, sorted_at = codes[order], at[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (sorted_codes[1:] != sorted_codes[:-1]) | (sorted_at[1:] != sorted_at[:-1])
    of_row = np.full(rows, -1, dtype=np.int64)
    of_row[order] = np.cumsum(new) - 1
    of_row[order] += sorted_codes  # one more slot for each key before
    own, own_keys = sorted_at[new], sorted_codes[new]
    first = np.searchsorted(own_keys, np.arange(count + 1)) + np.arange(count + 1)
    moments_ = np.full(len(own) + count, np.iinfo(np.int64).max, dtype=np.int64)
    moments_[np.arange(len(own)) + own_keys] = own
    return _Slots(
        moments=moments_,
        keys=np.repeat(np.arange(count), np.diff(first)),
        first=first.astype(np.int64),
        of_row=of_row,
        latest=int(own.max()) if len(own) else MISSING,
    )


@dataclass(frozen=True)
class _LookUp:
    """Finds the slots of source rows.

    Attributes:
        join: How the source is joined.
        keys: The keys of the entity rows; None if there are none.
        slots: The slots of the entity rows.
        unit: The unit of all ticks.
        span: The first and last event time that some moment can see.
    """

    join: AsOf
    keys: KeyCodes | None
    slots: _Slots
    unit: Unit
    span: tuple[int, int]

    def pieces(self) -> list[int]:
        """The pieces that may have rows in the span, the latest first, so that most others lose."""
        found = []
        for number, piece in enumerate(self.join.source.pieces):
            bounds = piece.bounds(self.join.time, self.unit)
            if bounds is None or (bounds[0] <= self.span[1] and bounds[1] >= self.span[0]):
                found.append((bounds[1] if bounds else self.span[1], number))
        return [number for _, number in sorted(found, reverse=True)]

    def placed(self, piece: int, batch_rows: int) -> Iterator[tuple[Ints, Ints, Ints, Ints | None]]:
        """Rows of the wanted keys: number, slot, event time, and created time if it counts."""
        join = self.join
        columns = [column for column, _ in join.keys]
        created_column = join.created if join.known else None
        wanted = [*columns, join.time, *([created_column] if created_column else [])]
        start = join.source.starts[piece]
        for batch in join.source.read(piece, list(dict.fromkeys(wanted)), batch_rows):
            if not batch.num_rows:
                continue
            time = self._ticks(batch, join.time)
            code = np.zeros(len(time), dtype=np.int64)
            if self.keys:
                code = self.keys.of([batch.column(column) for column in columns])
            good = code >= 0
            if time.min() < self.span[0] or time.max() > self.span[1]:
                good &= (time >= self.span[0]) & (time <= self.span[1])
            created = self._ticks(batch, created_column) if created_column else None
            if created is not None:
                good &= created != MISSING
            picked = np.flatnonzero(good)
            rows = picked + start
            start += batch.num_rows
            if not len(picked):
                continue
            if len(picked) < batch.num_rows:
                time, code = time[picked], code[picked]
                created = created[picked] if created is not None else None
            seen_from = time if created is None else np.maximum(time, created)
            yield rows, self.slots.of(code, seen_from), time, created

    def _ticks(self, batch: Any, column: str) -> Ints:
        subject = f"source '{self.join.source.name}': column '{column}'"
        return ticks(batch.column(column), self.unit, subject)


def _read_all(look_up: _LookUp, newest: Newest, reading: Reading) -> None:
    """Offer every source row that can be seen."""
    lock = threading.Lock()

    def read(piece: int) -> None:
        for rows, slot, time, created in look_up.placed(piece, reading.batch_rows):
            with lock:
                newest.offer(rows, slot, time, created)

    pieces = look_up.pieces()
    if reading.threads > 1 and len(pieces) > 1:
        with ThreadPoolExecutor(reading.threads) as pool:
            try:
                for done in [pool.submit(read, piece) for piece in pieces]:
                    done.result()
            except BaseException:  # Ctrl-C too: do not read the rest of the source
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    else:
        for piece in pieces:
            read(piece)
    newest.settle()


def _carried(slots: _Slots, newest: Newest, *, across: bool) -> Ints:
    """For each slot, the slot whose row it sees: its own, or an earlier one of the same key."""
    filled = newest.rows >= 0
    if not across:
        # Rows of a later slot are newer than those of any before.
        last = np.maximum.accumulate(np.where(filled, np.arange(slots.count), -1))
        return np.where(last >= slots.first[slots.keys], last, -1)
    order = np.lexsort((newest.created, newest.times))
    rank = np.empty(slots.count, dtype=np.int64)
    rank[order] = np.arange(1, slots.count + 1)
    base = slots.keys * (slots.count + 1)
    best = np.maximum.accumulate(base + np.where(filled, rank, 0)) - base
    return np.where(best > 0, order[np.maximum(best, 1) - 1], -1)


def fetched(source: SourceTable, rows: Ints, columns: Sequence[str], reading: Reading) -> list[Any]:
    """Columns of source rows as chunked arrays, in the order of `rows`; nulls for `NO_ROW`."""
    wanted, place = _each_once(rows, source.rows)
    table = source.fetch(wanted, list(dict.fromkeys(columns)), reading)
    places = pa.array(place, mask=rows == NO_ROW)
    held = [table.column(name).combine_chunks() for name in columns]
    if reading.threads == 1 or len(rows) < _MANY:
        return [_taken(column, places) for column in held]
    with ThreadPoolExecutor(reading.threads) as pool:
        return list(pool.map(lambda column: _taken(column, places), held))


def _each_once(rows: Ints, count: int) -> tuple[Ints, Ints]:
    """The distinct rows, ascending, and each row's place among them; any place for `NO_ROW`."""
    if count > 8 * len(rows):
        wanted, place = np.unique(rows, return_inverse=True)
        missing = int(len(wanted) > 0 and wanted[0] == NO_ROW)
        return wanted[missing:], place - missing
    used = np.zeros(count + 1, dtype=bool)
    used[rows] = True  # NO_ROW is the last, which is cut off
    place = np.cumsum(used[:-1]) - 1
    return np.flatnonzero(used[:-1]), place[rows] if count else rows


def _taken(column: Any, places: Any, rows: int = 1 << 20) -> Any:
    """Values by place, in chunks, since the text of one array is limited to 2 GB."""
    chunks: list[Any] = []
    for start in range(0, len(places), rows):
        part = column.take(places.slice(start, rows))
        chunks += part.chunks if isinstance(part, pa.ChunkedArray) else [part]
    return pa.chunked_array(chunks, column.type)
