"""Feast's SQLite online store with guarded bulk writes."""

import os
import sqlite3
import threading
from collections.abc import Iterable
from itertools import chain
from typing import Any, Literal

from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from feature_platform.encoding.encoded_rows import EncodedRows
from feature_platform.online.fast_read import StoredRow, in_order
from feature_platform.online.guarded_store import GuardedStore
from feature_platform.online.guarded_writer import Guard
from feature_platform.online.sqlite.writer import SqliteWriter, stored_time
from feature_platform.online.view_tables import is_plain, view_table

_KEYS_PER_QUERY = 10_000


class GuardedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):  # type: ignore[misc]
    """Configuration of `GuardedSqliteOnlineStore`: that of Feast's SQLite store, and ``wal``."""

    type: Literal["feature_platform.plugins.GuardedSqliteOnlineStore"] = (
        "feature_platform.plugins.GuardedSqliteOnlineStore"
    )
    """Online store type selector"""

    wal: bool = True
    """Use write-ahead logging, so that readers go on while rows are written. Set it to false if the
    file is on a network file system."""


class GuardedSqliteOnlineStore(GuardedStore, SqliteOnlineStore):  # type: ignore[misc]
    """Feast's SQLite online store, with the same tables, that never replaces a newer row.

    A row replaces the stored row only if its (event time, created time) is not older, whoever
    writes: ``feast materialize``, ``push``, any compute engine. Where ``vector_enabled`` (or
    ``enable_openai_compatible_store``) adds vector columns, Feast's own code writes and the last
    write wins; only `materialize_window` still compares event times there.
    """

    _writer: SqliteWriter | None = None
    _conn: Any = None
    _file: tuple[int, int] | None = None

    def _get_conn(self, config: Any) -> Any:
        """The connection; a new one if the file was removed or replaced, which SQLite ignores."""
        path = self._get_db_path(config)
        if self._conn is not None and self._file == _identity(path):
            return self._conn
        with self.turn:
            if self._conn is None or self._file != _identity(path):
                self._conn = self._writer = None
                connection = super()._get_conn(config)
                # SQLite creates the file at the first query.
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                self._file = _identity(path)
            return self._conn

    def _connection_to_read(self, config: Any) -> Any:
        """The connection; if the file was removed and not replaced, the one that still reads it."""
        is_gone = _identity(self._get_db_path(config)) is None
        return self._conn if is_gone and self._conn is not None else self._get_conn(config)

    def _is_guarded(self, config: Any) -> bool:
        return is_plain(config)

    def _write(self, config: Any, table: Any, rows: EncodedRows, guard: Guard) -> None:
        with self.turn:
            if self._writer is None:
                self._writer = SqliteWriter(self._get_conn(config), config, self.turn)
            writer = self._writer
        writer.write(table, rows, guard)

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        name, connection = view_table(config, table), self._connection_to_read(config)
        cells = chain.from_iterable(
            # "+ 0", or the driver would make a datetime of each time.
            _rows_if_any(
                connection,
                f"SELECT entity_key, feature_name, value, event_ts + 0 FROM {name} "
                f"WHERE entity_key IN ({', '.join('?' * len(some))})",
                [bytearray(key) for key in some],
            )
            for some in (
                keys[start : start + _KEYS_PER_QUERY]
                for start in range(0, len(keys), _KEYS_PER_QUERY)
            )
        )
        return in_order(cells, keys, names, stored_time)

    def online_read(
        self,
        config: Any,
        table: Any,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, Any]]:
        """Read rows, empty ones if the view has no table; see Feast's ``OnlineStore``."""
        try:
            found: list[tuple[Any, Any]] = super().online_read(
                config, table, entity_keys, requested_features
            )
        except sqlite3.OperationalError as error:
            if not _is_missing_table(error):
                raise
            return [(None, None)] * len(entity_keys)
        return found

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Create and drop tables as Feast does; the writer must look at them again."""
        super().update(*args, **kwargs)
        self._writer = None

    @property
    def turn(self) -> Any:
        """The lock of this store's one connection, which all threads share."""
        # Made on first use: Feast copies stores, and a lock cannot be copied.
        return self.__dict__.setdefault("_turn", threading.RLock())


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - each read asks, and a Path costs more than the call
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _rows_if_any(
    connection: sqlite3.Connection, query: str, parameters: list[Any]
) -> Iterable[Any]:
    """The rows of a query; none if the table is missing, as in a store that was wiped."""
    try:
        return connection.execute(query, parameters)
    except sqlite3.OperationalError as error:
        if not _is_missing_table(error):
            raise
        return ()


def _is_missing_table(error: sqlite3.OperationalError) -> bool:
    return str(error).startswith("no such table")
