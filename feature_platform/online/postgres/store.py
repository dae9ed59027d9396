"""Feast's PostgreSQL online store with guarded bulk writes and time-outs."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.postgres_online_store.postgres import (
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
)

from feature_platform.core.feast_seams import postgres_address
from feature_platform.encoding.encoded_rows import EncodedRows, encode_feast_rows
from feature_platform.online.fast_read import FastReads, StoredRow, in_order, stamp_of
from feature_platform.online.plain_columns import is_plain
from feature_platform.online.postgres.writer import PostgresWriter
from feature_platform.online.view_guard import guard_of

CONNECT_SECONDS = 10


class GuardedPostgreSQLOnlineStoreConfig(PostgreSQLOnlineStoreConfig):  # type: ignore[misc]
    """Configuration of `GuardedPostgreSQLOnlineStore`: the fields of Feast's PostgreSQL store."""

    type: Literal["feature_platform.plugins.GuardedPostgreSQLOnlineStore"] = (
        "feature_platform.plugins.GuardedPostgreSQLOnlineStore"
    )
    """Online store type selector"""


class GuardedPostgreSQLOnlineStore(FastReads, PostgreSQLOnlineStore):  # type: ignore[misc]
    """Feast's PostgreSQL online store, with the same tables, that never goes back in time.

    A row replaces what is there only if its (event time, created time) is not older, compared and
    written by one statement, whoever writes: ``feast materialize``, ``push``, any compute engine.
    Where ``vector_enabled`` (or ``enable_openai_compatible_store``) adds columns of vectors,
    Feast's own code writes, and the last write wins whatever its time; only `materialize_window`
    still compares event times there.
    """

    _own: PostgresWriter | None = None

    @contextmanager
    def _get_conn(self, config: Any, autocommit: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - Feast's signature
        with super()._get_conn(_as_feast_knows_it(config), autocommit) as connection:
            yield connection

    @asynccontextmanager
    async def _get_conn_async(self, config: Any, autocommit: bool = False) -> AsyncIterator[Any]:  # noqa: FBT001, FBT002 - Feast's signature
        async with super()._get_conn_async(_as_feast_knows_it(config), autocommit) as connection:
            yield connection

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows where the guard lets them; see Feast's ``OnlineStore``."""
        if not is_plain(config):
            super().online_write_batch(config, table, data, progress)
            return
        for rows in encode_feast_rows(data, config.entity_key_serialization_version):
            self._write(config, table, rows)
        if progress:
            progress(len(data))

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        from psycopg import sql

        name = compute_table_id(
            config.project, table, config.registry.enable_online_feature_view_versioning
        )
        # The time as a number, or the driver would make it a datetime a cell.
        query = sql.SQL(
            "SELECT entity_key, feature_name, value, "
            "(extract(epoch FROM event_ts) * 1000000)::int8 FROM {} "
            "WHERE entity_key = ANY(%s) AND feature_name = ANY(%s)"
        ).format(sql.Identifier(name))
        with (
            self._get_conn(config, autocommit=True) as connection,
            connection.cursor(binary=True) as cursor,
        ):
            return in_order(cursor.execute(query, (keys, names)), keys, names, stamp_of)

    def _write(self, config: Any, table: Any, rows: EncodedRows) -> None:
        """Write rows, over a new connection if the one there was found closed.

        Servers and what lies between close connections that are idle, which shows on the next use.
        A batch that went in before the connection broke goes in again unchanged.
        """
        from psycopg import OperationalError

        writer = self.writer(config)
        try:
            writer.write(table, rows, guard_of(table))
        except OperationalError:
            if not writer.lost_connection():
                raise
            self.writer(config).write(table, rows, guard_of(table))

    def writer(self, config: Any) -> PostgresWriter:
        """The bulk writer, over a connection of its own, for all threads of this process."""
        # Made when it is needed: a store that holds a lock from the first could not be copied.
        with self.__dict__.setdefault("_making", threading.Lock()):
            if self._own is None or self._own.is_closed():
                self._own = postgres_writer(config)
            return self._own


def postgres_writer(config: Any) -> PostgresWriter:
    """The writer for a repo's configuration, over a new connection."""
    import psycopg

    def connect() -> Any:
        address, options = postgres_address(config.online_store)
        return psycopg.connect(address, connect_timeout=CONNECT_SECONDS, **options)

    return PostgresWriter(
        connect(),
        config.project,
        versioning=config.registry.enable_online_feature_view_versioning,
        connect=connect,
    )


class _Renamed:
    """A configuration under the type name that Feast's own store asks for."""

    def __init__(self, inner: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced)
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _as_feast_knows_it(config: Any) -> Any:
    return _Renamed(config, online_store=_Renamed(config.online_store, type="postgres"))
