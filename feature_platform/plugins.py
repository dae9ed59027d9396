"""The classes that a ``feature_store.yaml`` names: online stores, compute engine, offline store.

Feast imports this module, then asks it for the class and for ``<Class>Config``. A class is imported
when it is asked for, so that no store needs the client library of another. The online stores are
those of `feature_platform.online.stores`.
"""

from pkgutil import resolve_name
from typing import Any

from feature_platform.online.stores import online_backends

_CLASSES = (
    "feature_platform.compute.compute_engine.StreamingComputeEngine",
    "feature_platform.offline.offline_store.PointInTimeOfflineStore",
)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # what Python's import system asks for
        raise AttributeError(name)
    stores = (backend.plugin for backend in online_backends())
    for path in (*_CLASSES, *stores):
        module, _, plugin = path.rpartition(".")
        if name in (plugin, f"{plugin}Config"):
            return getattr(resolve_name(module), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
