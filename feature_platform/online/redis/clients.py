"""Clients of Redis as Feast makes them, with time-outs and few retries."""

from typing import Any

from feature_platform.core.feast_seams import redis_nodes

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""Time-outs of a connection and of an answer, unless the connection string sets others
(``socket_connect_timeout``, ``socket_timeout``)."""
_RETRIES = 2


def redis_client(config: Any) -> Any:
    """A client of a single server, sentinel or cluster.

    Args:
        config: The ``online_store`` section of a Redis store.
    """
    import redis

    return _made(config, redis)


def async_redis_client(config: Any) -> Any:
    """The same of ``redis.asyncio``, which belongs to the running event loop."""
    import redis.asyncio

    return _made(config, redis.asyncio)


def _made(config: Any, redis: Any) -> Any:
    from redis.backoff import ExponentialBackoff
    from redis.exceptions import ConnectionError as ConnectionLost

    nodes, options = redis_nodes(config.connection_string)
    options.setdefault("socket_timeout", ANSWER_SECONDS)
    options.setdefault("socket_connect_timeout", CONNECT_SECONDS)
    # A server that has not answered in time is not asked again: whoever waits has waited enough.
    backoff = ExponentialBackoff(cap=0.5, base=0.05)
    lost = (ConnectionLost, ConnectionError)
    options.setdefault("retry", redis.retry.Retry(backoff, _RETRIES, lost))
    kind = getattr(config.redis_type, "value", config.redis_type)
    if kind == "redis_cluster":
        node = redis.cluster.ClusterNode
        startup = [node(each["host"], int(each["port"])) for each in nodes]
        return redis.RedisCluster(startup_nodes=startup, **options)
    if kind == "redis_sentinel":
        hosts = [(each["host"], int(each["port"])) for each in nodes]
        return redis.Sentinel(hosts, **options).master_for(config.sentinel_master)
    return redis.Redis(host=nodes[0]["host"], port=int(nodes[0]["port"]), **options)
