"""Hashes that BigQuery would compute: its SQL, translated and run on DuckDB."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from feast import BigQuerySource, FeatureStore
from google.auth.credentials import AnonymousCredentials
from worlds import repos
from worlds.stand_ins.bigquery_answers import Answers, answering

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.sources.event_times import rows_without_event_time
from feature_platform.sources.window_digests import window_digests
from feature_platform.tables.fingerprints import WarehouseBuild, source_contents, source_stamp

START = datetime(2026, 3, 27, tzinfo=UTC)
DAYS = [Window(START + timedelta(n), START + timedelta(n + 1)) for n in range(4)]
SQL = """
SELECT CAST(key AS VARCHAR) AS key, CAST(SUM(amount) AS DOUBLE) AS total,
    CAST($window_end - INTERVAL 1 MICROSECOND AS TIMESTAMPTZ) AS ts
FROM raw.sales WHERE sold_at >= $window_start AND sold_at < $window_end GROUP BY key
"""


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    import google.auth

    with answering() as answers:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{answers.port}")
        monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "cloud"))
        answers.connection.execute(
            "CREATE SCHEMA raw; CREATE SCHEMA ml;"
            "CREATE TABLE raw.sales (key VARCHAR, amount DOUBLE, sold_at TIMESTAMPTZ);"
            "CREATE TABLE ml.totals (key VARCHAR, total DOUBLE, ts TIMESTAMPTZ);"
            "INSERT INTO raw.sales SELECT 'k' || n % 3, n, "
            "TIMESTAMPTZ '2026-03-27 00:00:00+00' + to_hours(n) FROM range(81) AS t(n)"
        )
        yield answers


@pytest.fixture
def store(bigquery: Answers, tmp_path: Path) -> FeatureStore:
    del bigquery
    offline = {"type": "bigquery", "project_id": "cloud", "dataset": "ml"}
    return repos.opened(tmp_path, offline_store=offline)


TOTALS = BigQuerySource(name="totals", table="ml.totals", timestamp_field="ts")


def hashes(store: FeatureStore, windows: Sequence[Window] = DAYS, **more: Any) -> list[Any]:
    found = window_digests(store, TOTALS, windows, **more)
    return [(each.rows, each.content_hash) for each in found]


def fill(answers: Answers) -> None:
    """As the repo's SQL would."""
    answers.connection.execute(
        "INSERT INTO ml.totals SELECT key, sum(amount), date_trunc('day', sold_at) "
        "+ INTERVAL 1 DAY - INTERVAL 1 MICROSECOND FROM raw.sales GROUP BY ALL"
    )


def test_a_table_is_hashed_by_one_query_and_each_change_changes_its_window(
    bigquery: Answers, store: FeatureStore
):
    fill(bigquery)
    before = hashes(store)
    assert [rows for rows, _ in before] == [3, 3, 3, 3]
    assert len(bigquery.queries) == 1
    assert hashes(store, [DAYS[3], DAYS[0]]) == [before[3], before[0]]
    changes = [
        ("UPDATE ml.totals SET total = total + 1 WHERE key = 'k1' AND ts < '2026-03-28'", 0),
        ("DELETE FROM ml.totals WHERE key = 'k2' AND ts > '2026-03-30'", 3),
        ("INSERT INTO ml.totals VALUES ('k9', NULL, '2026-03-28 00:00:00+00')", 1),
        ("INSERT INTO ml.totals VALUES ('k9', NULL, '2026-03-28 00:00:00+00')", 1),
    ]
    for change, touched in changes:
        bigquery.connection.execute(change)
        after = hashes(store)
        assert [n for n in range(4) if after[n] != before[n]] == [touched]
        before = after


def test_what_sql_gives_is_hashed_as_the_table_it_is_inserted_into(
    bigquery: Answers, store: FeatureStore, tmp_path: Path
):
    file = tmp_path / "totals.sql"
    file.write_text(SQL)
    there = WarehouseBuild(file, "ml.totals")

    def wanted() -> list[Any]:
        found = source_contents(store, TOTALS, DAYS, None, there, START)
        return [(found[day].rows, found[day].content_hash) for day in DAYS]

    fill(bigquery)
    assert wanted() == hashes(store)
    bigquery.connection.execute("INSERT INTO raw.sales VALUES ('k1', 5, '2026-03-28 12:00:00+00')")
    assert [a == b for a, b in zip(wanted(), hashes(store), strict=True)] == [
        True,
        False,
        True,
        True,
    ]


def test_the_sql_uses_only_what_bigquery_documents(bigquery: Answers, store: FeatureStore):
    hashes(store)
    (sql,) = bigquery.queries
    assert sqlglot.parse_one(sql, dialect="bigquery").named_selects[0] == "window_number"
    called = set(re.findall(r"\b([A-Z_]+)\(", sql))
    assert called == {
        *("CAST", "CONCAT", "COUNT", "SUM"),
        *("FARM_FINGERPRINT", "RANGE_BUCKET", "SAFE_ORDINAL", "STRUCT", "TO_JSON_STRING"),
    }


def test_a_stamp_is_a_tables_time_of_change_and_none_where_rows_are_streamed_in(
    bigquery: Answers, store: FeatureStore
):
    assert source_stamp(store, TOTALS, None) is None  # no such table
    about: dict[str, Any] = {
        "id": "cloud:ml.totals",
        "etag": "a",
        "tableReference": {"projectId": "cloud", "datasetId": "ml", "tableId": "totals"},
        "type": "TABLE",
        "lastModifiedTime": "1774000000000",
        "numRows": "12",
        "schema": {"fields": []},
    }
    bigquery.tables["cloud.ml.totals"] = about
    first = source_stamp(store, TOTALS, None)
    assert first is not None
    assert source_stamp(store, TOTALS, None) == first
    about["lastModifiedTime"] = "1774000000001"
    assert source_stamp(store, TOTALS, None) not in (first, None)
    about["streamingBuffer"] = {"estimatedRows": "1", "oldestEntryTime": "1774000000000"}
    assert source_stamp(store, TOTALS, None) is None
    bigquery.tables["cloud.ml.totals"] = about | {"type": "VIEW", "streamingBuffer": None}
    assert source_stamp(store, TOTALS, None) is None
    assert bigquery.queries == []


def test_a_column_that_is_not_there_is_named(store: FeatureStore):
    with pytest.raises(SourceError, match=r"'totals'.*no column 'absent' \(it has key, total, ts"):
        hashes(store, columns=["absent"])


def test_rows_without_an_event_time_are_counted_by_one_query(
    bigquery: Answers, store: FeatureStore
):
    fill(bigquery)
    assert rows_without_event_time(store.config, TOTALS) == 0
    bigquery.connection.execute("INSERT INTO ml.totals VALUES ('k1', 1, NULL), ('k2', 1, NULL)")
    assert rows_without_event_time(store.config, TOTALS) == 2
    assert len(bigquery.queries) == 2
