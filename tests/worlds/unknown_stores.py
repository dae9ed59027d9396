"""Online stores that the product has no bulk writer for: Feast's own, under names of these tests.

Feast finds a class by its full name in ``online_store.type``, so they are written as any online
store of a third party is: through Feast's interface alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from feast.infra.online_stores.postgres_online_store.postgres import (
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
)
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from feature_platform.online.postgres.store import _with_feast_type


class UnknownSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    type: Literal["worlds.unknown_stores.UnknownSqliteOnlineStore"] = (
        "worlds.unknown_stores.UnknownSqliteOnlineStore"
    )


class UnknownSqliteOnlineStore(SqliteOnlineStore):
    """Feast's SQLite store."""


class UnknownPostgreSQLOnlineStoreConfig(PostgreSQLOnlineStoreConfig):
    type: Literal["worlds.unknown_stores.UnknownPostgreSQLOnlineStore"] = (
        "worlds.unknown_stores.UnknownPostgreSQLOnlineStore"
    )


class UnknownPostgreSQLOnlineStore(PostgreSQLOnlineStore):
    """Feast's PostgreSQL store, which connects only under the name that Feast gives it."""

    @contextmanager
    def _get_conn(self, config: Any, autocommit: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - Feast's signature
        with super()._get_conn(_with_feast_type(config), autocommit) as connection:
            yield connection
