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
    """The size of a SQLite, PostgreSQL or Redis online store; None for other kinds.

    On SQLite and PostgreSQL it is one scan a view; on Redis two commands, whatever it holds.

    Raises:
        OnlineStoreError: The store cannot be reached.
    """
    kind = str(store.config.online_store.type).rsplit(".", 1)[-1].lower()
    try:
        if "sqlite" in kind:
            return _sqlite(store, views)
        if "postgres" in kind:
            return _postgres(store, views)
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


def _sqlite(store: "FeatureStore", views: Sequence[str]) -> OnlineSize:
    path = Path(store.config.online_store.path)
    if not path.is_absolute():
        path = Path(store.repo_path) / path
    if not path.exists():
        return OnlineSize(dict.fromkeys(views, 0), 0)
    keys = dict.fromkeys(views, 0)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        for view, (table, feature) in _tables(store, views).items():
            if table in there:
                [(keys[view],)] = connection.execute(
                    f"SELECT COUNT(*) FROM {_quoted(table)} WHERE feature_name = ?", (feature,)
                )
    files = (path, path.with_name(f"{path.name}-wal"))
    return OnlineSize(keys, sum(file.stat().st_size for file in files if file.exists()))


def _postgres(store: "FeatureStore", views: Sequence[str]) -> OnlineSize:
    from feast.infra.utils.postgres.connection_utils import _get_conn

    keys, size = dict.fromkeys(views, 0), 0
    with closing(_get_conn(store.config.online_store)) as connection:
        for view, (table, feature) in _tables(store, views).items():
            relation = connection.execute("SELECT to_regclass(%s)", (_quoted(table),)).fetchone()
            if relation[0] is None:
                continue
            [keys[view]] = connection.execute(
                f"SELECT COUNT(*) FROM {_quoted(table)} WHERE feature_name = %s", (feature,)
            ).fetchone()
            [held] = connection.execute(
                "SELECT pg_total_relation_size(to_regclass(%s))", (_quoted(table),)
            ).fetchone()
            size += held
    return OnlineSize(keys, size)


def _tables(store: "FeatureStore", views: Sequence[str]) -> dict[str, tuple[str, str]]:
    """For each view its table, and a feature of it: every key has a row for each feature."""
    from feast.infra.online_stores.helpers import compute_table_id

    versioned = store.config.registry.enable_online_feature_view_versioning
    found = {}
    for name in views:
        view = store.get_feature_view(name)
        table = compute_table_id(store.project, view, versioned)
        found[name] = (table, view.features[0].name)
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _redis(store: "FeatureStore") -> OnlineSize:
    provider: Any = store._get_provider()  # noqa: SLF001 - Feast has no public way to the client
    client = provider.online_store._get_client(store.config.online_store)  # noqa: SLF001
    if hasattr(client, "get_primaries"):
        # Without being told to, a cluster answers for one of its nodes.
        count = client.dbsize(target_nodes=client.PRIMARIES)
        memory = client.info("memory", target_nodes=client.PRIMARIES)
        parts = [memory] if "used_memory" in memory else list(memory.values())
    else:
        count, parts = client.dbsize(), [client.info("memory")]
    return OnlineSize({WHOLE_STORE: int(count)}, sum(int(each["used_memory"]) for each in parts))
