"""How much an online store holds, asked of the store itself."""

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from feature_platform.core.feast_seams import postgres_connection, redis_client_of
from feature_platform.errors import OnlineStoreError

if TYPE_CHECKING:
    from feast import FeatureStore

# Rows looked at for the bytes of one, and from how many on PostgreSQL's own count will do.
_SAMPLE = 1000
_MANY_ROWS = 1_000_000

WHOLE_STORE = ""
"""Stands for all views where a store does not keep them apart."""


@dataclass(frozen=True)
class OnlineSize:
    """What an online store holds.

    Attributes:
        keys: View to number of entity keys; one number under `WHOLE_STORE` where the store keeps
            the views of an entity under one key.
        size: Bytes of the whole store.
        sizes: Bytes by view, indexes included; an estimate on SQLite, and one number under
            `WHOLE_STORE` where the store keeps the views of an entity under one key.
        limit: Bytes that the whole store can take, where it says so: Redis with a ``maxmemory``,
            and SQLite with what is left on its disk. None where it does not.
    """

    keys: Mapping[str, int]
    size: int
    sizes: Mapping[str, int] = field(default_factory=dict)
    limit: int | None = None


def online_size(store: "FeatureStore", views: Sequence[str]) -> OnlineSize | None:
    """The size of a SQLite, PostgreSQL or Redis online store; None for other kinds.

    On SQLite it is a scan of an index for each view, on PostgreSQL of the table, where from a
    million rows on its own estimate is taken; on Redis two commands, whatever it holds.

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
    keys, sizes = dict.fromkeys(views, 0), dict.fromkeys(views, 0)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        for view, (table, features) in _tables(store, views).items():
            if table in there:
                [(keys[view],)] = connection.execute(
                    f"SELECT COUNT(*) FROM {_quoted(table)} WHERE feature_name = ?", (features[0],)
                )
                [(of_one,)] = connection.execute(_SQLITE_ROW.format(table=_quoted(table)))
                sizes[view] = round(keys[view] * len(features) * (of_one or 0))
    files = (path, path.with_name(f"{path.name}-wal"))
    size = sum(file.stat().st_size for file in files if file.exists())
    return OnlineSize(keys, size, sizes, size + shutil.disk_usage(path.parent).free)


# A row's bytes: the key stands in two indexes too, the feature's name in one.
_SQLITE_ROW = f"""
SELECT AVG(3 * LENGTH(entity_key) + 2 * LENGTH(feature_name) + COALESCE(LENGTH(value), 0)
    + COALESCE(LENGTH(event_ts), 0) + COALESCE(LENGTH(created_ts), 0) + 30)
FROM (SELECT * FROM {{table}} LIMIT {_SAMPLE})
"""


def _postgres(store: "FeatureStore", views: Sequence[str]) -> OnlineSize:
    keys, sizes = dict.fromkeys(views, 0), dict.fromkeys(views, 0)
    with closing(postgres_connection(store.config.online_store)) as connection:
        for view, (table, features) in _tables(store, views).items():
            known = connection.execute(
                "SELECT reltuples, pg_total_relation_size(oid) FROM pg_class "
                "WHERE oid = to_regclass(%s)",
                (_quoted(table),),
            ).fetchone()
            if known is None:
                continue
            rows, sizes[view] = known
            if rows >= _MANY_ROWS:
                keys[view] = round(rows / len(features))
                continue
            [keys[view]] = connection.execute(
                f"SELECT COUNT(*) FROM {_quoted(table)} WHERE feature_name = %s", (features[0],)
            ).fetchone()
    return OnlineSize(keys, sum(sizes.values()), sizes)


def _tables(store: "FeatureStore", views: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """For each view its table, and its features: every key has a row for each of them."""
    from feast.infra.online_stores.helpers import compute_table_id

    versioned = store.config.registry.enable_online_feature_view_versioning
    found = {}
    for name in views:
        view = store.get_feature_view(name)
        table = compute_table_id(store.project, view, versioned)
        found[name] = (table, [feature.name for feature in view.features])
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _redis(store: "FeatureStore") -> OnlineSize:
    client = redis_client_of(store)
    if hasattr(client, "get_primaries"):
        # Without being told to, a cluster answers for one of its nodes.
        count = client.dbsize(target_nodes=client.PRIMARIES)
        memory = client.info("memory", target_nodes=client.PRIMARIES)
        parts = [memory] if "used_memory" in memory else list(memory.values())
    else:
        count, parts = client.dbsize(), [client.info("memory")]
    size = sum(int(each["used_memory"]) for each in parts)
    most = [int(each.get("maxmemory", 0)) for each in parts]
    # The fullest node decides, but keys are spread evenly over them.
    limit = sum(most) if all(most) else None
    return OnlineSize({WHOLE_STORE: int(count)}, size, {WHOLE_STORE: size}, limit)
