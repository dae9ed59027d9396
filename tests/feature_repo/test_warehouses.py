"""The same SQL files on the warehouses they are meant for."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import psycopg
import pytest
import sqlglot
from sqlglot import exp

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.sources.bigquery.dialect import BigQueryDialect
from feature_platform.sources.postgres.dialect import PostgresDialect
from feature_platform.sources.postgres.warehouse import PostgresWarehouse
from feature_platform.tables.source_sql import SourceSql
from feature_platform.tables.table_builders import WarehouseBuilder
from feature_platform.tables.window_statements import (
    OUTSIDE,
    create_table_statement,
    insert_script,
)

Bound = Callable[[Window], duckdb.DuckDBPyConnection]
Compute = Callable[..., pd.DataFrame]
SOURCES = ("user_transactions", "merchant_stats")
WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
COMPUTED = datetime(2026, 3, 2, 6, tzinfo=UTC)
DIALECTS = {"bigquery": BigQueryDialect(), "postgres": PostgresDialect()}
BIGQUERY, POSTGRES = DIALECTS.values()

# What BigQuery and PostgreSQL document, as far as the two files need it.
FUNCTIONS = {
    "bigquery": {"AVG", "COALESCE", "COUNT", "MAX", "MIN", "NULLIF", "SUM", "UNIX_MICROS"},
    "postgres": {"AVG", "COALESCE", "COUNT", "DATE_PART", "MAX", "MIN", "NULLIF", "SUM"},
}
TYPES = {
    "bigquery": {"STRING", "INT64", "FLOAT64", "TIMESTAMP"},
    "postgres": {"TEXT", "BIGINT", "REAL", "DOUBLE PRECISION", "TIMESTAMPTZ"},
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dialect", FUNCTIONS)
def test_the_sql_uses_only_what_the_warehouse_has(repo: Path, source: str, dialect: str):
    sql = (repo / "sql" / f"{source}.sql").read_text()

    text = SourceSql(sql).render(WINDOW, COMPUTED, DIALECTS[dialect])

    assert "$" not in text
    called = set(re.findall(r"\b([A-Z_]+)\(", text)) - {"CAST", "AND", "AS", "IN", "USING"}
    assert called <= FUNCTIONS[dialect]
    tree = sqlglot.parse_one(text, dialect=dialect)
    assert {cast.to.sql(dialect) for cast in tree.find_all(exp.Cast)} <= TYPES[dialect]
    assert {table.sql() for table in tree.find_all(exp.Table) if table.db} <= {
        "raw.transactions",
        "raw.chargebacks",
    }
    assert tree.named_selects == sqlglot.parse_one(sql, dialect="duckdb").named_selects


@pytest.mark.parametrize("source", SOURCES)
def test_intervals_and_epochs_are_said_as_each_warehouse_says_them(repo: Path, source: str):
    sql = (repo / "sql" / f"{source}.sql").read_text()
    bigquery = SourceSql(sql).render(WINDOW, COMPUTED, BIGQUERY)
    postgres = SourceSql(sql).render(WINDOW, COMPUTED, POSTGRES)

    assert "CAST('2026-03-02 00:00:00+00:00' AS TIMESTAMP) - INTERVAL '1' MICROSECOND" in bigquery
    assert "CAST('2026-03-02 00:00:00+00:00' AS TIMESTAMPTZ) - INTERVAL '1 MICROSECOND'" in postgres
    if source == "user_transactions":
        assert "UNIX_MICROS(MAX(recent.transaction_timestamp)) / 1000000" in bigquery
        assert "DATE_PART('epoch', MAX(recent.transaction_timestamp))" in postgres


@pytest.mark.parametrize("source", SOURCES)
def test_read_back_from_bigquerys_dialect_the_numbers_are_the_same(
    repo: Path, source: str, bound: Bound, source_table: Compute
):
    connection = bound(WINDOW)
    expected = source_table(connection, source, WINDOW, COMPUTED)
    sql = (repo / "sql" / f"{source}.sql").read_text()
    bigquery = SourceSql(sql).render(WINDOW, COMPUTED, BIGQUERY)

    (back,) = sqlglot.transpile(bigquery, read="bigquery", write="duckdb")
    got = connection.execute(back).df()

    # BigQuery has one float type, of 64 bits.
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-6)


@pytest.mark.server
@pytest.mark.parametrize("source", SOURCES)
def test_postgres_computes_the_same_table_and_replaces_just_the_window(
    repo: Path, source: str, bound: Bound, source_table: Compute, postgres: psycopg.Connection
):
    raw = bound(WINDOW)
    expected = source_table(raw, source, WINDOW, COMPUTED)
    _copy_raw_tables(raw, postgres)
    sql = (repo / "sql" / f"{source}.sql").read_text()
    table = f"ml_data.{source}"
    postgres.execute("CREATE SCHEMA ml_data")
    postgres.execute(create_table_statement(SourceSql(sql), POSTGRES, table, "event_timestamp"))
    # A second time does no harm.
    postgres.execute(create_table_statement(SourceSql(sql), POSTGRES, table, "event_timestamp"))
    key, *_ = expected.columns
    neighbours = [WINDOW.start - timedelta(microseconds=1), WINDOW.end]
    for moment in [*neighbours, WINDOW.start]:
        postgres.execute(
            f"INSERT INTO {table} ({key}, event_timestamp) VALUES ('earlier', %s)", [moment]
        )

    for _ in range(2):
        script = insert_script(SourceSql(sql), POSTGRES, table, "event_timestamp", WINDOW, COMPUTED)
        postgres.execute(script)

    kept = postgres.execute(
        f"SELECT event_timestamp FROM {table} WHERE {key} = 'earlier' ORDER BY 1"
    ).fetchall()
    assert [moment for (moment,) in kept] == neighbours
    cursor = postgres.execute(f"SELECT * FROM {table} WHERE {key} <> 'earlier'")
    got = pd.DataFrame(cursor.fetchall(), columns=[c.name for c in cursor.description or ()])
    for moment in ("event_timestamp", "created_timestamp"):
        if moment in got:
            got[moment] = pd.to_datetime(got[moment], utc=True)
    pd.testing.assert_frame_equal(
        got.set_index(key).sort_index().astype(expected.set_index(key).dtypes.to_dict()),
        expected.set_index(key).sort_index(),
        rtol=1e-6,
    )


@pytest.mark.server
def test_a_failing_insert_on_postgres_keeps_the_old_window(
    repo: Path, postgres: psycopg.Connection, bound: Bound
):
    _copy_raw_tables(bound(WINDOW), postgres)
    sql = (repo / "sql" / "merchant_stats.sql").read_text()
    table = "ml_data.merchant_statistics"
    postgres.execute("CREATE SCHEMA ml_data")
    postgres.execute(create_table_statement(SourceSql(sql), POSTGRES, table, "event_timestamp"))
    postgres.execute(f"INSERT INTO {table} VALUES ('9', 0, 1, 1, 0, %s)", [WINDOW.start])
    postgres.execute(f"ALTER TABLE {table} ADD CHECK (risk_score < 0.1)")
    script = insert_script(SourceSql(sql), POSTGRES, table, "event_timestamp", WINDOW, COMPUTED)

    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute(script)
    postgres.rollback()

    assert postgres.execute(f"SELECT merchant_id FROM {table}").fetchall() == [("9",)]


def _copy_raw_tables(raw: duckdb.DuckDBPyConnection, postgres: psycopg.Connection) -> None:
    postgres.execute("DROP SCHEMA IF EXISTS raw CASCADE; DROP SCHEMA IF EXISTS ml_data CASCADE")
    postgres.execute("CREATE SCHEMA raw")
    postgres.execute(
        "CREATE TABLE raw.transactions (transaction_id text, user_id text, merchant_id text, "
        "amount numeric(12, 2), transaction_timestamp timestamptz)"
    )
    postgres.execute(
        "CREATE TABLE raw.chargebacks (transaction_id text, reported_timestamp timestamptz)"
    )
    for table in ("transactions", "chargebacks"):
        rows = raw.execute(f"FROM raw.{table}").fetchall()
        with postgres.cursor().copy(f"COPY raw.{table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


@pytest.mark.server
@pytest.mark.parametrize("moved", ["INTERVAL 2 DAY", "CAST(NULL AS INTERVAL)"])
def test_a_row_outside_of_the_window_fails_the_build_on_postgres(
    repo: Path, postgres: psycopg.Connection, bound: Bound, moved: str
):
    _copy_raw_tables(bound(WINDOW), postgres)
    sql = (repo / "sql" / "merchant_stats.sql").read_text()
    table = "ml_data.merchant_statistics"
    postgres.execute("CREATE SCHEMA ml_data")
    postgres.execute(create_table_statement(SourceSql(sql), POSTGRES, table, "event_timestamp"))
    postgres.execute(f"INSERT INTO {table} VALUES ('9', 0, 1, 1, 0, %s)", [WINDOW.start])
    spoilt = sql.replace("INTERVAL 1 MICROSECOND", moved)
    assert spoilt != sql
    script = insert_script(SourceSql(spoilt), POSTGRES, table, "event_timestamp", WINDOW, COMPUTED)

    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match=OUTSIDE):
        postgres.execute(script)
    postgres.rollback()

    assert postgres.execute(f"SELECT merchant_id FROM {table}").fetchall() == [("9",)]


@pytest.mark.server
def test_the_builder_connects_as_feast_does_and_names_a_row_outside_of_its_window(
    postgres: psycopg.Connection, tmp_path: Path
):
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
        PostgreSQLOfflineStoreConfig,
    )
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
        PostgreSQLSource,
    )

    postgres.execute("DROP SCHEMA IF EXISTS shelf CASCADE; CREATE SCHEMA shelf")
    path = tmp_path / "orders.sql"
    sql = "SELECT CAST('a' AS VARCHAR) AS k, CAST($window_start AS TIMESTAMPTZ) AS at"
    path.write_text(sql)
    store = PostgreSQLOfflineStoreConfig(
        host=postgres.info.host,
        database="postgres",
        user="postgres",
        password="",
        db_schema="shelf",
    )
    project: Any = SimpleNamespace(
        config=SimpleNamespace(offline_store=store),
        sql_file=lambda _source: path,
        sources={"orders": PostgreSQLSource(name="orders", table="orders", timestamp_field="at")},
    )
    builder = WarehouseBuilder(PostgresWarehouse())
    builder.build(project, "orders", WINDOW, COMPUTED, None)
    assert postgres.execute("SELECT k FROM shelf.orders").fetchall() == [("a",)]

    path.write_text(sql.replace("$window_start", "$window_end"))
    with pytest.raises(SourceError, match=r"'orders': window .* was not built: .*2026-03-02"):
        builder.build(project, "orders", WINDOW, COMPUTED, None)
    assert postgres.execute("SELECT k FROM shelf.orders").fetchall() == [("a",)]
