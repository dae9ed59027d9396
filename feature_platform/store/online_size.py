"""How much an online store holds, asked of the store itself."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.errors import OnlineStoreError

if TYPE_CHECKING:
    from feast import FeatureStore

WHOLE_STORE = ""
"""Stands for all views where a store does not keep them apart."""


@dataclass(frozen=True)
class OnlineSize:
    """What an online store holds.

    Attributes:
        keys: View to number of entity keys; one number under `WHOLE_STORE` where the store keeps
            the views of an entity under one key.
        size: Bytes of the whole store.
    """

    keys: Mapping[str, int]
    size: int


def online_size(store: "FeatureStore", views: Sequence[str]) -> OnlineSize | None:
    """The size of a SQLite or Redis online store; None for kinds that cannot tell it cheaply.

    On SQLite it is one scan a view; on Redis two commands, whatever it holds.

    Raises:
        OnlineStoreError: The store cannot be reached.
    """
    kind = str(store.config.online_store.type).rsplit(".", 1)[-1].lower()
    try:
        if "sqlite" in kind:
            return _sqlite(store, views)
        if "redis" in kind:
            return _redis(store)
    except OnlineStoreError:
        raise
    except Exception as error:
        raise OnlineStoreError(
            f"online store of project '{store.project}'",
            f"its size cannot be read ({type(error).__name__})",
            "run feature-platform doctor, which says what can be reached",
        ) from error
    return None


def _sqlite(store: "FeatureStore", views: Sequence[str]) -> OnlineSize | None:
    from feast.infra.online_stores.helpers import compute_table_id

    path = Path(store.config.online_store.path)
    if not path.is_absolute():
        path = Path(store.repo_path) / path
    if not path.exists():
        return OnlineSize(dict.fromkeys(views, 0), 0)
    versioned = store.config.registry.enable_online_feature_view_versioning
    keys: dict[str, int] = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        for view in views:
            found = store.get_feature_view(view)
            table = compute_table_id(store.project, found, versioned)
            keys[view] = 0
            if table in tables:
                quoted = '"' + table.replace('"', '""') + '"'
                # Every key has a row for each feature.
                [(keys[view],)] = connection.execute(
                    "SELECT COUNT(*) FROM " + quoted + " WHERE feature_name = ?",
                    (found.features[0].name,),
                )
    files = (path, path.with_name(f"{path.name}-wal"))
    size = sum(file.stat().st_size for file in files if file.exists())
    return OnlineSize(keys, size)


def _redis(store: "FeatureStore") -> OnlineSize:
    provider: Any = store._get_provider()  # noqa: SLF001 - Feast has no public way to the client
    client = provider.online_store._get_client(store.config.online_store)  # noqa: SLF001
    memory = client.info("memory")
    # A cluster answers for each node, a single server for itself.
    parts = [memory] if "used_memory" in memory else list(memory.values())
    return OnlineSize(
        {WHOLE_STORE: int(client.dbsize())}, sum(int(part["used_memory"]) for part in parts)
    )
