"""Feast's Redis online store with guarded bulk writes and time-outs."""

from typing import Any, Literal

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

from feature_platform.core.feast_seams import redis_nodes
from feature_platform.encoding.encoded_rows import EncodedRows
from feature_platform.online.fast_read import StoredRow
from feature_platform.online.guarded_store import GuardedStore
from feature_platform.online.guarded_writer import Guard
from feature_platform.online.redis.writer import RedisWriter

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""Time-outs of a connection and of a call, unless the connection string sets others
(``socket_connect_timeout``, ``socket_timeout``)."""
_RETRIES = 2


class GuardedRedisOnlineStoreConfig(RedisOnlineStoreConfig):  # type: ignore[misc]
    """Configuration of `GuardedRedisOnlineStore`: the fields of Feast's Redis store."""

    type: Literal["feature_platform.plugins.GuardedRedisOnlineStore"] = (
        "feature_platform.plugins.GuardedRedisOnlineStore"
    )
    """Online store type selector"""


class GuardedRedisOnlineStore(GuardedStore, RedisOnlineStore):  # type: ignore[misc]
    """Feast's Redis online store, with the same keys and fields, that never replaces a newer row.

    A row replaces the stored row only if its (event time, created time) is not older, compared and
    written in one step on the server, whoever writes: ``feast materialize``, ``push``, any compute
    engine. A server that hangs is an error. ``skip_dedup`` has no effect.
    """

    _client: Any = None

    def _get_client(self, online_store_config: Any) -> Any:
        if not self._client:
            self._client = redis_client(online_store_config)
        return self._client

    def _writer(self, config: Any) -> RedisWriter:
        return RedisWriter(self._get_client(config.online_store), config)

    def _write(self, config: Any, table: Any, rows: EncodedRows, guard: Guard) -> None:
        self._writer(config).write(table, rows, guard)

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        return self._writer(config).fetch(table, keys, names)


def redis_client(config: RedisOnlineStoreConfig) -> Any:
    """A client as Feast makes one, with time-outs and few retries.

    Args:
        config: The ``online_store`` section of a Redis store.
    """
    from redis import Redis
    from redis.backoff import ExponentialBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.retry import Retry
    from redis.sentinel import Sentinel

    nodes, options = redis_nodes(config.connection_string)
    options.setdefault("socket_timeout", ANSWER_SECONDS)
    options.setdefault("socket_connect_timeout", CONNECT_SECONDS)
    options.setdefault("retry", Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES))
    kind = getattr(config.redis_type, "value", config.redis_type)
    if kind == "redis_cluster":
        return RedisCluster(startup_nodes=[ClusterNode(**node) for node in nodes], **options)
    if kind == "redis_sentinel":
        hosts = [(node["host"], int(node["port"])) for node in nodes]
        return Sentinel(hosts, **options).master_for(config.sentinel_master)
    return Redis(host=nodes[0]["host"], port=int(nodes[0]["port"]), **options)
