"""Redis: Feast's online store and ours, a single server, sentinel or cluster."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import redis_client_of, replace_redis_client
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.online_size import WHOLE_STORE, OnlineSize

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from feature_platform.online.guarded_writer import OnlineWriter


class RedisBackend(OnlineBackend):
    """A Redis server or cluster."""

    types = ("redis", "feast.infra.online_stores.redis.RedisOnlineStore")
    plugin = "feature_platform.online.redis.store.GuardedRedisOnlineStore"
    packages = ("redis",)
    extra = "redis"

    def writer(self, online: Any, config: "RepoConfig") -> "OnlineWriter":  # noqa: ARG002
        """A writer over a client of its own."""
        from feature_platform.online.redis.clients import redis_client
        from feature_platform.online.redis.writer import RedisWriter

        return RedisWriter(redis_client(config.online_store), config)

    def prepare(self, online: Any) -> None:
        """Let its client have time-outs."""
        from feature_platform.online.redis.clients import redis_client

        replace_redis_client(online, redis_client)

    def size(self, store: "FeatureStore", views: Sequence[str]) -> OnlineSize:  # noqa: ARG002
        """Two commands per node: Redis keeps all views of an entity under one key."""
        client = redis_client_of(store)
        if hasattr(client, "get_primaries"):
            # By default a cluster's client asks one node only.
            count = client.dbsize(target_nodes=client.PRIMARIES)
            memory = client.info("memory", target_nodes=client.PRIMARIES)
            nodes = [memory] if "used_memory" in memory else list(memory.values())
        else:
            count, nodes = client.dbsize(), [client.info("memory")]
        size = sum(int(each["used_memory"]) for each in nodes)
        limits = [int(each.get("maxmemory", 0)) for each in nodes]
        # The fullest node decides, but keys are spread evenly over them.
        limit = sum(limits) if all(limits) else None
        return OnlineSize({WHOLE_STORE: int(count)}, size, {WHOLE_STORE: size}, limit)
