"""Sources that are not files: what comes of them, and how much at a time."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
from feast import BigQuerySource, FeatureStore, ValueType
from google.auth.credentials import AnonymousCredentials
from worlds.local_servers import PostgresServer
from worlds.places import environment
from worlds.processes.pulled_source import START, opened, things
from worlds.sample_repos import SampleRepo, row
from worlds.stand_ins.bigquery_answers import answering
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.materialize import vanished_keys as vanished
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.sources import latest_rows as latest
from feature_platform.sources import newest_rows, warehouses
from feature_platform.sources.event_times import newest_event
from feature_platform.sources.pulled import pulled_files
from feature_platform.sources.window_digests import read_window_table

DAY = timedelta(days=1)
WHOLE = Window(START, START + 3 * DAY)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each pull brought here."""
    counts: list[int] = []
    write_parts = pulled_files.write_parts

    def counting(folder: Path, batches: Any) -> Any:
        counts.append(0)

        def counted() -> Iterator[tuple[Window, pa.Table]]:
            for part, table in batches:
                counts[-1] += table.num_rows
                yield part, table

        return write_parts(folder, counted())

    monkeypatch.setattr(pulled_files, "write_parts", counting)
    return counts


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.server), "bigquery"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Callable[..., FeatureStore], Callable[[str], object]]]:
    """Opens the store over the table `things` of a warehouse; and runs SQL there."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name = server.new_database()
        with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} SET TimeZone = 'Europe/Berlin'")
            connection.execute(
                "CREATE TABLE things (user_id text, amount float8, city text, ts timestamptz)"
            )
            yield (
                lambda: opened(tmp_path, server.online(name), things(), ValueType.STRING),
                connection.execute,
            )
        return
    import google.auth

    with answering() as answers:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{answers.port}")
        monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "cloud"))
        answers.connection.execute("CREATE SCHEMA ml")
        answers.connection.execute(
            "CREATE TABLE ml.things (user_id VARCHAR, amount DOUBLE, city VARCHAR, ts TIMESTAMPTZ)"
        )
        answers.tables["cloud.ml.things"] = {
            "tableReference": {"projectId": "cloud", "datasetId": "ml", "tableId": "things"},
            "schema": {"fields": [{"name": "user_id", "type": "STRING", "mode": "NULLABLE"}]},
            "type": "TABLE",
        }
        offline = {"type": "bigquery", "project_id": "cloud", "dataset": "ml"}
        source = BigQuerySource(name="things", table="ml.things", timestamp_field="ts")
        yield (
            lambda: opened(tmp_path, offline, source, ValueType.STRING),
            lambda sql: answers.change("ml.things", sql.replace("things", "ml.things")),
        )


def filled(run: Callable[[str], object], keys: int = 40) -> None:
    """Each key has a row every hour of three days, and two in the last; one row has no key."""
    times = "timestamptz '2026-01-01 00:00:00+00' + h * interval '1 hour'"
    run(
        f"INSERT INTO things SELECT 'k' || k, k + h / 100.0, 'c' || h, {times} "
        f"FROM generate_series(0, {keys - 1}) AS ks(k), generate_series(0, 71) AS hs(h)"
    )
    run(
        f"INSERT INTO things SELECT 'k' || k, -1, NULL, {times} "
        f"FROM generate_series(0, {keys - 1}) AS ks(k), generate_series(71, 71) AS hs(h)"
    )
    run("INSERT INTO things VALUES (NULL, 5, 'x', '2026-01-02 00:00:00+00')")


@pytest.mark.parametrize(
    "warehouse", [pytest.param("postgres", marks=pytest.mark.server)], indirect=True
)
def test_times_without_a_zone_are_utc_whatever_the_zone_of_the_server(
    warehouse: tuple[Callable[..., FeatureStore], Callable[[str], object]],
) -> None:
    opens, run = warehouse
    run("ALTER TABLE things ALTER COLUMN ts TYPE timestamp")
    for moment in ("01-01 00:10:00", "01-01 23:50:00", "01-02 00:30:00"):
        run(f"INSERT INTO things VALUES ('k', 1, 'x', '2026-{moment}')")
    store = opens()
    source = store.get_data_source("things")
    read = read_window_table(store, source, Window(START, START + DAY), ["user_id"])
    assert read.num_rows == 2
    newest = newest_event(store, source, [Window(START, START + DAY)])
    assert newest == START + timedelta(hours=23, minutes=50)


def test_a_window_has_the_rows_from_its_start_on_and_none_of_its_end(
    warehouse: tuple[Callable[..., FeatureStore], Callable[[str], object]],
) -> None:
    opens, run = warehouse
    moments = ["01-01 23:59:59.999999", "01-02 00:00:00", "01-02 23:59:59.999999", "01-03 00:00:00"]
    for number, moment in enumerate(moments):
        run(f"INSERT INTO things VALUES ('k{number}', NULL, 'it''s', '2026-{moment}+00')")
    store = opens()
    source = store.get_data_source("things")
    read = read_window_table(
        store, source, Window(START + DAY, START + 2 * DAY), ["city", "user_id"]
    )
    assert sorted(read.column("user_id").to_pylist()) == ["k1", "k2"]
    assert set(read.column("city").to_pylist()) == {"it's"}
    late = Window(START + 9 * DAY, START + 10 * DAY)
    empty = read_window_table(store, source, late, ["amount", "city"])
    assert (empty.num_rows, empty.column_names) == (0, ["amount", "city", "ts"])
    assert empty.schema.field("amount").type == pa.float64()


def test_the_warehouse_sends_no_more_than_the_rows_that_are_compared(
    warehouse: tuple[Callable[..., FeatureStore], Callable[[str], object]], written: list[int]
) -> None:
    opens, run = warehouse
    filled(run)
    store = opens()
    materialize_window(store, "v", START, WHOLE.end)
    assert written == [40 * 73 + 1]
    written.clear()
    found = compare_online(store, "v", limit=10, seed=4)
    assert (found.keys_compared, found.keys_total, found.mismatches) == (10, 40, ())
    assert written == [2 * 10]
    run("UPDATE things SET amount = 0 WHERE ts = '2026-01-03 23:00:00+00'")
    again, other = (compare_online(store, "v", limit=10, seed=seed) for seed in (4, 5))
    keys = [{each.key["user_id"] for each in these.mismatches} for these in (again, other)]
    assert [len(each) for each in keys] == [10, 10]
    assert keys[0] != keys[1]
    assert keys[0] == {
        each.key["user_id"] for each in compare_online(store, "v", limit=10, seed=4).mismatches
    }
    assert len(compare_online(store, "v").mismatches) == 40


def test_the_warehouse_tells_the_newest_event_by_rows_of_that_time_alone(
    warehouse: tuple[Callable[..., FeatureStore], Callable[[str], object]], written: list[int]
) -> None:
    opens, run = warehouse
    filled(run, keys=3)
    store = opens()
    source = store.get_data_source("things")
    apart = [Window(START + 2 * DAY, START + 9 * DAY), Window(START, START + DAY)]
    assert newest_event(store, source, apart) == WHOLE.end - timedelta(hours=1)
    assert newest_event(store, source, apart[1:]) == START + timedelta(hours=23)
    assert newest_event(store, source, [Window(START - DAY, START)]) is None
    assert written == [6, 3, 0]


def test_keys_that_vanish_from_a_window_get_their_row_of_another_without_reading_all(
    warehouse: tuple[Callable[..., FeatureStore], Callable[[str], object]], written: list[int]
) -> None:
    opens, run = warehouse
    filled(run)
    for odd in ("it''s", "a\\b", '"', "?"):
        for moment in ("01-01", "01-03"):
            run(f"INSERT INTO things VALUES ('{odd}', {moment[-1]}, 'x', '2026-{moment} 12:00+00')")
    store = opens()
    for number in range(3):
        materialize_window(store, "v", START + number * DAY, START + (number + 1) * DAY)
    run("DELETE FROM things WHERE city = 'x' AND ts > '2026-01-03 00:00+00'")
    written.clear()
    done = materialize_window(store, "v", START + 2 * DAY, WHOLE.end)
    assert done.keys_vanished == 4
    # The window itself, and a row of each key.
    assert written == [40 * 25, 4]
    keys = [{"user_id": key} for key in ("it's", "a\\b", '"', "?")]
    served = store.get_online_features(["v:amount"], keys).to_dict()["amount"]
    assert served == [1.0] * 4
    assert compare_online(store, "v").mismatches == ()


def test_a_rebuild_reads_the_source_once_whatever_parts_it_has_and_keys_have_vanished(
    warehouse: tuple[Callable[..., FeatureStore], Callable[[str], object]],
    written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opens, run = warehouse
    filled(run)
    store = opens()
    materialize_window(store, "v", START, WHOLE.end)
    run("DELETE FROM things WHERE user_id IN ('k1', 'k2', 'k3')")
    written.clear()
    monkeypatch.setattr(latest, "KEYS_A_PART", 10)
    monkeypatch.setattr(vanished, "_AT_ONCE", 2)
    monkeypatch.setattr(newest_rows, "_MOST_KEYS", 0)
    result = rebuild_online(store, "v")
    assert (result.parts, result.keys_deleted) == (4, 3)
    assert written == [37 * 73 + 1]
    assert compare_online(store, "v").mismatches == ()


@pytest.mark.server
@pytest.mark.parametrize(
    ("kind", "value_type", "keys", "brought"),
    [
        ("smallint", ValueType.INT64, [1, 7], 1),
        ("character varying", ValueType.STRING, ["a", "b"], 1),
        # It is compared otherwise than a text is, and so all of the other windows comes.
        ("uuid", ValueType.STRING, [str(UUID(int=n)) for n in (1, 7)], 2),
    ],
)
def test_a_key_is_asked_for_where_the_column_compares_as_its_value_does(  # noqa: PLR0917
    postgres_server: PostgresServer,
    tmp_path: Path,
    written: list[int],
    kind: str,
    value_type: ValueType,
    keys: list[Any],
    brought: int,
) -> None:
    name = postgres_server.new_database()
    with psycopg.connect(postgres_server.conninfo(name), autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE things (user_id {kind}, amount float8, city text, ts timestamptz)"
        )
        for number in (0, 1):
            for key in keys:
                connection.execute(
                    f"INSERT INTO things VALUES ('{key}', {number}, 'x', %s)",
                    [START + number * DAY],
                )
        store = opened(tmp_path, postgres_server.online(name), things(), value_type)
        for number in (0, 1):
            materialize_window(store, "v", START + number * DAY, START + (number + 1) * DAY)
        connection.execute(f"DELETE FROM things WHERE amount = 1 AND user_id = '{keys[1]}'")
    written.clear()
    materialize_window(store, "v", START + DAY, START + 2 * DAY)
    assert written == [1, brought]
    asked = [{"user_id": key} for key in keys]
    assert store.get_online_features(["v:amount"], asked).to_dict()["amount"] == [1.0, 0.0]


def test_a_source_that_gives_whole_tables_is_read_a_part_at_a_time(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch, written: list[int]
) -> None:
    # Rows at the very ends of the parts; whole numbers in one, none in the next, a text in one.
    rows = [row(n, day(1) + n * DAY, float(n), visits=None if n % 2 else n) for n in range(30)]
    rows += [row(99, day(17), None, city="late", visits=None)]
    repo.write(rows)
    store = repo.applied()
    whole = Window(day(1), day(31))
    direct = read_window_table(store, repo.source, whole)
    monkeypatch.setattr(warehouses.FileWarehouse, "holds", lambda *_: False)
    pulled = read_window_table(store, repo.source, whole, direct.column_names)

    def plain(table: pa.Table) -> list[dict[str, Any]]:
        return sorted(table.to_pylist(), key=lambda each: each["user_id"])

    assert plain(pulled) == plain(direct)
    # The end of a part is the start of the next, and was sent twice.
    assert written[0] > len(rows)


@pytest.mark.server
def test_memory_does_not_follow_the_number_of_rows(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    peaks = []
    for rows in (100_000, 500_000):
        name = postgres_server.new_database()
        with psycopg.connect(postgres_server.conninfo(name), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE things AS SELECT n % 20000 AS user_id, n / 3.0::float8 AS amount, "
                "'city ' || n % 1000 AS city, timestamptz '2026-01-01 00:00+00' "
                f"+ n * interval '30 days' / {rows} AS ts FROM generate_series(0, {rows - 1}) n"
            )
        folder = tmp_path / str(rows)
        folder.mkdir()
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "worlds.processes.pulled_source",
            str(folder),
        ]
        command += [json.dumps(postgres_server.online(name)), "30"]
        ended = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=120, env=environment()
        )
        read, compared, total, peak = json.loads(ended.stdout.splitlines()[-1])
        assert (read, compared, total) == (rows, 100, 20_000)
        peaks.append(peak)
    assert peaks[1] < 1.3 * peaks[0]
