"""Batch sources in PostgreSQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.core.feast_seams import postgres_connection
from feature_platform.core.sql import literal
from feature_platform.sources.postgres.dialect import PostgresDialect
from feature_platform.sources.sql.sql_warehouse import SqlWarehouse

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

# A row's text, and so its hash, depends on these. Sums of floats depend on the order of rows, which
# the last two keep as stable as possible. Times without a zone are UTC.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "max_parallel_workers_per_gather": "0",
    "synchronize_seqscans": "off",
}
# The first statement that reads takes the snapshot.
_TRANSACTION = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# Rows become Python objects before they become columns: few at a time.
_FETCHED_ROWS = 2_000
# PostgreSQL counts writes per table when their transaction ends; TRUNCATE and rewrites change the
# file. A standby counts nothing, and a crash resets the counts. The date changes the stamp once a
# day regardless.
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
class PostgresSession:
    """A read-only transaction; see `Session`."""

    connection: Any

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        found: list[tuple[Any, ...]] = self.connection.execute(sql).fetchall()
        return found

    def batches(self, sql: str) -> Iterator[pa.Table]:
        """Read through a cursor of the server; types as Feast's own retrieval gives them."""
        from feast.type_map import pg_type_code_to_arrow

        # Plan for all rows, not for the first ones soon.
        self.connection.execute("SET LOCAL cursor_tuple_fraction = 1")
        with self.connection.cursor(name="feature_platform_rows") as cursor:
            cursor.execute(sql)
            schema = pa.schema(
                [(each.name, pg_type_code_to_arrow(each.type_code)) for each in cursor.description]
            )
            yield schema.empty_table()
            while rows := cursor.fetchmany(_FETCHED_ROWS):
                columns = [_column(values) for values in zip(*rows, strict=True)]
                yield pa.Table.from_arrays(columns, schema=schema)

    def columns(self, sql: str) -> list[str]:
        """The columns of a query that returns no row."""
        return [column.name for column in self.connection.execute(sql).description]

    def types(self, table: str) -> Mapping[str, str]:
        """The columns of a table and their types."""
        found = self.connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [table],
        ).fetchall()
        return {str(name): str(kind) for name, kind in found}

    def stamp(self, tables: Sequence[str]) -> str | None:
        """The counts of rows written to the tables, and the files the tables are in."""
        is_counted, stamp = self.connection.execute(_STAMP, [list(tables)]).fetchone()
        return str(stamp) if is_counted else None


class PostgresWarehouse(SqlWarehouse):
    """PostgreSQL 11 or newer; see `SqlWarehouse`."""

    label = "PostgreSQL"
    source_type = "PostgreSQLSource"
    dialect = PostgresDialect()
    packages = ("psycopg",)
    extra = "postgres"
    whole_number_types = frozenset({"smallint", "integer", "bigint"})
    text_types = frozenset({"text", "character varying"})
    hashes = ("hashtextextended(t, 0)", "hashtextextended(t, 1)")

    @contextmanager
    def session(self, config: "RepoConfig") -> Iterator[PostgresSession]:
        """Begin a read-only transaction on a connection of its own, which sees one snapshot."""
        with closing(postgres_connection(config.offline_store)) as connection:
            # LOCAL: a pooler may hand the connection to others after this transaction.
            settings = [f"SET LOCAL {name} = {literal(value)}" for name, value in _SETTINGS.items()]
            connection.execute("; ".join([_TRANSACTION, *settings, "SELECT 1"]))
            yield PostgresSession(connection)

    def run_scripts(self, config: "RepoConfig", scripts: Sequence[str], resources: Any) -> None:
        """Run them on a connection made as Feast makes it, with certificates and search path."""
        del resources
        with postgres_connection(config.offline_store) as connection:
            connection.autocommit = True
            for script in scripts:
                connection.execute(script)

    def row_text(self, columns: Mapping[str, str]) -> str:
        """The text of a composite value."""
        return f'ROW({", ".join(columns.values())})::text COLLATE "C"'

    def bucket(self, time: str, starts: Sequence[str]) -> str:
        """By bisection."""
        return f"width_bucket({time}, ARRAY[{', '.join(starts)}])"

    def element(self, values: Sequence[str], place: str) -> str:
        """An array's element."""
        return f"(ARRAY[{', '.join(values)}])[{place}]"

    def place(self, config: "RepoConfig") -> str:
        """The server's address."""
        return f"{self.label} at {config.offline_store.host}:{config.offline_store.port}"


def _column(values: tuple[Any, ...]) -> pa.Array:
    found = pa.array(values)
    # Feast's type for a UUID is a string; cast to one, it would become its sixteen bytes.
    is_uuid = isinstance(found.type, pa.UuidType)
    return pa.array([each and str(each) for each in values], pa.string()) if is_uuid else found
