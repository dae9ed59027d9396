"""A query for the newest rows of some keys, so that a warehouse sends those alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_platform.sources.warehouse import WarehouseKind

KEYS_TOTAL = "__keys_total"
"""The column that says how many keys there were to choose from."""
_NEWEST = "__newest_time"


@dataclass(frozen=True)
class NewestRows:
    """Which rows are enough: of each of some keys, those with its greatest event time.

    Attributes:
        keys: The key columns of the source; none for a view without entities.
        among: For some of the key columns, the values whose rows are asked for, in SQL. Keys that
            have a value of each column and yet were not asked for come too.
        limit: Choose this many keys at most; None takes all.
        seed: Chooses which.
    """

    keys: tuple[str, ...]
    among: tuple[tuple[str, tuple[str, ...]], ...] = ()
    limit: int | None = None
    seed: int = 0


def newest_sql(
    kind: "WarehouseKind",
    newest: NewestRows,
    timestamp: str,
    rows: Sequence[str],
    keys: Sequence[str],
) -> str:
    """The query for the newest rows; its last column is `KEYS_TOTAL`.

    Args:
        kind: Which warehouse it is for.
        newest: Which rows.
        timestamp: The event time column.
        rows: Queries, at least one, for all rows that count with all columns.
        keys: Queries for the same rows with the key columns and the event time.
    """
    quote = "`" if kind == "bigquery" else '"'

    def named(column: str) -> str:
        return f"{quote}{column}{quote}"

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
        drawn = (
            f"FARM_FINGERPRINT(CONCAT('{newest.seed}', TO_JSON_STRING(STRUCT({key_list}))))"
            if kind == "bigquery"
            else f"md5(concat_ws(chr(31), '{newest.seed}', {key_list}))"
        )
        chosen += f" ORDER BY {drawn} LIMIT {newest.limit}"
    met = [f"r.{named(key)} = k.{named(key)}" for key in newest.keys]
    met.append(f"r.{named(timestamp)} = k.{_NEWEST}")
    return (
        f"SELECT r.*, k.{KEYS_TOTAL} FROM ({_united(rows)}) AS r "
        f"JOIN ({chosen}) AS k ON {' AND '.join(met)}"
    )


def _united(queries: Sequence[str]) -> str:
    # A query may end in a comment.
    return " UNION ALL ".join(f"({query}\n)" for query in queries)
