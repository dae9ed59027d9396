"""Feast's PostgreSQL online store with guarded bulk writes and time-outs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from feast.infra.online_stores.postgres_online_store.postgres import (
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
)

from feature_platform.encoding.encoded_rows import EncodedRows
from feature_platform.online.fast_read import StoredRow, in_order, stamp_of
from feature_platform.online.guarded_store import GuardedStore
from feature_platform.online.guarded_writer import Guard
from feature_platform.online.postgres import connections
from feature_platform.online.postgres.connections import in_time
from feature_platform.online.postgres.writer import PostgresWriter
from feature_platform.online.view_tables import is_plain, view_table


class GuardedPostgreSQLOnlineStoreConfig(PostgreSQLOnlineStoreConfig):  # type: ignore[misc]
    """Configuration of `GuardedPostgreSQLOnlineStore`: the fields of Feast's PostgreSQL store."""

    type: Literal["feature_platform.plugins.GuardedPostgreSQLOnlineStore"] = (
        "feature_platform.plugins.GuardedPostgreSQLOnlineStore"
    )
    """Online store type selector"""


class GuardedPostgreSQLOnlineStore(GuardedStore, PostgreSQLOnlineStore):  # type: ignore[misc]
    """Feast's PostgreSQL online store, with the same tables, that never replaces a newer row.

    A row replaces the stored row only if its (event time, created time) is not older, compared and
    written by one statement, whoever writes: ``feast materialize``, ``push``, any compute engine.
    Where ``vector_enabled`` (or ``enable_openai_compatible_store``) adds vector columns, Feast's
    own code writes and the last write wins; only `materialize_window` still compares event times
    there.
    """

    _writer: PostgresWriter | None = None

    @contextmanager
    def _get_conn(self, config: Any, autocommit: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - Feast's signature
        held = super()._get_conn(_with_feast_type(config), autocommit)
        with in_time(self, config.online_store, held) as connection:
            yield connection

    def _is_guarded(self, config: Any) -> bool:
        return is_plain(config)

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        from psycopg import OperationalError

        # The time as a number, or the driver would make a datetime of each.
        query = (
            "SELECT entity_key, feature_name, value, "
            f"(extract(epoch FROM event_ts) * 1000000)::int8 FROM {view_table(config, table)} "
            "WHERE entity_key = ANY(%s) AND feature_name = ANY(%s)"
        )
        try:
            cells = self._cells(config, query, (keys, names))
        except OperationalError:
            # Servers and proxies close idle connections, which shows on the next use.
            if not self._has_lost_connection():
                raise
            cells = self._cells(config, query, (keys, names))
        return in_order(cells, keys, names, stamp_of)

    def _cells(self, config: Any, query: str, parameters: Any) -> list[Any]:
        held = super()._get_conn(_with_feast_type(config), autocommit=True)
        with (
            in_time(self, config.online_store, held, connections.READ_SECONDS) as connection,
            connection.cursor(binary=True) as cursor,
        ):
            found: list[Any] = cursor.execute(query, parameters).fetchall()
            return found

    def _has_lost_connection(self) -> bool:
        return self._conn is None or bool(self._conn.closed)

    def _write(self, config: Any, table: Any, rows: EncodedRows, guard: Guard) -> None:
        """Write rows, over a new connection if the old one turns out to be closed.

        Servers and proxies close idle connections, which shows on the next use. A batch that was
        written before the connection broke is written again unchanged.
        """
        from psycopg import OperationalError

        writer = self._open_writer(config)
        try:
            writer.write(table, rows, guard)
        except OperationalError:
            if not writer.lost_connection():
                raise
            self._open_writer(config).write(table, rows, guard)

    def _open_writer(self, config: Any) -> PostgresWriter:
        """The bulk writer, over connections of its own, for all threads of this process."""
        # The lock is made on first use: Feast copies stores, and a lock cannot be copied.
        with self.__dict__.setdefault("_opening", threading.Lock()):
            if self._writer is None or self._writer.is_closed():
                self._writer = PostgresWriter(config)
            return self._writer


class _Overlay:
    """A configuration with some of its values replaced."""

    def __init__(self, inner: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced)
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _with_feast_type(config: Any) -> Any:
    """A configuration whose online store has the type that Feast's own store asks for."""
    return _Overlay(config, online_store=_Overlay(config.online_store, type="postgres"))
