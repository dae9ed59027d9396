"""Feast's SQLite online store with guarded bulk writes."""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Literal

from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from feature_platform.encoding.encoded_rows import encode_feast_rows
from feature_platform.online.fast_read import FastReads, StoredRow, in_order
from feature_platform.online.plain_columns import is_plain
from feature_platform.online.sqlite.writer import SqliteWriter, stored_time
from feature_platform.online.view_guard import guard_of

_log = logging.getLogger(__name__)
_KEYS_AT_ONCE = 10_000


class GuardedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):  # type: ignore[misc]
    """Configuration of `GuardedSqliteOnlineStore`: the fields of Feast's SQLite store, and one."""

    type: Literal["feature_platform.plugins.GuardedSqliteOnlineStore"] = (
        "feature_platform.plugins.GuardedSqliteOnlineStore"
    )
    """Online store type selector"""

    wal: bool = True
    """Keep the database in write-ahead logging, so that readers go on while rows are written. Set
    it to false where the file lies on a network file system."""


class GuardedSqliteOnlineStore(FastReads, SqliteOnlineStore):  # type: ignore[misc]
    """Feast's SQLite online store, with the same tables, that never goes back in time.

    A row replaces what is there only if its (event time, created time) is not older, whoever
    writes: ``feast materialize``, ``push``, any compute engine. Where ``vector_enabled`` (or
    ``enable_openai_compatible_store``) adds columns of vectors, Feast's own code writes, and the
    last write wins whatever its time; only `materialize_window` still compares event times there.
    """

    _writer: SqliteWriter | None = None
    _conn: Any = None
    _file: tuple[int, int] | None = None

    def _get_conn(self, config: Any) -> Any:
        """The connection; another one where the file was removed or replaced since.

        A file that is gone would be written as if nothing had happened.
        """
        path = self._get_db_path(config)
        if self._conn is not None and self._file == _identity(path):
            return self._conn
        with self.turn:
            if self._conn is None or self._file != _identity(path):
                self._conn = self._writer = None
                connection = super()._get_conn(config)
                # It is made when it is first looked into.
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                self._file = _identity(path)
            return self._conn

    def _to_read(self, config: Any) -> Any:
        """The connection; where the file is gone and none has taken its place, what it held."""
        is_gone = _identity(self._get_db_path(config)) is None
        return self._conn if is_gone and self._conn is not None else self._get_conn(config)

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows where the guard lets them; see Feast's ``OnlineStore``."""
        if not is_plain(config):
            _log.warning("vector columns are written by Feast, without the guard against old rows")
            super().online_write_batch(config, table, data, progress)
            return
        with self.turn:
            writer = self.writer(config)
        for rows in encode_feast_rows(data, config.entity_key_serialization_version):
            writer.write(table, rows, guard_of(table))
            if progress:
                progress(len(rows))

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        name = compute_table_id(
            config.project, table, config.registry.enable_online_feature_view_versioning
        )
        quoted = '"' + name.replace('"', '""') + '"'
        connection = self._to_read(config)
        cells = chain.from_iterable(
            # The time is added to nothing, or the driver would make it a datetime a cell.
            _rows_if_any(
                connection,
                f"SELECT entity_key, feature_name, value, event_ts + 0 FROM {quoted} "
                f"WHERE entity_key IN ({', '.join('?' * len(some))})",
                [bytearray(key) for key in some],
            )
            for some in (keys[at : at + _KEYS_AT_ONCE] for at in range(0, len(keys), _KEYS_AT_ONCE))
        )
        return in_order(cells, keys, names, stored_time)

    def online_read(
        self,
        config: Any,
        table: Any,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, Any]]:
        """Rows of keys; none where the table is not there; see Feast's ``OnlineStore``."""
        try:
            found: list[tuple[Any, Any]] = super().online_read(
                config, table, entity_keys, requested_features
            )
        except sqlite3.OperationalError as error:
            if not _is_no_table(error):
                raise
            return [(None, None)] * len(entity_keys)
        return found

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Make and drop tables as Feast does, and forget what was known of them."""
        super().update(*args, **kwargs)
        self._writer = None

    def writer(self, config: Any) -> SqliteWriter:
        """The bulk writer over this store's connection."""
        if self._writer is None:
            self._writer = sqlite_writer(self._get_conn(config), config, self.turn)
        return self._writer

    @property
    def turn(self) -> Any:
        """Held while this store's one connection, which all threads share, is in a transaction."""
        # Made when it is needed: a store that holds a lock from the first could not be copied.
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
    """The rows of a query; none where the table is not there, as in a store that was wiped."""
    try:
        return connection.execute(query, parameters)
    except sqlite3.OperationalError as error:
        if not _is_no_table(error):
            raise
        return ()


def _is_no_table(error: sqlite3.OperationalError) -> bool:
    return str(error).startswith("no such table")


def sqlite_writer(connection: Any, config: Any, turn: Any = None) -> SqliteWriter:
    """The writer for a repo's configuration."""
    return SqliteWriter(
        connection,
        config.project,
        versioning=config.registry.enable_online_feature_view_versioning,
        wal=getattr(config.online_store, "wal", True),
        turn=turn,
    )
