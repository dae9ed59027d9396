"""Guarded bulk writes into the tables of Feast's SQLite online store."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.sql import literal
from feature_platform.core.windows import Window
from feature_platform.encoding.buffers import objects
from feature_platform.encoding.encoded_rows import NO_TIME, EncodedRows, microseconds
from feature_platform.online.fast_read import stamp_of
from feature_platform.online.guarded_writer import FAR_AHEAD, Guard, OnlineKeys
from feature_platform.online.view_tables import view_table

_SECOND = 1_000_000
_BUSY_SECONDS = 60
_OLDEST = -62_000_000_000  # seconds; the calendar of Python's datetime
_LATEST = 253_402_200_000
_CHANGE_STEP = 900  # seconds; clocks change on a quarter of an hour
_CHANGE_REACH = 3 * 3600  # seconds; more than clocks are ever put forward
_FAR = 2 * 86_400  # seconds; more than any zone is from UTC
_SCAN_ROWS = 50_000
_NOTES = "feature_platform_notes"
_NOTES_TABLE = f"CREATE TABLE IF NOT EXISTS {_NOTES} (subject TEXT PRIMARY KEY, note TEXT)"


class SqliteWriter:
    """Writes and scans a Feast SQLite online store through Feast's connection.

    Feast stores event and created time in whole seconds, and takes a UTC time for a local one when
    it computes them. Three columns that Feast neither reads nor writes complete them:
    ``event_us`` and ``created_us`` are the same clock in microseconds, so that the guard can order
    what happened within one second; if they disagree with the seconds, Feast has written the row
    since. ``event_shift`` is the seconds between that clock and UTC, which the clock alone does not
    tell: around a change of the clocks two times read the same.

    Args:
        connection: To the database.
        config: The repo's configuration.
        turn: Lock of the connection, if threads share it.
    """

    def __init__(self, connection: sqlite3.Connection, config: Any, turn: Any = None) -> None:
        self._turn = turn or threading.RLock()
        self._connection = connection
        self._config = config
        self._ready: set[str] = set()
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA cache_size = -65536")
        if getattr(config.online_store, "wal", True):
            connection.execute("PRAGMA journal_mode = wal").fetchone()
            connection.execute("PRAGMA wal_autocheckpoint = 16384")

    def write(self, view: Any, rows: EncodedRows, guard: Guard) -> None:
        """Write the rows that the guard lets in, in one transaction."""
        statement, parameters = _upsert(self._table(view), rows, guard)
        with self._transaction() as connection:
            connection.executemany(statement, parameters)

    def keys_within(self, view: Any, window: Window) -> Iterator[pa.Array]:
        """Stream the keys whose stored event time is in the window."""
        cursor = self._in_table_order(view, "entity_key", _within(window))
        while page := cursor.fetchmany(_SCAN_ROWS):
            yield pa.array([key for (key,) in page], pa.binary())

    def keys_from(self, view: Any, window: Window, most: int) -> OnlineKeys | None:
        """The keys stored in the window and after it; see `OnlineWriter.keys_from`.

        Nearly all keys are after a late window. They are read as all keys, which are in an index,
        less the few others, which take one scan of the table.
        """
        cursor = self._connection.execute(
            f"SELECT entity_key FROM {self._table(view)} "
            f"WHERE feature_name = {literal(view.features[0].name)}"
        )
        after: set[bytes] = set()
        while page := cursor.fetchmany(_SCAN_ROWS):
            after.update(key for (key,) in page)
            if len(after) > most:
                return None
        # Read second: keys that are written in between are missing above.
        others = self._in_table_order(
            view, f"entity_key, {_within(window)}", _not_after(window.end)
        ).fetchall()
        after.difference_update(key for key, _ in others)
        return OnlineKeys({key for key, is_within in others if is_within}, after)

    def _in_table_order(self, view: Any, columns: str, condition: str) -> sqlite3.Cursor:
        """Distinct values where the condition holds; an index would look up each row."""
        return self._connection.execute(
            f"SELECT DISTINCT {columns} FROM {self._table(view)} AS t NOT INDEXED WHERE {condition}"
        )

    def delete(self, view: Any, keys: Sequence[bytes], window: Window) -> None:
        """Delete the view's rows of each key whose event time is still in the window."""
        table = self._table(view)
        with self._transaction() as connection:
            connection.executemany(
                f"DELETE FROM {table} AS t WHERE entity_key = ? AND {_within(window)}",
                ((key,) for key in keys),
            )

    def note(self, view: Any, topic: str) -> str | None:
        """The note that `set_note` stored."""
        with self._turn:  # it may make the table, which another thread's commit would trip over
            self._connection.execute(_NOTES_TABLE)
            found = self._connection.execute(
                f"SELECT note FROM {_NOTES} WHERE subject = ?", (f"{self._table(view)} {topic}",)
            ).fetchone()
        return str(found[0]) if found else None

    def set_note(self, view: Any, topic: str, text: str | None) -> None:
        """Store a note about a view in a table of its own."""
        subject = f"{self._table(view)} {topic}"
        with self._transaction() as connection:
            connection.execute(_NOTES_TABLE)
            connection.execute(f"DELETE FROM {_NOTES} WHERE subject = ?", (subject,))
            if text is not None:
                connection.execute(f"INSERT INTO {_NOTES} VALUES (?, ?)", (subject, text))

    def close(self) -> None:
        """Do nothing: the connection belongs to Feast."""

    def _table(self, view: Any) -> str:
        """The view's table, with the three columns added if it lacks them."""
        table = view_table(self._config, view)
        if table not in self._ready:
            with self._turn:
                found = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
                for column in {"event_us", "created_us", "event_shift"} - {row[1] for row in found}:
                    _add_column(self._connection, table, column)
            self._ready.add(table)
        return table

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            # A transaction that starts by reading could not wait for another writer later.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise


def _exact(moment: str) -> str:
    """SQL of a stored local time in microseconds: exact, or Feast's seconds if Feast wrote it."""
    exact, seconds = f"t.{moment}_us", f"t.{moment}_ts"
    return (
        f"(CASE WHEN abs({exact} - {seconds} * {_SECOND}) < {_SECOND} "
        f"THEN {exact} ELSE {seconds} * {_SECOND} END)"
    )


_EVENT = _exact("event")
_CREATED = _exact("created")
_HAS_UTC = f"(t.event_shift IS NOT NULL AND abs(t.event_us - t.event_ts * {_SECOND}) < {_SECOND})"
_UTC = f"(t.event_us - t.event_shift * {_SECOND})"
# The stored and the new event time: both in UTC, or both local where the stored one has no UTC.
_STORED_TIME = f"(CASE WHEN {_HAS_UTC} THEN {_UTC} ELSE {_EVENT} END)"
_NEW_TIME = (
    f"(excluded.event_us - CASE WHEN {_HAS_UTC} THEN excluded.event_shift * {_SECOND} ELSE 0 END)"
)
# The usual case of a newer row, in a cheap condition that comes first.
_PLAINLY_NEWER = (
    f"(t.event_us < excluded.event_us AND t.event_ts = t.event_us / {_SECOND} "
    "AND t.event_shift = excluded.event_shift)"
)


def _within(window: Window) -> str:
    """SQL condition: the stored event time is certainly in the window."""
    # Feast's seconds decide all but what is near an end, at a third of the cost.
    first, last = microseconds(window.start) // _SECOND, microseconds(window.end) // _SECOND
    near = f"t.event_ts >= {first - _FAR} AND t.event_ts < {last + _FAR}"
    surely = f"t.event_ts >= {first + _FAR} AND t.event_ts < {last - _FAR}"
    return f"({near} AND ({surely} OR {_exactly_within(window)}))"


def _not_after(moment: datetime) -> str:
    """SQL condition: the stored event time may be before the moment."""
    second = microseconds(moment) // _SECOND
    after = _exactly_within(Window(moment, FAR_AHEAD))
    surely = f"t.event_ts < {second - _FAR}"
    return f"(t.event_ts < {second + _FAR} AND ({surely} OR {after} IS NOT TRUE))"


def _exactly_within(window: Window) -> str:
    low, high = microseconds(window.start), microseconds(window.end)
    local_low, local_high = _local_start(low), _local_end(high)
    return (
        f"(CASE WHEN {_HAS_UTC} THEN {_UTC} >= {low} AND {_UTC} < {high} "
        f"ELSE {_EVENT} >= {local_low} AND {_EVENT} < {local_high} END)"
    )


def _upsert(table: str, rows: EncodedRows, guard: Guard) -> tuple[str, Iterator[tuple[Any, ...]]]:
    """One statement that writes all features of a key, and its parameters for each key.

    Keys are in the order of the table, so that each page is visited once. Byte strings are
    bytearrays, which the driver binds at once; for bytes it would look for an adapter each time.
    """
    order = pc.sort_indices(rows.keys)
    places = order.to_numpy(zero_copy_only=False)
    parameters: list[Iterable[Any]] = []

    def bound(values: Iterable[Any]) -> str:
        parameters.append(values)
        return f"?{len(parameters)}"

    key = bound(map(bytearray, objects(rows.keys.take(order))))
    event_us = rows.event_us[places]
    local_us = _local(event_us)
    event = bound(local_us.tolist())
    shifts = (local_us - event_us) // _SECOND
    shift = bound(shifts.tolist()) if shifts.any() else "0"
    created_us = rows.created_us[places]
    present = created_us != NO_TIME
    created = "NULL" if not present.any() else bound(_with_none(_local(created_us), present))
    times = f"{event} / {_SECOND}, {created} / {_SECOND}, {event}, {created}, {shift}"
    cells = []
    for feature in rows.features:
        value = bound(map(bytearray, objects(feature.values.take(order))))
        texts = feature.texts()
        text = "NULL" if texts.null_count == len(texts) else bound(objects(texts.take(order)))
        cells.append(f"({key}, {literal(feature.name)}, {value}, {text}, {times})")
    columns = "entity_key, feature_name, value, value_text, event_ts, created_ts"
    columns += ", event_us, created_us, event_shift"
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", ")[2:])
    statement = f"INSERT INTO {table} AS t ({columns}) VALUES {', '.join(cells)} "
    statement += f"ON CONFLICT (entity_key, feature_name) DO UPDATE SET {changed} "
    statement += f"WHERE {_allowed(guard)}"
    return statement, zip(*parameters, strict=True)


def _allowed(guard: Guard) -> str:
    """SQL condition: the new row may replace the stored one."""
    newer = f"{_PLAINLY_NEWER} OR {_NEW_TIME} > {_STORED_TIME} OR ({_NEW_TIME} = {_STORED_TIME}"
    if guard.compares_created:
        newer += f" AND ifnull(excluded.created_us, {NO_TIME}) >= ifnull({_CREATED}, {NO_TIME})"
    newer += ")"
    for window in guard.governed:
        newer += f" OR {_within(window)}"
    return newer


def _local(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Microseconds on the clock of Feast's seconds, which takes a UTC time for a local one."""
    if not (time.timezone or time.daylight):
        return times
    seconds, where = np.unique(times // _SECOND, return_inverse=True)
    shifts = np.array([_shift(int(second)) for second in seconds], np.int64)[where]
    return times + shifts * _SECOND


def _with_none(numbers: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> list[int | None]:
    if present.all():
        return list(numbers.tolist())
    objects = numbers.astype(object)
    objects[~present] = None
    return list(objects)


def _shift(second: int) -> int:
    """Seconds from a UTC time to what Feast stores for it."""
    if not _OLDEST < second < _LATEST:  # a missing time, or one outside the calendar
        return 0
    naive = datetime.fromtimestamp(second, UTC).replace(tzinfo=None)
    return int(naive.timestamp()) - second


def stored_time(second: int) -> bytes:
    """A stored time, in Feast's seconds, as the ``Timestamp`` that Feast reads."""
    return stamp_of((second + time.localtime(second).tm_gmtoff) * _SECOND)


def _local_start(moment: int) -> int:
    """The local-clock value, in microseconds, that every time before `moment` is below (DST)."""
    second = moment // _SECOND
    first = second // _CHANGE_STEP * _CHANGE_STEP
    before = range(first, first - _CHANGE_REACH, -_CHANGE_STEP)
    return max(
        moment + _shift(second) * _SECOND,
        *((change + _shift(change - 1)) * _SECOND for change in before),
    )


def _local_end(moment: int) -> int:
    """The smallest local-clock value, in microseconds, of a time at or after `moment` (DST)."""
    second = moment // _SECOND
    first = -(-(second + 1) // _CHANGE_STEP) * _CHANGE_STEP
    after = range(first, first + _CHANGE_REACH, _CHANGE_STEP)
    return min(
        moment + _shift(second) * _SECOND,
        *((change + _shift(change)) * _SECOND for change in after),
    )


def _add_column(connection: sqlite3.Connection, table: str, column: str) -> None:
    try:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER")
    except sqlite3.OperationalError as error:
        if "duplicate column" not in str(error):  # another process was first
            raise
