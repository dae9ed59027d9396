"""Feast's Redis online store with guarded bulk writes and time-outs."""

import asyncio
from typing import Any, Literal

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

from feature_platform.encoding.encoded_rows import EncodedRows
from feature_platform.online.fast_read import StoredRow
from feature_platform.online.guarded_store import GuardedStore
from feature_platform.online.guarded_writer import Guard
from feature_platform.online.redis.clients import async_redis_client, redis_client
from feature_platform.online.redis.writer import RedisWriter


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
    _client_async: Any = None
    _loop: Any = None

    # Over the asynchronous client, not in a thread.
    online_read_async = RedisOnlineStore.online_read_async

    def _get_client(self, online_store_config: Any) -> Any:
        if not self._client:
            self._client = redis_client(online_store_config)
        return self._client

    async def _get_client_async(self, online_store_config: Any) -> Any:
        """The client of the running event loop: one of another loop fails."""
        loop = asyncio.get_running_loop()
        if self._client_async is None or self._loop is not loop:
            self._client_async, self._loop = async_redis_client(online_store_config), loop
        return self._client_async

    def _writer(self, config: Any) -> RedisWriter:
        return RedisWriter(self._get_client(config.online_store), config)

    def _write(self, config: Any, table: Any, rows: EncodedRows, guard: Guard) -> None:
        self._writer(config).write(table, rows, guard)

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        return self._writer(config).fetch(table, keys, names)

    async def _fetch_async(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> list[StoredRow]:
        client = await self._get_client_async(config.online_store)
        return await RedisWriter(client, config).fetch_async(table, keys, names)

    def _get_features_for_entity(
        self, values: Any, feature_view: str, requested_features: list[str]
    ) -> tuple[Any, Any]:
        """As Feast does, but nothing for a key that is not stored, as other stores answer."""
        found = dict(zip(requested_features, values, strict=True))
        if found.get(f"_ts:{feature_view}") is None:
            return None, None
        row: tuple[Any, Any] = super()._get_features_for_entity(
            values, feature_view, requested_features
        )
        return row
