import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from feature_platform.core.file_names import file_name
from feature_platform.core.windows import Window
from feature_platform.errors import MissingPackageError, SourceError
from feature_platform.sources.bigquery.dialect import BigQueryDialect
from feature_platform.sources.postgres.dialect import PostgresDialect
from feature_platform.sources.sql.sql_dialect import DUCKDB, SqlDialect
from feature_platform.tables.source_sql import SourceSql
from feature_platform.tables.sql_tables import tables_read
from feature_platform.tables.window_build import build_parquet_window
from feature_platform.tables.window_statements import (
    OUTSIDE,
    create_table_statement,
    insert_script,
)

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
COMPUTED = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
BIGQUERY, POSTGRES = BigQueryDialect(), PostgresDialect()
SQL = """
-- Orders by customer, up to $window_end.
SELECT
    CAST(customer AS VARCHAR) AS customer,
    CAST(COUNT(*) AS BIGINT) AS orders,
    CAST($window_end - INTERVAL 1 MICROSECOND AS TIMESTAMPTZ) AS event_timestamp,
    CAST($computed_at AS TIMESTAMPTZ) AS created_timestamp
FROM raw.orders
WHERE ordered_at >= $window_start AND ordered_at < $window_end
GROUP BY customer
ORDER BY customer
"""


def orders(connection: duckdb.DuckDBPyConnection, window: Window) -> None:
    """One order an hour by each of three customers, whatever the window."""
    connection.execute("CREATE SCHEMA raw")
    connection.execute(
        "CREATE TABLE raw.orders AS SELECT 'c' || (i % 3) AS customer, "
        "$start - INTERVAL 1 DAY + to_hours(i // 3) AS ordered_at FROM range(9 * 24) AS t(i)",
        {"start": window.start},
    )


@pytest.fixture
def sql_file(tmp_path: Path) -> Path:
    path = tmp_path / "sql" / "orders.sql"
    path.parent.mkdir()
    path.write_text(SQL)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "ml_data" / "orders"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Rendering


def test_parameters_become_utc_literals():
    tokyo = datetime(2026, 3, 2, 15, 30, tzinfo=UTC).astimezone()

    text = SourceSql("SELECT $window_start, $window_end, $computed_at").render(DAY, tokyo)

    assert duckdb.connect().execute("SET TimeZone = 'UTC'").execute(text).fetchall() == [
        (DAY.start, DAY.end, datetime(2026, 3, 2, 15, 30, tzinfo=UTC))
    ]


@pytest.mark.parametrize("dialect", [DUCKDB, BIGQUERY, POSTGRES], ids=lambda each: each.name)
def test_nothing_of_the_parameters_is_left(dialect: SqlDialect):
    text = SourceSql(SQL).render(DAY, COMPUTED, dialect)

    assert "window_end" not in text
    assert "2026-03-01 00:00:00+00:00" in text
    assert sqlglot.parse_one(text, dialect=dialect.name).named_selects == [
        "customer",
        "orders",
        "event_timestamp",
        "created_timestamp",
    ]


def test_microseconds_survive_rendering():
    window = Window(DAY.start, DAY.end + timedelta(microseconds=7))

    assert "'2026-03-02 00:00:00.000007+00:00'" in SourceSql(SQL).render(window, COMPUTED, BIGQUERY)


def test_a_text_that_looks_like_a_parameter_stays_text():
    assert "'costs $window_end'" in SourceSql("SELECT 'costs $window_end'").render(DAY, COMPUTED)


def test_fractions_of_a_second_survive_on_bigquery():
    text = SourceSql("SELECT EPOCH(a) / 60 AS minutes FROM t").render(DAY, COMPUTED, BIGQUERY)

    tree = sqlglot.parse_one(text, dialect="bigquery")
    assert [call.sql("bigquery") for call in tree.find_all(exp.UnixMicros)] == ["UNIX_MICROS(a)"]
    (back,) = sqlglot.transpile(text, read="bigquery", write="duckdb")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT TIMESTAMPTZ '1970-01-01 00:01:30.5Z' AS a")
        assert connection.execute(back).fetchall() == [(90.5 / 60,)]


@pytest.mark.parametrize("written", ["$window_strat", "$WINDOW_END", "$1", "?"])
def test_an_unknown_parameter_is_named_with_those_there_are(written: str):
    with pytest.raises(SourceError) as caught:
        SourceSql(f"SELECT {written} AS x", "sql/orders.sql").render(DAY, COMPUTED)

    assert f"'{written}'" in str(caught.value)
    assert "sql/orders.sql" in str(caught.value)
    assert "$window_start, $window_end, $computed_at" in caught.value.remedy


def test_sql_that_does_not_parse_is_named_with_its_place():
    with pytest.raises(SourceError, match=r"sql/orders\.sql.*Line 2"):
        SourceSql("SELECT a\nFROM (", "sql/orders.sql").render(DAY, COMPUTED)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("", "nothing"),
        ("-- soon", "nothing"),
        ("SELECT 1; SELECT 2", "SELECT, SELECT"),
        ("DELETE FROM raw.orders", "DELETE"),
    ],
)
def test_anything_but_one_query_is_refused(sql: str, what: str):
    with pytest.raises(SourceError, match=f"not one query but {what}"):
        SourceSql(sql).render(DAY, COMPUTED)


def test_a_naive_time_of_computing_is_refused():
    with pytest.raises(SourceError, match="no time zone"):
        SourceSql(SQL).render(DAY, datetime(2026, 3, 2))  # noqa: DTZ001


def test_what_a_dialect_cannot_say_is_refused_rather_than_changed():
    pivoted = "SELECT a FROM t PIVOT (sum(c) FOR d IN (1, 2))"

    with pytest.raises(SourceError, match=r"orders.*cannot be written in postgres"):
        SourceSql(pivoted, "orders").render(DAY, COMPUTED, POSTGRES)


# What warehouses run


def test_bigquery_replaces_the_window_in_one_transaction():
    script = insert_script(
        SourceSql(SQL), BIGQUERY, "ml_data.orders", "event_timestamp", DAY, COMPUTED
    )

    begin, delete, insert, commit = (part.strip() for part in script.split(";") if part.strip())
    assert (begin, commit) == ("BEGIN TRANSACTION", "COMMIT TRANSACTION")
    assert sqlglot.parse_one(delete, dialect="bigquery").sql("bigquery") == (
        "DELETE FROM ml_data.orders WHERE "
        "event_timestamp >= CAST('2026-03-01 00:00:00+00:00' AS TIMESTAMP) "
        "AND event_timestamp < CAST('2026-03-02 00:00:00+00:00' AS TIMESTAMP)"
    )
    tree = sqlglot.parse_one(insert, dialect="bigquery")
    assert isinstance(tree, exp.Insert)
    assert [column.name for column in tree.this.expressions] == tree.expression.named_selects


def test_a_projects_dashes_are_kept():
    script = insert_script(
        SourceSql(SQL), BIGQUERY, "fraud-prod.ml_data.orders", "event_timestamp", DAY, COMPUTED
    )

    assert script.count("fraud-prod.ml_data.orders") == 2


def test_replacing_a_window_on_duckdb_leaves_its_neighbours_and_repeats_to_the_same():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        orders(connection, DAY)
        connection.execute("CREATE SCHEMA ml_data")
        connection.execute(
            create_table_statement(SourceSql(SQL), DUCKDB, "ml_data.o", "event_timestamp")
        )
        for moment in (DAY.start - timedelta(microseconds=1), DAY.start, DAY.end):
            connection.execute("INSERT INTO ml_data.o VALUES ('old', 1, $at, $at)", {"at": moment})

        for _ in range(2):
            script = insert_script(
                SourceSql(SQL), DUCKDB, "ml_data.o", "event_timestamp", DAY, COMPUTED
            )
            connection.execute(script)

        kept = connection.execute("SELECT customer, orders FROM ml_data.o ORDER BY ALL").fetchall()
    assert kept == [("c0", 24), ("c1", 24), ("c2", 24), ("old", 1), ("old", 1)]


def test_the_table_is_made_with_the_types_the_sql_casts_to():
    statement = create_table_statement(
        SourceSql(SQL), BIGQUERY, "ml_data.orders", "event_timestamp"
    )

    assert " ".join(statement.split()) == (
        "CREATE TABLE IF NOT EXISTS ml_data.orders ( customer STRING, orders INT64, "
        "event_timestamp TIMESTAMP, created_timestamp TIMESTAMP ) "
        "PARTITION BY TIMESTAMP_TRUNC(event_timestamp, DAY)"
    )


def test_a_column_without_a_type_is_named():
    sql = "SELECT customer, $window_end AS event_timestamp FROM raw.orders"

    with pytest.raises(SourceError, match="type of column 'customer' is unknown"):
        create_table_statement(SourceSql(sql), BIGQUERY, "ml_data.orders", "event_timestamp")


@pytest.mark.parametrize("sql", ["SELECT * FROM raw.orders", "SELECT t.* FROM raw.orders AS t"])
def test_columns_must_be_named_for_a_warehouse(sql: str):
    with pytest.raises(SourceError, match="unnamed"):
        insert_script(SourceSql(sql), POSTGRES, "ml_data.o", "event_timestamp", DAY, COMPUTED)


def test_the_event_timestamp_must_be_selected():
    with pytest.raises(SourceError, match="no column 'happened_at' among customer, orders"):
        insert_script(SourceSql(SQL), POSTGRES, "ml_data.o", "happened_at", DAY, COMPUTED)


# Building on DuckDB


def test_a_window_becomes_one_file(sql_file: Path, table: Path):
    built = build_parquet_window(orders, sql_file, table, DAY, COMPUTED)

    assert built.path == table / "2026-03-01--2026-03-02.parquet"
    assert (built.window, built.rows, built.replaced) == (DAY, 3, ())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        got = connection.execute("FROM read_parquet(?)", [str(table / "*.parquet")]).fetchall()
    end = DAY.end - timedelta(microseconds=1)
    assert got == [(f"c{i}", 24, end, COMPUTED) for i in range(3)]


def test_a_rebuilt_window_replaces_its_file(sql_file: Path, table: Path):
    build_parquet_window(orders, sql_file, table, DAY, COMPUTED)
    sql_file.write_text(SQL.replace("GROUP BY", "AND customer <> 'c0' GROUP BY"))

    again = build_parquet_window(orders, sql_file, table, DAY, COMPUTED)

    assert again.rows == 2
    assert names(table) == ["2026-03-01--2026-03-02.parquet"]
    assert duckdb.connect().execute(f"SELECT count(*) FROM '{again.path}'").fetchall() == [(2,)]


def test_a_wider_window_takes_the_place_of_those_inside_it(sql_file: Path, table: Path):
    tomorrow = Window(DAY.end, DAY.end + timedelta(days=1))
    inside = [
        build_parquet_window(orders, sql_file, table, w, COMPUTED).path for w in (DAY, tomorrow)
    ]

    built = build_parquet_window(orders, sql_file, table, Window(DAY.start, tomorrow.end), COMPUTED)

    assert built.replaced == tuple(inside)
    assert names(table) == ["2026-03-01--2026-03-03.parquet"]


def test_a_partial_overlap_is_refused_and_changes_nothing(sql_file: Path, table: Path):
    build_parquet_window(orders, sql_file, table, DAY, COMPUTED)
    half = timedelta(hours=12)

    with pytest.raises(SourceError, match=r"overlaps 2026-03-01\.\.2026-03-02"):
        build_parquet_window(
            orders, sql_file, table, Window(DAY.start + half, DAY.end + half), COMPUTED
        )

    assert names(table) == ["2026-03-01--2026-03-02.parquet"]


@pytest.mark.parametrize(
    ("event_time", "count"),
    [("$window_end", 3), ("$window_start - INTERVAL 1 MICROSECOND", 3), ("NULL", 3)],
)
def test_a_row_outside_the_window_stops_the_build(
    sql_file: Path, table: Path, event_time: str, count: int
):
    sql_file.write_text(SQL.replace("$window_end - INTERVAL 1 MICROSECOND", event_time))

    with pytest.raises(SourceError, match=f"{count} of 3 rows have 'event_timestamp' outside"):
        build_parquet_window(orders, sql_file, table, DAY, COMPUTED)

    assert names(table) == []


def test_the_windows_very_start_is_inside(sql_file: Path, table: Path):
    sql_file.write_text(SQL.replace("$window_end - INTERVAL 1 MICROSECOND", "$window_start"))

    assert build_parquet_window(orders, sql_file, table, DAY, COMPUTED).rows == 3


@pytest.mark.parametrize(
    ("cast", "name", "what"),
    [
        ("TIMESTAMP", "event_timestamp", "event_timestamp' is TIMESTAMP,"),
        ("TIMESTAMPTZ", "happened_at", "event_timestamp' is missing"),
    ],
)
def test_an_event_timestamp_without_zone_or_missing_is_named(
    sql_file: Path, table: Path, cast: str, name: str, what: str
):
    sql_file.write_text(SQL.replace("TIMESTAMPTZ) AS event_timestamp", f"{cast}) AS {name}"))

    with pytest.raises(SourceError, match=what):
        build_parquet_window(orders, sql_file, table, DAY, COMPUTED)

    assert names(table) == []


def test_another_name_for_the_event_timestamp_is_honoured(sql_file: Path, table: Path):
    sql_file.write_text(SQL.replace("AS event_timestamp", 'AS "when it ""happened"""'))

    built = build_parquet_window(
        orders, sql_file, table, DAY, COMPUTED, event_timestamp_column='when it "happened"'
    )

    assert built.rows == 3


def test_sql_that_fails_is_named_and_the_old_window_stays(sql_file: Path, table: Path):
    before = build_parquet_window(orders, sql_file, table, DAY, COMPUTED).path.read_bytes()
    sql_file.write_text(SQL.replace("raw.orders", "raw.odrers"))

    with pytest.raises(SourceError, match=r"orders\.sql', window 2026-03-01.*odrers"):
        build_parquet_window(orders, sql_file, table, DAY, COMPUTED)

    assert names(table) == ["2026-03-01--2026-03-02.parquet"]
    assert (table / file_name(DAY)).read_bytes() == before


def test_a_row_that_fails_late_leaves_no_file(sql_file: Path, table: Path):
    sql_file.write_text(
        "SELECT error('row ' || i) AS x, $window_start AS event_timestamp FROM range(3) AS t(i)"
    )

    with pytest.raises(SourceError, match="row "):
        build_parquet_window(orders, sql_file, table, DAY, COMPUTED)

    assert names(table) == []


def test_the_raw_tables_own_error_is_passed_on(sql_file: Path, table: Path):
    def missing(_connection: duckdb.DuckDBPyConnection, _window: Window) -> None:
        raise MissingPackageError("raw tables", "not installed", "install them")

    with pytest.raises(MissingPackageError):
        build_parquet_window(missing, sql_file, table, DAY, COMPUTED)


def test_a_missing_sql_file_is_named(tmp_path: Path, table: Path):
    with pytest.raises(SourceError, match=r"missing\.sql' *: cannot be read"):
        build_parquet_window(orders, tmp_path / "missing.sql", table, DAY, COMPUTED)


def test_a_folder_that_cannot_be_written_is_named(sql_file: Path, table: Path):
    table.parent.mkdir()
    table.write_text("a file where the folder should be")

    with pytest.raises(SourceError, match=r"cannot write '.*2026-03-01--2026-03-02\.parquet'"):
        build_parquet_window(orders, sql_file, table, DAY, COMPUTED)


def test_a_quote_in_the_path_is_only_a_quote(sql_file: Path, tmp_path: Path):
    built = build_parquet_window(orders, sql_file, tmp_path / "o'brien's", DAY, COMPUTED)

    assert built.path.is_file()


def test_killed_while_writing_it_leaves_nothing_a_reader_would_see(
    sql_file: Path, table: Path, tmp_path: Path
):
    before = build_parquet_window(orders, sql_file, table, DAY, COMPUTED).path.read_bytes()
    endless = tmp_path / "endless.sql"
    endless.write_text(
        "SELECT random() AS x, $window_start AS event_timestamp FROM range(100000000000)"
    )
    script = f"""
from datetime import UTC, datetime
from pathlib import Path
from feature_platform.tables.window_build import build_parquet_window
from feature_platform.core.windows import Window
window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
sql, table = Path({str(endless)!r}), Path({str(table)!r})
build_parquet_window(lambda *_: None, sql, table, window, window.end)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        try:
            deadline = time.monotonic() + 60
            while not _half_written(table):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL
    assert _half_written(table)
    assert [path.name for path in table.glob("*.parquet")] == [file_name(DAY)]
    assert (table / file_name(DAY)).read_bytes() == before
    # What was left lying about is in nobody's way.
    assert build_parquet_window(orders, sql_file, table, DAY, COMPUTED).rows == 3


def _half_written(table: Path) -> bool:
    return any(path.stat().st_size > 1_000_000 for path in table.glob(".*.tmp"))


@pytest.mark.parametrize("moved", ["INTERVAL 2 DAY", "INTERVAL 0 DAY", "CAST(NULL AS INTERVAL)"])
def test_a_row_outside_of_the_window_is_never_inserted_and_keeps_the_old_window(moved: str):
    sql = SQL.replace("INTERVAL 1 MICROSECOND", moved)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        orders(connection, DAY)
        connection.execute("CREATE SCHEMA ml")
        connection.execute(
            create_table_statement(SourceSql(SQL), DUCKDB, "ml.orders", "event_timestamp")
        )
        for text in (SQL, sql):
            script = insert_script(
                SourceSql(text), DUCKDB, "ml.orders", "event_timestamp", DAY, COMPUTED
            )
            if text == SQL:
                connection.execute(script)
                continue
            with pytest.raises(duckdb.Error, match=OUTSIDE):
                connection.execute(script)
            connection.execute("ROLLBACK")
        assert connection.execute("SELECT count(*) FROM ml.orders").fetchall() == [(3,)]


def test_raw_tables_that_cannot_be_read_are_not_called_a_full_disk(sql_file: Path, table: Path):
    def missing(_connection: object, _window: Window) -> None:
        raise FileNotFoundError(2, "No such file or directory", "raw/orders.csv")

    with pytest.raises(SourceError, match=r"raw tables cannot be bound: .*raw/orders\.csv"):
        build_parquet_window(missing, sql_file, table, DAY, COMPUTED)


def test_a_helper_of_a_query_is_no_table_however_it_is_written(tmp_path: Path):
    path = tmp_path / "orders.sql"
    path.write_text("WITH Daily AS (SELECT * FROM raw.orders) SELECT * FROM daily")
    assert tables_read(path) == ["raw.orders"]
