"""Hashes that PostgreSQL computes: the same for the same rows, another for any other."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from worlds import repos
from worlds.local_servers import PostgresServer

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.sources.event_times import rows_without_event_time
from feature_platform.sources.window_digests import window_digests
from feature_platform.tables.fingerprints import WarehouseBuild, source_contents, source_stamp

pytestmark = pytest.mark.server

START = datetime(2026, 3, 27, tzinfo=UTC)
# Over the night in which Berlin's clocks go forward.
DAYS = [Window(START + timedelta(n), START + timedelta(n + 1)) for n in range(4)]
COLUMNS = (
    "key text, a text, b text, real4 real, real8 double precision, dec numeric, whole bigint, "
    "yes boolean, day date, list integer[], doc jsonb, bytes bytea, ts timestamptz, made timestamp"
)
ROW = (
    "('k', 'x', 'y', 0.1, 0.1, 1.10, 7, true, '2026-01-02', '{1,2}', '{\"a\": 1}', '\\x00ff', "
    "'2026-03-28 12:00+00', '2026-03-28 13:00')"
)
SQL = """
SELECT CAST(key AS VARCHAR) AS key, CAST(SUM(amount) AS REAL) AS total,
    CAST($window_end - INTERVAL 1 MICROSECOND AS TIMESTAMPTZ) AS ts
FROM raw.sales WHERE at >= $window_start AND at < $window_end GROUP BY key
"""


class Database:
    """A database, a table in it, and the Feast store that reads it."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        name = server.new_database()
        self.connection = psycopg.connect(server.conninfo(name), autocommit=True)
        self.connection.execute(
            f"ALTER DATABASE {name} SET TimeZone = 'Europe/Berlin';"
            f"ALTER DATABASE {name} SET DateStyle = 'SQL, DMY';"
            f"ALTER DATABASE {name} SET extra_float_digits = -3"
        )
        self.store = repos.opened(folder, offline_store=server.online(name))
        self.source = source("things")
        self.connection.execute(f"CREATE TABLE things ({COLUMNS})")

    def write(self, sql: str) -> None:
        with self.connection.transaction():
            self.connection.execute("SELECT pg_stat_force_next_flush()")
            self.connection.execute(sql)

    def hashes(self, windows: Sequence[Window] = DAYS, **options: Any) -> list[tuple[int, str]]:
        found = window_digests(self.store, self.source, windows, **options)
        return [(each.rows, each.content_hash) for each in found]

    def of_values(self, *rows: str, columns: Sequence[str] | None = None) -> tuple[int, str]:
        """The hash of the second day, which holds these rows."""
        self.write("TRUNCATE things")
        if rows:
            self.write(f"INSERT INTO things VALUES {', '.join(rows)}")
        return self.hashes(columns=columns)[1]


def source(table: str, **more: Any) -> PostgreSQLSource:
    options = {"created_timestamp_column": "made", "name": "things", **more}
    return PostgreSQLSource(table=table, timestamp_field="ts", **options)


@pytest.fixture
def database(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Database]:
    found = Database(postgres_server, tmp_path)
    with found.connection:
        yield found


def test_equal_rows_have_equal_hashes_in_any_order_and_whenever_they_were_loaded(
    database: Database,
):
    other = ROW.replace("'k'", "'l'")
    there = database.of_values(ROW, other)
    assert there[0] == 2
    assert database.of_values(other, ROW) == there
    loaded_again = ROW.replace("'2026-03-28 13:00'", "'2026-04-01 13:00'")
    assert database.of_values(other, loaded_again) == there
    database.connection.execute("ALTER TABLE things ADD COLUMN more integer DEFAULT 3")
    assert database.hashes()[1] != there
    columns = [each.partition(" ")[0] for each in COLUMNS.split(", ")]
    named = database.hashes(columns=columns)[1]
    database.connection.execute("UPDATE things SET more = 4")
    assert database.hashes(columns=columns)[1] == named


def test_any_other_value_gives_another_hash(database: Database):
    changes = [
        ("'x', 'y'", "'xy', ''"),
        ("'x', 'y'", "'x,y', NULL"),
        ("'x', 'y'", "'', 'y'"),
        ("'x', 'y'", "NULL, 'y'"),
        ("'x', 'y'", "'y', 'x'"),
        ("0.1, 0.1", "0.1, 0.10000000000000002"),
        ("0.1, 0.1", "0.10000001, 0.1"),
        ("0.1, 0.1", "'nan', 0.1"),
        ("1.10", "1.11"),
        ("7, true", "8, true"),
        ("7, true", "7, NULL"),
        ("2026-01-02", "2026-02-01"),
        ("{1,2}", "{1,2,NULL}"),
        ('{"a": 1}', '{"a": 2}'),
        ("\\x00ff", "\\x00fe"),
        ("12:00+00", "12:00:00.000001+00"),
    ]
    rows = [ROW, *(ROW.replace(old, new) for old, new in changes)]
    assert len(set(rows)) == len(changes) + 1
    found = [database.of_values(row) for row in rows]
    found += [database.of_values(ROW, ROW), database.of_values(ROW, rows[1]), database.of_values()]
    assert len(set(found)) == len(found)


def test_a_row_counts_in_the_window_of_its_time_in_utc(database: Database):
    moments = ["2026-03-28 00:00+00", "2026-03-28 23:59:59.999999+00", "2026-03-29 00:00+00"]
    database.of_values(*(ROW.replace("2026-03-28 12:00+00", each) for each in moments))
    assert [rows for rows, _ in database.hashes()] == [0, 2, 1, 0]
    # With a hole between them, and one over another.
    assert [rows for rows, _ in database.hashes([DAYS[2], DAYS[0]])] == [1, 0]
    whole = Window(DAYS[0].start, DAYS[-1].end)
    overlapping = database.hashes([whole, DAYS[1], whole])
    assert [rows for rows, _ in overlapping] == [3, 2, 3]
    assert overlapping[1] == database.hashes()[1]
    # Times without a zone are UTC, whatever the zone of the database.
    database.write("ALTER TABLE things ALTER ts TYPE timestamp USING ts AT TIME ZONE 'UTC'")
    assert [rows for rows, _ in database.hashes()] == [0, 2, 1, 0]


def test_what_cannot_be_hashed_is_named_without_the_password(database: Database):
    with pytest.raises(SourceError, match=r"'things'.*no column 'absent' \(it has a, b, bytes"):
        database.hashes(columns=["absent"])
    database.source = source("nowhere")
    with pytest.raises(SourceError, match='"nowhere" does not exist') as caught:
        database.hashes()
    assert "secret" not in str(caught.value)


def test_a_query_is_a_source_too_and_has_no_stamp(database: Database):
    there = database.of_values(ROW)
    database.source = source("", query="SELECT * FROM things WHERE key = 'k'")
    assert database.hashes()[1] == there
    assert source_stamp(database.store, database.source, None) is None


def test_the_stamp_changes_with_whatever_is_written_and_with_nothing_else(database: Database):
    database.write("CREATE TABLE other (n int)")
    database.write("CREATE TABLE parted (key text, ts timestamptz) PARTITION BY RANGE (ts)")
    database.write("CREATE TABLE parted_1 PARTITION OF parted DEFAULT")
    for table in ("things", "parted"):
        read = source(table)
        seen = [source_stamp(database.store, read, None)]
        writes = [
            f"INSERT INTO {table} (key, ts) VALUES ('k', now())",
            f"UPDATE {table} SET key = 'l'",
            f"DELETE FROM {table}",
            f"INSERT INTO {table} (key, ts) VALUES ('k', now())",
            f"TRUNCATE {table}",
        ]
        for write in writes:
            database.write("INSERT INTO other VALUES (1)")
            assert source_stamp(database.store, read, None) == seen[-1]
            database.write(write)
            seen.append(source_stamp(database.store, read, None))
        assert None not in seen
        assert len(set(seen)) == len(seen)


def test_where_counts_say_nothing_there_is_no_stamp(database: Database):
    database.write("CREATE VIEW looked AS SELECT * FROM things")
    assert source_stamp(database.store, source("looked"), None) is None
    assert source_stamp(database.store, source("absent"), None) is None
    database.connection.execute("ALTER ROLE tester SET track_counts = off")
    try:
        assert source_stamp(database.store, source("things"), None) is None
    finally:
        database.connection.execute("ALTER ROLE tester RESET track_counts")


def test_what_sql_gives_is_hashed_as_the_table_it_is_inserted_into(
    database: Database, tmp_path: Path
):
    file = tmp_path / "totals.sql"
    file.write_text(SQL)
    database.write(
        "CREATE SCHEMA raw; CREATE TABLE raw.sales (key text, amount float8, at timestamptz)"
    )
    database.write(
        "INSERT INTO raw.sales SELECT 'k' || n % 3, n / 3.0, "
        "timestamptz '2026-03-27 00:00+00' + n * interval '1 hour' FROM generate_series(0, 80) n"
    )
    there = WarehouseBuild(file, "totals")
    read = source("totals", name="totals", created_timestamp_column="")

    def wanted() -> list[tuple[int, str]]:
        found = source_contents(database.store, read, DAYS, None, there, START)
        return [(found[day].rows, found[day].content_hash) for day in DAYS]

    before = wanted()
    assert [rows for rows, _ in before] == [3, 3, 3, 3]
    # Not as the SQL casts it, but as this table holds it: numeric, with two digits.
    for kind in ("real", "numeric(12, 2)"):
        database.write(f"CREATE TABLE totals (key text, ts timestamptz, total {kind})")
        for day in DAYS:
            database.write(
                "INSERT INTO totals (key, total, ts) SELECT key, CAST(SUM(amount) AS REAL), "
                f"timestamptz '{day.end}' - interval '1 microsecond' FROM raw.sales "
                f"WHERE at >= '{day.start}' AND at < '{day.end}' GROUP BY key"
            )
        database.source = read
        assert database.hashes() == wanted()
        database.write("DROP TABLE totals")
    assert wanted() == before
    stamp = source_stamp(database.store, read, there)
    assert stamp is not None
    database.write("DELETE FROM raw.sales WHERE key = 'k1' AND at < '2026-03-28 00:00+00'")
    assert source_stamp(database.store, read, there) not in (stamp, None)
    assert [old == new for old, new in zip(before, wanted(), strict=True)] == [False] + [True] * 3
    file.write_text(SQL.replace("raw.sales", "raw.sales AS s"))
    assert source_stamp(database.store, read, there) != stamp


def test_rows_without_an_event_time_are_counted_by_one_query(database: Database):
    assert rows_without_event_time(database.store.config, database.source) == 0
    database.write(f"INSERT INTO things VALUES {ROW}; UPDATE things SET ts = NULL")
    database.write(f"INSERT INTO things VALUES {ROW}")
    assert rows_without_event_time(database.store.config, database.source) == 1
