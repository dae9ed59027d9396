"""What entity rows of a retrieval can be, and what is said when they are wrong."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from feast import (
    Entity,
    Field,
    ValueType,
)
from feast.types import Float64, Int64
from worlds.offline_repos import AMOUNT, OURS, USER, frame, opened, source_of, view_of, written
from worlds.sample_repos import SampleRepo, row
from worlds.times import day

from feature_platform.errors import SourceError


@pytest.fixture
def shop(tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "shop", offline=OURS)


def test_sql_names_batch_sources_and_files_of_the_repo(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0), row(2, day(2), 2.0)])
    written(shop.folder / "labels.parquet", who=[2, 1], event_timestamp=[day(3), day(3)])
    store = shop.applied()
    by_source = store.get_historical_features(
        "SELECT user_id, event_timestamp, 'x' AS label FROM stats ORDER BY user_id DESC", AMOUNT
    )
    assert by_source.to_df()["amount"].tolist() == [2.0, 1.0]
    assert by_source.metadata.keys == ["user_id", "label"]
    assert by_source.metadata.max_event_timestamp == day(2)
    by_file = store.get_historical_features(
        "SELECT who AS user_id, event_timestamp FROM 'labels.parquet'", AMOUNT
    )
    assert by_file.to_df()["amount"].tolist() == [2.0, 1.0]


def test_sql_that_is_wrong_is_an_error_that_says_why(shop: SampleRepo):
    store = shop.applied()
    for sql, said in (
        ("SELECT nothing FROM stats", "nothing"),
        ("SELECT FROM WHERE", "syntax"),
        ("SELECT 1 AS user_id", "no column 'event_timestamp'"),
        ("SELECT * FROM missing", "missing"),
    ):
        with pytest.raises(SourceError, match=said):
            store.get_historical_features(sql, AMOUNT)


def test_a_range_of_time_gives_every_key_and_time_in_it_once(tmp_path: Path):
    written(
        tmp_path / "a.parquet",
        user_id=[1, 1, 1, 2, None],
        event_timestamp=[day(1), day(2), day(2), day(4), day(2)],
        amount=[1.0, 2.0, 3.0, 4.0, 5.0],
    )
    written(tmp_path / "b.parquet", city=["x"], event_timestamp=[day(2, 1)], people=[9])
    place = Entity(name="place", join_keys=["city"], value_type=ValueType.STRING)
    users = view_of(source_of("a.parquet"), Field(name="amount", dtype=Float64), name="users")
    places = view_of(
        source_of("b.parquet", name="b"),
        Field(name="people", dtype=Int64),
        name="places",
        entities=[place],
    )
    store = opened(tmp_path, USER, place, users, places)
    job = store.get_historical_features(
        None, ["users:amount", "places:people"], start_date=day(2), end_date=day(4)
    )
    assert job.to_arrow().to_pylist() == [
        {"user_id": 1, "city": None, "event_timestamp": day(2), "amount": 3.0, "people": None},
        {"user_id": None, "city": "x", "event_timestamp": day(2, 1), "amount": None, "people": 9},
        {"user_id": 2, "city": None, "event_timestamp": day(4), "amount": 4.0, "people": None},
    ]
    nothing = store.get_historical_features(
        None, ["users:amount"], start_date=day(20), end_date=day(21)
    ).to_arrow()
    assert nothing.num_rows == 0
    assert nothing.schema.field("amount").type == pa.float64()


def test_times_without_a_zone_are_utc_and_others_are_moved_there(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0), row(1, day(1, 9), 2.0)])
    store = shop.applied()
    for times in (
        [datetime(2026, 1, 1, 8, 59), datetime(2026, 1, 1, 9)],  # noqa: DTZ001
        ["2026-01-01T08:59:00", "2026-01-01 09:00"],
        ["2026-01-01T17:59:00+09:00", "2026-01-01T18:00:00+09:00"],
        pd.to_datetime(["2026-01-01 17:59", "2026-01-01 18:00"]).tz_localize("Asia/Tokyo"),
    ):
        asked = pd.DataFrame({"user_id": [1, 1], "event_timestamp": times})
        found = store.get_historical_features(asked, AMOUNT).to_df()
        assert found["amount"].tolist() == [1.0, 2.0]
        assert str(found["event_timestamp"].dt.tz) == "UTC"


def test_a_frame_without_rows_gives_none_with_the_columns_of_one_that_has(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0)])
    store = shop.applied()
    features = ["user_stats:amount", "user_stats:visits", "user_stats:city"]
    some = store.get_historical_features(frame((1, day(2))), features).to_arrow()
    none = store.get_historical_features(frame((1, day(2))).head(0), features).to_arrow()
    assert none.num_rows == 0
    assert none.schema == some.schema


def test_the_only_column_of_times_is_the_time(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0)])
    asked = frame((1, day(2))).rename(columns={"event_timestamp": "at"})
    found = shop.applied().get_historical_features(asked, AMOUNT).to_df()
    assert list(found.columns) == ["user_id", "at", "amount"]
    assert found["amount"].tolist() == [1.0]


BAD_FRAMES = {
    "no time": (
        pd.DataFrame({"user_id": [1]}),
        "has no column 'event_timestamp' and no column of times .it has user_id.",
    ),
    "two times": (
        pd.DataFrame({"user_id": [1], "a": [day(1)], "b": [day(1)]}),
        "columns of times: a, b",
    ),
    "no key": (
        pd.DataFrame({"event_timestamp": [day(1)]}),
        "has no column 'user_id', a join key of feature view 'user_stats'",
    ),
    "a key of text": (
        pd.DataFrame({"user_id": ["1"], "event_timestamp": [day(1)]}),
        "key 'user_id' of type .*string, but the source's is int64; cast",
    ),
    "times of text that are none": (
        pd.DataFrame({"user_id": [1], "event_timestamp": ["yesterday"]}),
        "'event_timestamp': does not hold times",
    ),
    "times that are numbers": (
        pd.DataFrame({"user_id": [1], "event_timestamp": [5]}),
        "'event_timestamp': is of type int64; store it as a timestamp",
    ),
    "a column of a feature's name": (
        pd.DataFrame({"user_id": [1], "event_timestamp": [day(1)], "amount": [1]}),
        "has a column 'amount', which is also a feature of 'user_stats'",
    ),
    "two columns of one name": (
        pd.DataFrame([[1, 1, day(1)]], columns=["user_id", "user_id", "event_timestamp"]),
        "has two columns 'user_id'",
    ),
    "values of two types": (
        pd.DataFrame({"user_id": [1, 2], "event_timestamp": [day(1)] * 2, "x": [1, "a"]}),
        "column of mixed types",
    ),
    "a list": ([1], "is a list; give a pandas DataFrame, or SQL"),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_entity_rows_that_are_wrong(name: str, shop: SampleRepo):
    given, said = BAD_FRAMES[name]
    with pytest.raises(SourceError, match=said):
        shop.applied().get_historical_features(given, AMOUNT).to_df()


def test_features_sources_and_columns_that_are_not_there(tmp_path: Path):
    path = written(tmp_path / "a.parquet", user_id=[1], event_timestamp=[day(1)], amount=[1.0])
    field = Field(name="amount", dtype=Float64)
    views = [
        view_of(source_of("a.parquet"), field, Field(name="gone", dtype=Float64), name="wide"),
        view_of(source_of("a.parquet", name="b", timestamp_field="at"), field, name="late"),
        view_of(source_of("none.parquet", name="c"), field, name="lost"),
    ]
    store = opened(tmp_path, USER, *views)
    asked = frame((1, day(2)))
    for feature, said in (
        ("wide:gone", r"source 'events': it has no column 'gone' \(it has amount, event_timestamp"),
        ("late:amount", "source 'b': it has no column 'at'"),
        ("lost:amount", "source 'c': there is no Parquet file at 'none.parquet'"),
    ):
        with pytest.raises(SourceError, match=said):
            store.get_historical_features(asked, [feature]).to_df()
    with pytest.raises(KeyError, match="unknown"):  # Feast's own
        store.get_historical_features(asked, ["wide:unknown"])
    path.write_bytes(b"PAR1 but not Parquet")
    with pytest.raises(SourceError, match="source 'events': it cannot be read"):
        store.get_historical_features(asked, ["wide:amount"]).to_df()


def test_two_features_of_one_name_need_their_views_names():
    from feature_platform.offline.requested_features import requested_views

    source = source_of("a.parquet")
    views = [view_of(source, Field(name="amount", dtype=Float64), name=name) for name in "ab"]
    with pytest.raises(SourceError, match="'amount': both 'a' and 'b' have one of that name"):
        requested_views(views, ["a:amount", "b:amount"], full_feature_names=False)
    full = requested_views(views, ["a:amount", "b:amount"], full_feature_names=True)
    assert [view.features for view in full] == [
        (("amount", "a__amount"),),
        (("amount", "b__amount"),),
    ]
    with pytest.raises(SourceError, match=r"view 'a': it has no feature 'x' \(it has amount\)"):
        requested_views(views, ["a:x"], full_feature_names=False)
