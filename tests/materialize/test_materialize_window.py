"""`materialize_window`: what is online afterwards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Float64
from worlds.sample_repos import SampleRepo, row, served
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.errors import OnlineStoreError, RegistryError, SourceError, WindowError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.registry.windows_on_record import materialized_windows


def test_the_row_at_the_end_of_a_window_belongs_to_the_next(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 1.0), row(1, day(2), 2.0), row(2, day(2), 3.0)])
    store = repo.applied()
    result = materialize_window(store, "user_stats", day(1), day(2))
    assert (result.rows_read, result.keys_written) == (1, 1)
    assert served(store, 1, 2) == [1.0, None]


def test_an_older_window_after_a_newer_does_not_go_back_in_time(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 5), 1.0), row(1, day(2, 5), 2.0), row(2, day(1, 5), 7.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(2), day(3))
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1, 2) == [2.0, 7.0]
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(3))]


def test_rows_in_a_gap_between_windows_are_not_served(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 1.0), row(1, day(2), 2.0), row(1, day(3), 3.0), row(2, day(1), 9.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1, 2) == [1.0, 9.0]
    repo.write([row(1, day(1), 1.0), row(1, day(2), 2.0), row(2, day(1), 9.0), row(2, day(3), 8.0)])
    materialize_window(store, "user_stats", day(3), day(4))
    assert served(store, 1, 2) == [1.0, 8.0]
    assert materialized_windows(store, "user_stats") == [
        Window(day(1), day(2)),
        Window(day(3), day(4)),
    ]


def test_a_late_row_shows_when_its_window_is_run_again(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 2), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([row(1, day(1, 2), 1.0), row(1, day(1, 9), 4.0)])
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1) == [4.0]


def test_of_equal_event_times_the_newer_created_time_wins(repo: SampleRepo) -> None:
    moment = day(1, 3)
    repo.write(
        [
            row(1, moment, 1.0, created=day(5)),
            row(1, moment, 2.0, created=day(6)),
            row(1, moment, 3.0, created=None),
        ]
    )
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1) == [2.0]


def test_a_correction_with_the_same_event_time_replaces_the_value(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 3), 1.0, created=day(2))])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([row(1, day(1, 3), 5.0, created=day(3))])
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1) == [5.0]


def test_equal_rows_are_told_apart_by_content_and_not_by_file_order(repo: SampleRepo) -> None:
    rows = [row(1, day(1, 3), amount) for amount in (4.0, 9.0, 6.0)]
    store = repo.applied()
    for order in (rows, rows[::-1]):
        repo.write(order)
        materialize_window(store, "user_stats", day(1), day(2))
        assert served(store, 1) == [9.0]


def test_a_row_without_a_key_is_counted_and_left_out(repo: SampleRepo) -> None:
    repo.write([row(None, day(1, 3), 1.0), row(1, day(1, 4), 2.0)])
    store = repo.applied()
    result = materialize_window(store, "user_stats", day(1), day(2))
    assert (result.rows_read, result.rows_without_key, result.keys_written) == (2, 1, 1)


def test_a_range_is_one_pass_and_says_how_far_it_is(repo: SampleRepo) -> None:
    repo.write([row(user, day(number), number) for user in range(50) for number in range(1, 9)])
    store = repo.applied()
    seen: list[int] = []
    result = materialize_window(store, "user_stats", day(1), day(9), progress=seen.append)
    assert (result.rows_read, result.keys_written, sum(seen)) == (400, 50, 50)
    assert served(store, 0, 49) == [8.0, 8.0]


def test_a_window_without_rows_is_recorded_all_the_same(repo: SampleRepo) -> None:
    store = repo.applied()
    result = materialize_window(store, "user_stats", day(1), day(2))
    assert (result.rows_read, result.keys_written) == (0, 0)
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(2))]


def test_a_row_older_than_the_ttl_is_not_written(tmp_path: Path) -> None:
    repo = SampleRepo(tmp_path, ttl=timedelta(days=2))
    now = datetime.now(UTC)
    repo.write([row(1, now - timedelta(days=3), 1.0), row(2, now - timedelta(days=1), 2.0)])
    store = repo.applied()
    result = materialize_window(store, "user_stats", now - timedelta(days=5), now)
    assert (result.rows_read, result.keys_written) == (2, 1)
    assert served(store, 1, 2) == [None, 2.0]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2026, 1, 1), datetime(2026, 1, 2)),  # noqa: DTZ001 - that is the point
        (day(2), day(1)),
        (day(1), day(1)),
        (day(1), datetime.now(UTC) + timedelta(hours=1)),
    ],
    ids=["naive", "reversed", "empty", "future"],
)
def test_what_is_no_past_window_is_refused_and_nothing_is_written(
    repo: SampleRepo, start: datetime, end: datetime
) -> None:
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    with pytest.raises(WindowError):
        materialize_window(store, "user_stats", start, end)
    assert served(store, 1) == [None]
    assert materialized_windows(store, "user_stats") == []


def test_an_unknown_view_is_named_with_its_nearest_neighbours(repo: SampleRepo) -> None:
    store = repo.applied()
    with pytest.raises(RegistryError, match=r"'user_stat'.*nearest: user_stats"):
        materialize_window(store, "user_stat", day(1), day(2))


def test_a_view_that_is_not_served_says_which_flag_keeps_it_out(repo: SampleRepo) -> None:
    store = repo.applied()
    view = store.get_feature_view("user_stats")
    view.online = False
    store.apply([view])
    with pytest.raises(OnlineStoreError, match="online=False"):
        materialize_window(store, "user_stats", day(1), day(2))
    assert materialized_windows(store, "user_stats") == []


def test_a_view_without_entities_is_served(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 1), 1.0), row(2, day(1, 2), 2.0)])
    store = repo.applied()
    total = FeatureView(
        name="totals", schema=[Field(name="amount", dtype=Float64)], source=repo.source
    )
    store.apply([total])
    result = materialize_window(store, "totals", day(1), day(2))
    assert result.keys_written == 1
    answer = store.get_online_features(
        features=["totals:amount"], entity_rows=[{"__dummy_id": ""}]
    ).to_dict()
    assert answer["amount"] == [2.0]


def test_mapped_columns_and_composite_keys_are_served_under_their_names(repo: SampleRepo) -> None:
    table = pa.table(
        {
            "usr": ["a", "a", "b"],
            "shop_id": pa.array([1, 2, 1], pa.int32()),
            "t": pa.array([day(1, 1), day(1, 2), day(1, 3)], pa.timestamp("us")),
            "amt": [1.0, 2.0, 3.0],
        }
    )
    pq.write_table(table, repo.folder / "mapped.parquet")
    source = FileSource(
        name="mapped",
        path="mapped.parquet",
        timestamp_field="t",
        field_mapping={"usr": "user_name", "amt": "amount"},
    )
    view = FeatureView(
        name="mapped_stats",
        entities=[
            Entity(name="user_name", join_keys=["user_name"], value_type=ValueType.STRING),
            Entity(name="shop_id", join_keys=["shop_id"], value_type=ValueType.INT32),
        ],
        schema=[Field(name="amount", dtype=Float64)],
        source=source,
    )
    store = repo.open()
    store.apply(
        [
            Entity(name="user_name", join_keys=["user_name"], value_type=ValueType.STRING),
            Entity(name="shop_id", join_keys=["shop_id"], value_type=ValueType.INT32),
            source,
            view,
        ]
    )
    materialize_window(store, "mapped_stats", day(1), day(2))
    answer = store.get_online_features(
        features=["mapped_stats:amount"],
        entity_rows=[{"user_name": "a", "shop_id": 2}, {"user_name": "b", "shop_id": 1}],
    ).to_dict()
    assert answer["amount"] == [2.0, 3.0]


def test_a_push_source_is_materialized_from_its_batch_source(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 1), 1.0)])
    store = repo.applied()
    push = PushSource(name="clicks", batch_source=repo.source)
    user = store.get_entity("user")
    view = FeatureView(
        name="pushed", entities=[user], schema=[Field(name="amount", dtype=Float64)], source=push
    )
    store.apply([push, view])
    materialize_window(store, "pushed", day(1), day(2))
    assert served(store, 1, view="pushed") == [1.0]


def test_a_missing_file_is_named_with_its_path(repo: SampleRepo) -> None:
    store = repo.applied()
    (repo.folder / "stats.parquet").unlink()
    with pytest.raises(SourceError, match=r"source 'stats'.*stats\.parquet"):
        materialize_window(store, "user_stats", day(1), day(2))
    assert materialized_windows(store, "user_stats") == []


def test_a_file_that_is_no_parquet_is_named(repo: SampleRepo) -> None:
    store = repo.applied()
    (repo.folder / "stats.parquet").write_bytes(b"not a parquet file at all")
    with pytest.raises(SourceError, match="source 'stats': it cannot be read"):
        materialize_window(store, "user_stats", day(1), day(2))


def test_a_missing_column_is_named(repo: SampleRepo) -> None:
    store = repo.applied()
    table = pq.read_table(repo.folder / "stats.parquet").drop_columns(["visits"])
    pq.write_table(table, repo.folder / "stats.parquet")
    with pytest.raises(SourceError, match="no column 'visits'"):
        materialize_window(store, "user_stats", day(1), day(2))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", None, "Europe/Berlin"])
def test_every_unit_and_zone_of_timestamps_means_the_same_moment(
    repo: SampleRepo, unit: str, zone: str | None
) -> None:
    repo.write([row(1, day(1), 1.0), row(1, day(2), 2.0), row(2, day(2), 3.0)])
    table = pq.read_table(repo.folder / "stats.parquet")
    for name in ("event_timestamp", "created"):
        place = table.schema.get_field_index(name)
        column = table[name].cast(pa.timestamp(unit, tz="UTC"))
        column = (
            column.cast(pa.timestamp(unit, tz=zone)) if zone else column.cast(pa.timestamp(unit))
        )
        table = table.set_column(place, name, column)
    pq.write_table(table, repo.folder / "stats.parquet")
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1, 2) == [1.0, None]
    materialize_window(store, "user_stats", day(2), day(3))
    assert served(store, 1, 2) == [2.0, 3.0]
