"""Which bulk writer serves a configured online store."""

from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import sqlite_connection_of

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

    from feature_platform.online.guarded_writer import OnlineWriter


def writer_for(online: Any, config: "RepoConfig") -> "OnlineWriter | None":
    """The guarded bulk writer for an online store, of Feast's own types and of ours.

    Args:
        online: The ``OnlineStore`` instance that serves.
        config: The repo's configuration.

    Returns:
        None where the online store is of another type, or has columns that bulk writes do not
        fill; it is then written through Feast's interface.
    """
    kind = f"{type(online).__module__}.{type(online).__name__}"
    # By name: asking for a class would import the client library of every store.
    if kind in (
        "feast.infra.online_stores.sqlite.SqliteOnlineStore",
        "feature_platform.online.sqlite.store.GuardedSqliteOnlineStore",
    ):
        return _sqlite(online, config)
    if kind in (
        "feast.infra.online_stores.redis.RedisOnlineStore",
        "feature_platform.online.redis.store.GuardedRedisOnlineStore",
    ):
        return _redis(config)
    if kind in (
        "feast.infra.online_stores.postgres_online_store.postgres.PostgreSQLOnlineStore",
        "feature_platform.online.postgres.store.GuardedPostgreSQLOnlineStore",
    ):
        return _postgres(config)
    return None


def _sqlite(online: Any, config: Any) -> "OnlineWriter | None":
    from feature_platform.online.plain_columns import is_plain
    from feature_platform.online.sqlite.store import sqlite_writer

    if not is_plain(config):
        return None
    turn = getattr(online, "turn", None)
    return sqlite_writer(sqlite_connection_of(online, config), config, turn)


def _redis(config: Any) -> "OnlineWriter":
    from feature_platform.online.redis.store import redis_client, redis_writer

    return redis_writer(redis_client(config.online_store), config)


def _postgres(config: Any) -> "OnlineWriter | None":
    from feature_platform.online.plain_columns import is_plain
    from feature_platform.online.postgres.store import postgres_writer

    return postgres_writer(config) if is_plain(config) else None
