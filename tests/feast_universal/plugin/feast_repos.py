"""The online stores that Feast's universal tests are run against (FULL_REPO_CONFIGS_MODULE)."""

import itertools
from typing import Any

import feast_containers
from feast_stores import CLASSES, is_ours
from tests.universal.feature_repos.universal.data_sources.file import FileDataSourceCreator
from tests.universal.feature_repos.universal.online_store_creator import OnlineStoreCreator

_databases = itertools.count()


def _type(stock: str, name: str) -> str:
    if not is_ours():
        return stock
    module, ours = next(to for (_, feast), to in CLASSES.items() if feast == name)
    return f"{module}.{ours}"


class SqliteCreator(OnlineStoreCreator):  # type: ignore[misc]
    """A file in the test's own repo."""

    def create_online_store(self) -> dict[str, Any]:
        return {"type": _type("sqlite", "SqliteOnlineStore")}

    def teardown(self) -> None:
        """Feast removes the file."""


class RedisCreator(OnlineStoreCreator):  # type: ignore[misc]
    """A database of its own on the session's Redis."""

    def create_online_store(self) -> dict[str, Any]:
        server = feast_containers.redis()
        return {
            "type": _type("redis", "RedisOnlineStore"),
            "connection_string": f"localhost:{server.port},db={next(_databases)}",
        }

    def teardown(self) -> None:
        """The server ends with the session."""


class PostgresCreator(OnlineStoreCreator):  # type: ignore[misc]
    """A database of its own on the session's PostgreSQL."""

    def create_online_store(self) -> dict[str, Any]:
        server = feast_containers.postgres()
        return server.online(server.new_database(), _type("postgres", "PostgreSQLOnlineStore"))

    def teardown(self) -> None:
        """The server ends with the session."""


AVAILABLE_OFFLINE_STORES = [("local", FileDataSourceCreator)]
AVAILABLE_ONLINE_STORES = {
    "sqlite": ({"type": "sqlite"}, SqliteCreator),
    "redis": ({"type": "redis"}, RedisCreator),
    "postgres": ({"type": "postgres"}, PostgresCreator),
}
