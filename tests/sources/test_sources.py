"""Reading windows of sources, and hashing what they hold."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource
from feast.data_format import ParquetFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds.sample_repos import ROWS, SampleRepo, row
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.sources import warehouses
from feature_platform.sources.window_digests import (
    read_window_table,
    window_digests,
)

WHOLE = Window(day(1), day(4))
DAYS = [Window(day(number), day(number + 1)) for number in (1, 2, 3)]


def _source(path: Path | str) -> FileSource:
    return FileSource(
        name="laid_out",
        path=str(path),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )


def test_a_window_is_read_under_the_names_of_the_source(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 1.0), row(2, day(2), 2.0)])
    store = repo.applied()
    assert read_window_table(store, repo.source, DAYS[0]).to_pylist() == [row(1, day(1), 1.0)]
    narrow = read_window_table(store, repo.source, DAYS[1], ["amount"])
    assert narrow.column_names == ["amount", "event_timestamp"]
    assert narrow.column("amount").to_pylist() == [2.0]


def test_a_window_without_rows_still_has_its_columns(repo: SampleRepo) -> None:
    table = read_window_table(repo.applied(), repo.source, DAYS[0])
    assert (table.num_rows, table.schema.names) == (0, ROWS.names)


moments = st.sampled_from([day(n, hours) for n in (1, 2, 3) for hours in (0, 3, 23.5)])
rows = st.builds(
    row,
    st.sampled_from([1, 2, None]),
    moments,
    st.sampled_from([None, 0.0, 1.5, float("inf")]),
    city=st.sampled_from([None, "", "a", "a, b", "1:a"]),
    visits=st.sampled_from([None, 0, 12]),
    created=st.sampled_from([None, day(5)]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=st.lists(rows, max_size=12), order=st.randoms(), cut=st.integers(0, 12))
def test_the_hash_is_of_the_rows_and_not_of_files_or_order(
    some: list[dict[str, Any]], order: Any, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repo = SampleRepo(tmp_path_factory.mktemp("digest"))
    repo.write(some)
    store = repo.open()
    first = window_digests(store, _source(repo.folder / "stats.parquet"), [*DAYS, WHOLE])
    shuffled = list(some)
    order.shuffle(shuffled)
    folder = repo.folder / "parts"
    folder.mkdir()
    for number, part in enumerate((shuffled[:cut], shuffled[cut:])):
        # A created time that changes when the same rows are loaded again does not count.
        again = [each | {"created": day(9)} for each in part]
        pq.write_table(pa.Table.from_pylist(again, ROWS), folder / f"{number}.parquet")
    second = window_digests(store, _source(folder), [*DAYS, WHOLE])
    assert [each.content_hash for each in first] == [each.content_hash for each in second]
    assert [each.rows for each in first] == [
        sum(each["event_timestamp"] in window for each in some) for window in [*DAYS, WHOLE]
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=st.lists(rows, min_size=1, max_size=6), other=rows, place=st.integers(0, 5))
def test_any_other_multiset_of_rows_has_another_hash(
    some: list[dict[str, Any]],
    other: dict[str, Any],
    place: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    changed = list(some)
    changed[place % len(some)] = other
    repo = SampleRepo(tmp_path_factory.mktemp("digest"))
    store, hashes = repo.open(), []
    for version in (some, changed, [*some, some[0]]):
        repo.write(version)
        hashes.append(window_digests(store, repo.source, [WHOLE])[0].content_hash)

    def multiset(version: list[dict[str, Any]]) -> list[str]:
        return sorted(repr({k: v for k, v in each.items() if k != "created"}) for each in version)

    assert (hashes[0] == hashes[1]) == (multiset(some) == multiset(changed))
    assert hashes[0] != hashes[2]


def test_the_offline_store_gives_the_same_hashes_as_the_files(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write([row(n, day(1 + n % 3, n / 7), n / 3, city="a" * n, visits=n) for n in range(20)])
    store = repo.applied()
    read = window_digests(store, repo.source, DAYS)
    monkeypatch.setattr(warehouses.FileWarehouse, "holds", lambda *_: False)
    pulled = window_digests(store, repo.source, DAYS)
    assert read == pulled
    # Feast's own window holds both its ends; the row at the second one is cut off.
    assert sum(each.rows for each in pulled) == 20
    assert read_window_table(store, repo.source, DAYS[0]).num_rows == pulled[0].rows


@pytest.mark.parametrize("layout", ["folder", "glob", "hive"])
def test_every_layout_of_files_is_read(repo: SampleRepo, layout: str) -> None:
    store = repo.applied()
    for number in (1, 2):
        name = f"date=2026-01-0{number}" if layout == "hive" else f"part{number}"
        folder = repo.folder / "many" / name
        folder.mkdir(parents=True)
        pq.write_table(
            pa.Table.from_pylist([row(number, day(number), 1.0 * number)], ROWS),
            folder / "rows.parquet",
        )
    path = repo.folder / "many"
    source = _source(path / "*" / "*.parquet" if layout == "glob" else path)
    table = read_window_table(store, source, WHOLE, ["user_id"])
    assert sorted(table.column("user_id").to_pylist()) == [1, 2]


def test_a_row_within_the_last_microsecond_stays_in_its_window(repo: SampleRepo) -> None:
    store = repo.applied()
    table = pq.read_table(repo.folder / "stats.parquet").schema
    schema = table.set(1, pa.field("event_timestamp", pa.timestamp("ns", tz="UTC")))
    last = int((day(2) - timedelta(0)).timestamp()) * 10**9 - 1
    rows = pa.table(
        {
            "user_id": pa.array([1]),
            "event_timestamp": pa.array([last], pa.timestamp("ns", tz="UTC")),
            "created": pa.array([day(2)], pa.timestamp("us", tz="UTC")),
            "amount": [1.0],
            "visits": pa.array([1]),
            "city": ["a"],
        },
        schema,
    )
    pq.write_table(rows, repo.folder / "stats.parquet")
    first, second = window_digests(store, repo.source, DAYS[:2])
    assert (first.rows, second.rows) == (1, 0)
    (found,) = read_window_table(store, repo.source, DAYS[0]).column("event_timestamp").to_pylist()
    assert found == day(2) - timedelta(microseconds=1)


def test_an_event_time_that_is_no_time_is_refused(repo: SampleRepo) -> None:
    store = repo.applied()
    pq.write_table(
        pa.table({"user_id": [1], "event_timestamp": [5], "created": [5]}),
        repo.folder / "stats.parquet",
    )
    with pytest.raises(SourceError, match="'event_timestamp' is of type BIGINT"):
        read_window_table(store, repo.source, DAYS[0])


def test_a_folder_is_read_by_its_pattern_whatever_its_files_are_called(
    repo: SampleRepo, tmp_path: Path
) -> None:
    folder = tmp_path / "table"
    names = ["p[0].parquet", "p0.parquet", "_late/q*.parquet", "part?/r.parquet"]
    for user, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([row(user, day(1), 1.0)], ROWS), folder / name)
    # DuckDB follows no link to a folder: its rows would come twice.
    (folder / "latest").symlink_to(folder / "_late")
    found = read_window_table(repo.applied(), _source(folder), WHOLE)
    assert sorted(found.column("user_id").to_pylist()) == [0, 1, 2, 3]
