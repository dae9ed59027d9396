"""Content hashes computed inside PostgreSQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from feature_platform.core.feast_seams import postgres_connection
from feature_platform.core.sql import identifier, instant, literal
from feature_platform.sources.warehouse import NUMBER, Sums, numbered_rows

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

    from feature_platform.core.windows import Window

# A row's text depends on these, and so would its hash. Sums of floats depend on the order of rows:
# as few things as possible change it.
_SESSION = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "max_parallel_workers_per_gather": "0",
    "synchronize_seqscans": "off",
}
# Writes are counted by table when their transaction has ended; TRUNCATE and rewrites change the
# file. A standby counts nothing, and a crash forgets the counts. Once a day all is read regardless.
_STAMP = """
WITH RECURSIVE named AS (
    SELECT to_regclass(name) AS oid FROM unnest(%s::text[]) AS name
), tree AS (
    SELECT oid::oid FROM named
    UNION
    SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT
    current_setting('track_counts') = 'on' AND NOT pg_is_in_recovery()
    AND bool_and(c.oid IS NOT NULL AND c.relkind IN ('r', 'p', 'm')),
    concat_ws(' ', current_date, pg_postmaster_start_time(), string_agg(
        concat_ws(':', c.oid, pg_relation_filenode(c.oid), s.n_tup_ins, s.n_tup_upd, s.n_tup_del),
        ' ' ORDER BY c.oid
    ))
FROM tree
LEFT JOIN pg_class AS c ON c.oid = tree.oid
LEFT JOIN pg_stat_all_tables AS s ON s.relid = tree.oid
"""


@dataclass(frozen=True)
class PostgresWarehouse:
    """A read-only transaction on PostgreSQL 11 or newer; see `Warehouse`."""

    connection: Any
    kind: Literal["postgres"] = "postgres"

    def columns(self, origin: str) -> list[str]:
        """The columns of a table, or of a query in parentheses."""
        cursor = self.connection.execute(f"SELECT * FROM {origin} AS source_rows LIMIT 0")
        return [column.name for column in cursor.description]

    def types(self, table: str) -> Mapping[str, str]:
        """The columns of a table and their types; empty where there is no such table."""
        found = self.connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [table],
        ).fetchall()
        return {str(name): str(kind) for name, kind in found}

    def numbered(self, origin: str, timestamp: str, windows: "Sequence[Window]") -> str:
        """The rows of windows, each with the window's number, found by bisection."""
        return numbered_rows(
            origin,
            identifier(timestamp),
            windows,
            instant,
            array="ARRAY[{}]",
            bucket="width_bucket",
            element="({array})[{place}]",
        )

    def sums(self, rows: str, columns: Mapping[str, str]) -> dict[int, Sums]:
        """Count and hash rows by window; a row's text is that of a composite value."""
        fields = ", ".join(
            f"CAST({identifier(name)} AS {kind})" if kind else identifier(name)
            for name, kind in columns.items()
        )
        found = self.connection.execute(
            f"SELECT {NUMBER}, count(*), sum(hashtextextended(t, 0)), sum(hashtextextended(t, 1)) "
            f'FROM (SELECT {NUMBER}, ROW({fields})::text COLLATE "C" AS t FROM ({rows}) AS r) '
            f"AS texts GROUP BY {NUMBER}"
        ).fetchall()
        return {int(number): Sums(int(count), int(a), int(b)) for number, count, a, b in found}

    def stamp(self, tables: Sequence[str]) -> str | None:
        """The counts of rows written to the tables, and the files they are in."""
        (counts, said) = self.connection.execute(_STAMP, [list(tables)]).fetchone()
        return str(said) if counts else None


@contextmanager
def postgres_warehouse(config: "RepoConfig") -> "Iterator[PostgresWarehouse]":
    """Connect as Feast's offline store does."""
    with closing(postgres_connection(config.offline_store)) as connection:
        # Of this transaction alone: a pooler may hand the connection to others.
        settings = [f"SET LOCAL {name} = {literal(value)}" for name, value in _SESSION.items()]
        connection.execute("; ".join(["SET TRANSACTION READ ONLY", *settings]))
        yield PostgresWarehouse(connection)
