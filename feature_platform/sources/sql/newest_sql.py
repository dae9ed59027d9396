"""A query for the newest rows of some keys, so that a warehouse sends only those."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_platform.sources.sql.sql_warehouse import SqlWarehouse
    from feature_platform.sources.warehouse import NewestRows

KEYS_TOTAL = "__keys_total"
"""The column with the number of keys that there were to choose from."""
_NEWEST = "__newest_time"


def newest_sql(
    warehouse: "SqlWarehouse",
    newest: "NewestRows",
    timestamp: str,
    rows: Sequence[str],
    keys: Sequence[str],
) -> str:
    """The query for the newest rows; its last column is `KEYS_TOTAL`.

    Args:
        warehouse: Where it will run.
        newest: Which rows.
        timestamp: The event time column.
        rows: Queries, at least one, for all rows that count with all columns.
        keys: Queries for the same rows with the key columns and the event time.
    """
    named = warehouse.dialect.identifier
    key_list = ", ".join(map(named, newest.keys))
    conditions = [f"{named(key)} IS NOT NULL" for key in newest.keys]
    conditions += [f"{named(key)} IN ({', '.join(texts)})" for key, texts in newest.among]
    chosen = (
        f"SELECT {key_list}, MAX({named(timestamp)}) AS {_NEWEST}, "
        f"COUNT(*) OVER () AS {KEYS_TOTAL} "
        f"FROM ({_united(keys)}) AS all_keys WHERE {' AND '.join(conditions)} GROUP BY {key_list}"
        if newest.keys
        else f"SELECT MAX({named(timestamp)}) AS {_NEWEST}, 1 AS {KEYS_TOTAL} "
        f"FROM ({_united(keys)}) AS all_keys"
    )
    if newest.limit is not None and newest.keys:
        order = warehouse.sample_order(newest.seed, key_list)
        chosen += f" ORDER BY {order} LIMIT {newest.limit}"
    matching = [f"r.{named(key)} = k.{named(key)}" for key in newest.keys]
    matching.append(f"r.{named(timestamp)} = k.{_NEWEST}")
    return (
        f"SELECT r.*, k.{KEYS_TOTAL} FROM ({_united(rows)}) AS r "
        f"JOIN ({chosen}) AS k ON {' AND '.join(matching)}"
    )


def _united(queries: Sequence[str]) -> str:
    # A query may end in a comment.
    return " UNION ALL ".join(f"({query}\n)" for query in queries)
