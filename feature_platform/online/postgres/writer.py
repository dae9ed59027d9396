"""Guarded bulk writes into the tables of Feast's PostgreSQL online store."""

import os
import struct
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.feast_seams import postgres_address
from feature_platform.core.sql import literal
from feature_platform.core.windows import Window
from feature_platform.encoding.buffers import constant, fixed_width, join
from feature_platform.encoding.encoded_rows import NO_TIME, EncodedRows
from feature_platform.online.deadline import deadline
from feature_platform.online.guarded_writer import FAR_AHEAD, Guard, OnlineKeys
from feature_platform.online.postgres import connections
from feature_platform.online.view_tables import view_table

_STAGE = "feature_platform_rows"
_NOTES = "feature_platform_notes"
_NOTES_TABLE = f"CREATE TABLE IF NOT EXISTS {_NOTES} (subject text PRIMARY KEY, note text)"
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_COPY_END = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_EPOCH_2000 = 946_684_800_000_000
_SCAN_ROWS = 50_000
_SPLIT_CELLS = 10_000
_COPY_BYTES = 1 << 20
_BATCH_CELLS = 500_000
"""Values per transaction, so that views of any width keep to `connections.ANSWER_SECONDS`."""
_STAGED_FEATURES = 100
"""Features per row of the temporary table; several hundred would not fit a page."""
_PAGE = 8160
"""Bytes up to which the server keeps such a row uncompressed."""
_DEADLOCKS = 5
"""How often one batch may be the victim of a deadlock."""
_SETTINGS = ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        "work_mem": "64MB",
        # Keys are looked up one by one, in their order, even if the statistics of the table are
        # wrong or missing: a batch costs the same in a table of any size.
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",  # it takes seconds for the statements of a wide view
    }.items()
)


class PostgresWriter:
    """Writes and scans a Feast PostgreSQL online store over new connections of its own.

    A batch is copied in PostgreSQL's binary format into a temporary table, one row per key. One
    statement compares it with the stored rows and updates them, which costs a fifth less than
    inserting all of it with ``ON CONFLICT``; a second one inserts the rest, if any. The server
    works on both halves of a large batch at once, over two connections if it grants a second one.
    Threads take turns.

    Args:
        config: The repo's configuration.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._connection = _connect(config)
        self._second: Any = None
        self._is_second_refused = False
        self._process = os.getpid()
        # Transactions of one connection cannot overlap, only nest, as within a scan.
        self._turn = threading.RLock()

    def is_closed(self) -> bool:
        """Whether a new writer is needed: the connection is closed, or of another process."""
        forked = self._process != os.getpid()
        return bool(forked or self._connection.closed or self._connection.broken)

    def lost_connection(self) -> bool:
        """Whether a connection has broken; the next write opens a new one."""
        both = (self._connection, self._second)
        return any(each is not None and (each.closed or each.broken) for each in both)

    def write(self, view: Any, rows: EncodedRows, guard: Guard) -> None:
        """Write the rows that the guard lets in; each row is written whole or not at all."""
        unique = rows.latest()
        table = self._table(view)
        step = max(1, _BATCH_CELLS // max(1, len(unique.features)))
        with self._turn:
            for start in range(0, len(unique), step):
                self._write_by_two(table, unique.slice(start, step), guard)

    def _write_by_two(self, table: str, unique: EncodedRows, guard: Guard) -> None:
        cells = len(unique) * len(unique.features)
        if cells < _SPLIT_CELLS or not self._has_second():
            self._write(self._connection, table, unique, guard)
            return
        # The halves share no key, so neither waits for the other. A crash may leave one of them
        # written, as it may leave some of the batches.
        lower, upper = _halves(unique)
        with ThreadPoolExecutor(1) as other:
            writing = other.submit(self._write, self._second, table, upper, guard)
            self._write(self._connection, table, lower, guard)
            writing.result()

    def _has_second(self) -> bool:
        """Whether there is a second connection, after trying to open one."""
        from psycopg import OperationalError

        if self._is_second_refused:
            return False
        if self._second is None or self._second.closed or self._second.broken:
            self._second = None
            try:
                self._second = _connect(self._config)
            except OperationalError:  # the role's or the server's connections are used up
                self._is_second_refused = True
        return self._second is not None

    def _write(self, connection: Any, table: str, unique: EncodedRows, guard: Guard) -> None:
        from psycopg.errors import DeadlockDetected

        for attempt in range(1, _DEADLOCKS + 1):
            try:
                with self._transaction(connection) as cursor:
                    cursor.execute(f"SELECT {_SETTINGS}")
                    for some in _narrow(unique):
                        _write_some(cursor, table, some, guard)
            except DeadlockDetected:
                # Keys are in order, but the cells of one key, and other writers, need not be.
                if attempt == _DEADLOCKS:
                    raise
            else:
                return

    def keys_within(self, view: Any, window: Window) -> Iterator[pa.Array]:
        """Stream the keys whose stored event time is in the window."""
        select = f"SELECT DISTINCT entity_key FROM {self._table(view)} WHERE {_inside('', window)}"
        for page in self._pages(select):
            yield pa.array([bytes(key) for (key,) in page], pa.binary())

    def keys_from(self, view: Any, window: Window, most: int) -> OnlineKeys | None:
        """The keys stored in the window and after it; see `OnlineWriter.keys_from`."""
        is_after = f"coalesce({_inside('', Window(window.end, FAR_AHEAD))}, false)"
        select = (
            f"SELECT entity_key, bool_and({is_after}), bool_or({_inside('', window)}) "
            f"FROM {self._table(view)} GROUP BY entity_key"
        )
        found = OnlineKeys(set(), set())
        with closing(self._pages(select)) as pages:
            for page in pages:
                found.after.update(bytes(key) for key, after, _ in page if after)
                found.within.update(bytes(key) for key, _, within in page if within)
                if len(found.after) > most:
                    return None
        return found

    def _pages(self, select: str) -> Generator[list[tuple[Any, ...]]]:
        """The rows of a query, page by page."""
        # A deadline per page: the caller's time between two pages does not count.
        with self._turn, ExitStack() as held:
            with _deadline(self._connection):
                held.enter_context(self._connection.transaction())
                cursor = held.enter_context(self._connection.cursor())
                cursor.execute(f"DECLARE keys CURSOR FOR {select}")
            while True:
                with _deadline(self._connection):
                    page = cursor.execute(f"FETCH {_SCAN_ROWS} FROM keys").fetchall()
                    if not page:
                        held.close()
                        break
                yield page

    def delete(self, view: Any, keys: Sequence[bytes], window: Window) -> None:
        """Delete the view's rows of each key whose event time is still in the window."""
        with self._transaction() as cursor:
            cursor.execute(
                f"DELETE FROM {self._table(view)} "
                f"WHERE entity_key = ANY(%s) AND {_inside('', window)}",
                (list(keys),),
            )

    def note(self, view: Any, topic: str) -> str | None:
        """The note that `set_note` stored."""
        subject = f"{self._table(view)} {topic}"
        with self._transaction() as cursor:
            if cursor.execute("SELECT to_regclass(%s)", (_NOTES,)).fetchone() == (None,):
                return None
            select = f"SELECT note FROM {_NOTES} WHERE subject = %s"
            found = cursor.execute(select, (subject,)).fetchone()
        return str(found[0]) if found else None

    def set_note(self, view: Any, topic: str, text: str | None) -> None:
        """Store a note about a view in a table of its own."""
        subject = f"{self._table(view)} {topic}"
        with self._transaction() as cursor:
            # If two processes create the same table at once, one of them fails.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (_NOTES,))
            cursor.execute(_NOTES_TABLE)
            cursor.execute(f"DELETE FROM {_NOTES} WHERE subject = %s", (subject,))
            if text is not None:
                cursor.execute(f"INSERT INTO {_NOTES} VALUES (%s, %s)", (subject, text))

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        if self._second is not None:
            self._second.close()

    def _table(self, view: Any) -> str:
        return view_table(self._config, view)

    @contextmanager
    def _transaction(self, connection: Any = None) -> Iterator[Any]:
        """A cursor in a transaction that fails if the server does not answer."""
        with ExitStack() as held:
            if connection is None:
                connection = self._connection
                held.enter_context(self._turn)
            held.enter_context(_deadline(connection))
            held.enter_context(connection.transaction())
            yield held.enter_context(connection.cursor())


def _connect(config: Any) -> Any:
    import psycopg

    address, options = postgres_address(config.online_store)
    return psycopg.connect(address, connect_timeout=connections.CONNECT_SECONDS, **options)


def _deadline(connection: Any) -> AbstractContextManager[None]:
    return deadline(connections.ANSWER_SECONDS, lambda: int(connection.pgconn.socket))


def _halves(rows: EncodedRows) -> tuple[EncodedRows, EncodedRows]:
    """The lower and upper half of the keys: batches that overlap lock them in the same order."""
    order = pc.sort_indices(rows.keys).to_numpy(zero_copy_only=False)
    middle = len(order) // 2
    lower, upper = (rows.take(np.sort(part)) for part in (order[:middle], order[middle:]))
    return lower, upper


def _narrow(rows: EncodedRows) -> Iterator[EncodedRows]:
    """The rows with some of their features at a time."""
    features = sorted(rows.features, key=lambda feature: feature.name)
    for start in range(0, len(features), _STAGED_FEATURES):
        yield replace(rows, features=tuple(features[start : start + _STAGED_FEATURES]))


def _write_some(cursor: Any, table: str, rows: EncodedRows, guard: Guard) -> None:
    cells = ", ".join(f"v{n} bytea, t{n} text" for n in range(len(rows.features)))
    cursor.execute(
        f"CREATE TEMP TABLE {_STAGE} (entity_key bytea, event_ts timestamp, "
        f"created_ts timestamp, {cells}) WITH (toast_tuple_target = {_PAGE})"
    )
    with cursor.copy(f"COPY {_STAGE} FROM STDIN (FORMAT BINARY)") as copy:
        for piece in _copy_stream(rows):
            copy.write(piece)
    cursor.execute(_update(table, rows, guard))
    if cursor.rowcount < len(rows) * len(rows.features):
        cursor.execute(_insert(table, rows, guard))
    # Not ON COMMIT DROP: a batch within a scan is committed only with the scan.
    cursor.execute(f"DROP TABLE {_STAGE}")


# Feast sends naive UTC times, which the server reads in the session's time zone; so does this.
_EVENT, _CREATED = "s.event_ts::timestamptz", "s.created_ts::timestamptz"


def _update(table: str, rows: EncodedRows, guard: Guard) -> str:
    """SQL that updates the stored cells that may be replaced and differ."""
    names = ", ".join(literal(feature.name) for feature in rows.features)
    value, text = (
        "CASE t.feature_name "
        + " ".join(
            f"WHEN {literal(feature.name)} THEN s.{column}{n}"
            for n, feature in enumerate(rows.features)
        )
        + " END"
        for column in "vt"
    )
    return (
        f"UPDATE {table} AS t SET value = {value}, value_text = {text}, event_ts = {_EVENT}, "
        f"created_ts = {_CREATED} FROM {_STAGE} AS s "
        f"WHERE t.entity_key = s.entity_key AND t.feature_name IN ({names}) "
        f"AND ({_allowed(guard, _EVENT, _CREATED)}) "
        "AND (t.event_ts, t.created_ts, t.value, t.value_text) "
        f"IS DISTINCT FROM ({_EVENT}, {_CREATED}, {value}, {text})"
    )


def _insert(table: str, rows: EncodedRows, guard: Guard) -> str:
    """SQL that inserts the cells that are not stored, or were not when the update began."""
    cells = ", ".join(
        f"({literal(feature.name)}, s.v{n}, s.t{n})" for n, feature in enumerate(rows.features)
    )
    # In the order of keys, so that two writers do not wait for each other.
    return (
        f"INSERT INTO {table} AS t "
        "(entity_key, feature_name, value, value_text, event_ts, created_ts) "
        f"SELECT s.entity_key, f.name, f.value, f.text, {_EVENT}, {_CREATED} FROM {_STAGE} AS s "
        f"CROSS JOIN LATERAL (VALUES {cells}) AS f(name, value, text) "
        f"WHERE NOT EXISTS (SELECT FROM {table} AS o "
        "WHERE o.entity_key = s.entity_key AND o.feature_name = f.name) "
        "ORDER BY s.entity_key, f.name "
        "ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = EXCLUDED.value, "
        "value_text = EXCLUDED.value_text, event_ts = EXCLUDED.event_ts, "
        "created_ts = EXCLUDED.created_ts "
        f"WHERE {_allowed(guard, 'EXCLUDED.event_ts', 'EXCLUDED.created_ts')}"
    )


def _allowed(guard: Guard, event: str, created: str) -> str:
    """SQL condition: a row of those times may replace the stored one."""
    newer = f"t.event_ts IS NULL OR {event} > t.event_ts OR ({event} = t.event_ts"
    if guard.compares_created:
        never = "'-infinity'::timestamptz"
        newer += f" AND coalesce({created}, {never}) >= coalesce(t.created_ts, {never})"
    newer += ")"
    return newer + "".join(f" OR ({_inside('t.', window)})" for window in guard.governed)


def _inside(prefix: str, window: Window) -> str:
    start, end = (
        f"'{moment.replace(tzinfo=None).isoformat(sep=' ')}'::timestamp::timestamptz"
        for moment in (window.start, window.end)
    )
    return f"{prefix}event_ts >= {start} AND {prefix}event_ts < {end}"


def _copy_stream(rows: EncodedRows) -> Iterator[bytes]:
    """The rows in PostgreSQL's binary copy format, built by column."""
    order = pc.sort_indices(rows.keys)
    places = order.to_numpy(zero_copy_only=False)
    fields = [
        _sized(rows.keys.take(order)),
        _times(rows.event_us[places]),
        _times(rows.created_us[places]),
    ]
    for feature in rows.features:
        texts = feature.texts().take(order).cast(pa.binary())
        fields += [_sized(feature.values.take(order)), _sized(texts)]
    width = constant(struct.pack(">h", len(fields)), len(rows))
    data = memoryview(join(width, *fields).buffers()[2])
    yield _COPY_HEADER
    for start in range(0, len(data), _COPY_BYTES):
        yield bytes(data[start : start + _COPY_BYTES])
    yield _COPY_END


def _sized(column: pa.Array) -> pa.Array:
    filled = column.fill_null(b"")
    lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False)
    framed = join(_big_endian(lengths.astype(np.int32)), filled)
    if not column.null_count:
        return framed
    return pc.if_else(column.is_valid(), framed, pa.scalar(_NULL, pa.binary()))


def _times(times: npt.NDArray[np.int64]) -> pa.Array:
    present = times != NO_TIME
    since_2000 = np.where(present, times, _EPOCH_2000) - _EPOCH_2000
    framed = join(constant(struct.pack(">i", 8), len(times)), _big_endian(since_2000))
    if present.all():
        return framed
    return pc.if_else(pa.array(present), framed, pa.scalar(_NULL, pa.binary()))


def _big_endian(numbers: npt.NDArray[Any]) -> pa.Array:
    return fixed_width(np.ascontiguousarray(numbers).byteswap())
