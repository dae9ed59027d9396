"""What a ``feature_store.yaml`` names: online stores, the compute engine, the offline store.

Feast imports this module, then asks it for the class and for ``<Class>Config``. Each class is
imported when it is asked for, so that a store never needs the client library of another one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feature_platform.compute.compute_engine import (
        StreamingComputeEngine,
        StreamingComputeEngineConfig,
    )
    from feature_platform.offline.offline_store import (
        PointInTimeOfflineStore,
        PointInTimeOfflineStoreConfig,
    )
    from feature_platform.online.postgres.store import (
        GuardedPostgreSQLOnlineStore,
        GuardedPostgreSQLOnlineStoreConfig,
    )
    from feature_platform.online.redis.store import (
        GuardedRedisOnlineStore,
        GuardedRedisOnlineStoreConfig,
    )
    from feature_platform.online.sqlite.store import (
        GuardedSqliteOnlineStore,
        GuardedSqliteOnlineStoreConfig,
    )

__all__ = [
    "GuardedPostgreSQLOnlineStore",
    "GuardedPostgreSQLOnlineStoreConfig",
    "GuardedRedisOnlineStore",
    "GuardedRedisOnlineStoreConfig",
    "GuardedSqliteOnlineStore",
    "GuardedSqliteOnlineStoreConfig",
    "PointInTimeOfflineStore",
    "PointInTimeOfflineStoreConfig",
    "StreamingComputeEngine",
    "StreamingComputeEngineConfig",
]

_MODULES = {
    "GuardedPostgreSQLOnlineStore": "online.postgres.store",
    "GuardedRedisOnlineStore": "online.redis.store",
    "GuardedSqliteOnlineStore": "online.sqlite.store",
    "PointInTimeOfflineStore": "offline.offline_store",
    "StreamingComputeEngine": "compute.compute_engine",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name.removesuffix("Config"))
    if module is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"feature_platform.{module}"), name)
