"""Feast's Redis online store with guarded bulk writes and time-outs."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

from feature_platform.core.feast_seams import redis_nodes
from feature_platform.encoding.encoded_rows import encode_feast_rows
from feature_platform.online.fast_read import FastReads, StoredRow
from feature_platform.online.redis.writer import RedisWriter
from feature_platform.online.view_guard import guard_of

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""How long a server may take to accept a connection, and to answer a call, unless the connection
string says otherwise (``socket_connect_timeout``, ``socket_timeout``)."""
_ATTEMPTS = 2


class GuardedRedisOnlineStoreConfig(RedisOnlineStoreConfig):  # type: ignore[misc]
    """Configuration of `GuardedRedisOnlineStore`: the fields of Feast's Redis store."""

    type: Literal["feature_platform.plugins.GuardedRedisOnlineStore"] = (
        "feature_platform.plugins.GuardedRedisOnlineStore"
    )
    """Online store type selector"""


class GuardedRedisOnlineStore(FastReads, RedisOnlineStore):  # type: ignore[misc]
    """Feast's Redis online store, with the same keys and fields, that never goes back in time.

    A row replaces what is there only if its (event time, created time) is not older, compared and
    written in one step on the server, whoever writes: ``feast materialize``, ``push``, any compute
    engine. A hanging server ends in an error. ``skip_dedup`` has no effect.
    """

    _client: Any = None

    def _get_client(self, online_store_config: Any) -> Any:
        if not self._client:
            self._client = redis_client(online_store_config)
        return self._client

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        client = self._get_client(config.online_store)
        return redis_writer(client, config).fetch(table, keys, names)

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows where the guard lets them; see Feast's ``OnlineStore``."""
        writer = redis_writer(self._get_client(config.online_store), config)
        for rows in encode_feast_rows(data, config.entity_key_serialization_version):
            writer.write(table, rows, guard_of(table))
            if progress:
                progress(len(rows))

    async def online_write_batch_async(
        self,
        config: Any,
        table: Any,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """`online_write_batch` in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)


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
    options.setdefault("retry", Retry(ExponentialBackoff(cap=0.5, base=0.05), _ATTEMPTS))
    kind = getattr(config.redis_type, "value", config.redis_type)
    if kind == "redis_cluster":
        return RedisCluster(startup_nodes=[ClusterNode(**node) for node in nodes], **options)
    if kind == "redis_sentinel":
        hosts = [(node["host"], int(node["port"])) for node in nodes]
        return Sentinel(hosts, **options).master_for(config.sentinel_master)
    return Redis(host=nodes[0]["host"], port=int(nodes[0]["port"]), **options)


def redis_writer(client: Any, config: Any) -> RedisWriter:
    """The writer for a repo's configuration."""
    return RedisWriter(
        client,
        config.project,
        versioning=config.registry.enable_online_feature_view_versioning,
        ttl=config.online_store.key_ttl_seconds or 0,
    )
