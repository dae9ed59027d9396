"""Redis: Feast's online store and ours, a single server, sentinel or cluster."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import redis_client_of, replace_redis_client
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.online_size import WHOLE_STORE, OnlineSize
from feature_platform.online.store_faults import Signs, StoreFault

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from feature_platform.online.guarded_writer import OnlineWriter


class RedisBackend(OnlineBackend):
    """A Redis server or cluster."""

    types = ("redis", "feast.infra.online_stores.redis.RedisOnlineStore")
    plugin = "feature_platform.online.redis.store.GuardedRedisOnlineStore"
    signs = (
        Signs(
            StoreFault(
                "refuses the credentials",
                "correct username and password in the connection_string of feature_store.yaml",
            ),
            classes=("AuthenticationError", "AuthenticationWrongNumberOfArgsError"),
            texts=("wrongpass", "noauth", "invalid username-password", "invalid password"),
        ),
        Signs(
            StoreFault(
                "does not let this user do that",
                "give the user the commands eval, evalsha, script, hget, hset, hmget, hdel, "
                "expire, scan, get, set and del, and all keys (ACL SETUSER)",
            ),
            classes=("NoPermissionError",),
            texts=("noperm", "has no permissions"),
        ),
        Signs(
            StoreFault(
                "has no memory left",
                "raise maxmemory, remove what is not needed, or set key_ttl_seconds so that old "
                "keys go; see the runbook online-store-fills-up",
            ),
            classes=("OutOfMemoryError",),
            texts=("oom command not allowed", "out of memory"),
        ),
        Signs(
            StoreFault(
                "cannot save to its disk, and takes no writes until it can",
                "free space on its disk, or make its folder writable; its log says which",
            ),
            texts=("misconf",),
        ),
        Signs(
            StoreFault(
                "is a replica, which takes no writes",
                "write to the primary: name it in the connection_string, or use redis_sentinel or "
                "redis_cluster, which find it after a fail-over",
                is_transient=True,
            ),
            classes=("ReadOnlyError",),
            texts=("readonly you can't write", "read only replica", "read only script"),
        ),
        Signs(
            StoreFault(
                "got a key or value larger than it takes",
                "keep values below 512 MB (proto-max-bulk-len): shorten or split the largest "
                "feature",
                is_too_large=True,
            ),
            texts=("invalid bulk length", "string exceeds maximum allowed size", "too big"),
        ),
        Signs(
            StoreFault(
                "has no connection left to give",
                "raise maxclients, or run fewer steps and servers at once",
                is_transient=True,
            ),
            classes=("MaxConnectionsError",),
            texts=("max number of clients reached", "too many connections"),
        ),
        Signs(
            StoreFault(
                "is loading its data, or moving it between nodes",
                "wait until it is done; the next run writes what is missing",
                is_transient=True,
            ),
            classes=("BusyLoadingError", "TryAgainError", "ClusterDownError", "MasterDownError"),
            texts=("loading redis", "clusterdown"),
        ),
    )
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
