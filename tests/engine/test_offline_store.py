"""The offline store as Feast loads it from a repo's configuration."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
    RequestSource,
    ValueType,
)
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int32, Int64, String
from sample_repos import GUARDED, SampleRepo, day, row, served

from feature_platform.errors import FeaturePlatformError, MissingPackageError, SourceError

OURS = "feature_platform.engine.offline_store.PointInTimeOfflineStore"
STREAMING = {"type": "feature_platform.engine.compute_engine.StreamingComputeEngine"}
AMOUNT = ["user_stats:amount"]


@pytest.fixture
def shop(tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "shop", offline=OURS)


def frame(*rows: tuple[int | None, datetime | None], **more: Any) -> pd.DataFrame:
    """Entity rows of user and moment."""
    users, moments = zip(*rows, strict=True) if rows else ((), ())
    return pd.DataFrame({"user_id": list(users), "event_timestamp": list(moments), **more})


def opened(folder: Path, *objects: Any, offline: dict[str, Any] | None = None) -> FeatureStore:
    """A store of its own with these objects applied."""
    store = FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store=offline or {"type": OURS},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply(list(objects))
    return store


USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)


def source_of(path: str, name: str = "events", **more: Any) -> FileSource:
    return FileSource(name=name, path=path, **{"timestamp_field": "event_timestamp", **more})


def view_of(source: FileSource, *fields: Field, name: str = "view", **more: Any) -> FeatureView:
    return FeatureView(
        name=name, source=source, schema=list(fields), **{"entities": [USER], **more}
    )


def written(path: Path, **columns: Any) -> Path:
    """A Parquet file; times are microseconds of UTC unless they have a type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = columns.get("event_timestamp")
    if isinstance(times, list):
        columns["event_timestamp"] = pa.array(times, pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(columns), path)
    return path


# What comes back


def test_every_entity_row_comes_back_in_its_order_with_its_columns(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0, visits=2**53 + 1), row(2, day(2), 5.0)])
    asked = frame((2, day(3)), (1, day(2)), (2, day(1)), (9, day(3)), (1, day(2)))
    asked["label"] = ["a", "b", "c", None, "b"]
    asked.index = [7, 7, 1, 0, 3]
    job = shop.applied().get_historical_features(asked, ["user_stats:amount", "user_stats:visits"])
    found = job.to_df()
    assert list(found.columns) == ["user_id", "event_timestamp", "label", "amount", "visits"]
    assert found["user_id"].tolist() == [2, 1, 2, 9, 1]
    assert found["label"].tolist() == ["a", "b", "c", None, "b"]
    assert found["amount"].fillna(-1).tolist() == [5.0, 1.0, -1, -1, 1.0]
    assert found["visits"].dtype == pd.Int64Dtype()
    assert found["visits"].tolist()[1] == 2**53 + 1
    assert job.to_arrow().schema.field("visits").type == pa.int64()


def test_the_frame_that_was_given_stays_as_it_was(shop: SampleRepo):
    asked = frame((1, day(2)))
    asked["event_timestamp"] = ["2026-01-02T00:00:00+09:00"]
    before = asked.copy()
    shop.applied().get_historical_features(asked, AMOUNT).to_df()
    pd.testing.assert_frame_equal(asked, before)


def test_of_rows_with_equal_times_the_one_that_materialization_serves(tmp_path: Path):
    rows = [row(1, day(1), amount, created=day(2)) for amount in (3.0, 9.0, 4.0)]
    rows += [row(1, day(1), 20.0, created=day(1)), row(2, day(1), None), row(2, day(1), -1.0)]
    shop = SampleRepo(
        tmp_path / "shop", offline=OURS, engine=STREAMING, online={"type": GUARDED["sqlite"]}
    )
    shop.write(rows)
    store = shop.applied()
    store.materialize(day(1), day(3))
    trained = store.get_historical_features(frame((1, day(3)), (2, day(3))), AMOUNT).to_df()
    assert trained["amount"].tolist() == served(store, 1, 2) == [9.0, -1.0]


def test_feasts_own_engine_materializes_with_it(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0), row(1, day(2), 2.0, created=day(3)), row(1, day(2), 3.0)])
    store = shop.applied()
    store.materialize(day(1), day(3))
    assert served(store, 1, 2) == [2.0, None]


def test_created_times_are_asked_for_when_the_caller_says_so(shop: SampleRepo):
    shop.write(
        [
            row(1, day(1), 1.0),
            row(1, day(2), 2.0, created=day(9)),
            row(2, day(1), 3.0, created=None),
        ]
    )
    store, asked = shop.applied(), frame((1, day(3)), (1, day(9)), (2, day(3)))
    found = store.get_historical_features(asked, AMOUNT).to_df()
    assert found["amount"].tolist() == [2.0, 2.0, 3.0]
    known = store.get_historical_features(asked, AMOUNT, filter_by_created_timestamp=True).to_df()
    assert known["amount"].fillna(-1).tolist() == [1.0, 2.0, -1]


def test_random_rows_are_joined_as_feasts_duckdb_store_does(tmp_path: Path):
    random = np.random.default_rng(5)
    count = 3_000
    seconds = random.permutation(count * 10)[:count]  # no ties, which Feast leaves to chance
    written(
        tmp_path / "a.parquet",
        user_id=random.integers(0, 50, count),
        city=random.choice(["x", "y"], count),
        event_timestamp=[day(1) + timedelta(seconds=int(s)) for s in seconds],
        amount=random.random(count),
        visits=pa.array(random.integers(0, 9, count), mask=random.random(count) < 0.3),
    )
    place = Entity(name="place", join_keys=["city"], value_type=ValueType.STRING)
    source = source_of(str(tmp_path / "a.parquet"))
    fields = [Field(name="amount", dtype=Float64), Field(name="visits", dtype=Int64)]
    views = [
        view_of(source, *fields, name="by_user", ttl=timedelta(seconds=900)),
        view_of(source, *fields, name="by_both", entities=[USER, place]),
    ]
    asked = pd.DataFrame(
        {
            "user_id": random.integers(0, 60, 500),
            "city": random.choice(["x", "y", "z"], 500),
            "event_timestamp": [
                day(1) + timedelta(seconds=int(s)) for s in random.integers(-9, 31_000, 500)
            ],
            "n": np.arange(500),
        }
    )
    features = [f"{view.name}:{field.name}" for view in views for field in fields]
    tables = {}
    for kind in (OURS, "duckdb"):
        (tmp_path / kind).mkdir()
        store = opened(tmp_path / kind, USER, place, *views, offline={"type": kind})
        job = store.get_historical_features(asked, features, full_feature_names=True)
        tables[kind] = job.to_arrow().sort_by("n")
    assert tables[OURS].column_names == tables["duckdb"].column_names
    for name in tables[OURS].column_names[3:]:
        assert tables[OURS].column(name).equals(tables["duckdb"].column(name)), name
    assert tables[OURS].column("by_user__visits").null_count > 50


# What views can be


def test_aliases_of_join_keys_and_views_and_composite_keys_of_which_one_has_an_alias(
    tmp_path: Path,
):
    written(
        tmp_path / "a.parquet",
        user_id=[1, 2, 1],
        city=["x", "x", "y"],
        event_timestamp=[day(1)] * 3,
        amount=[1.0, 2.0, 3.0],
    )
    place = Entity(name="place", join_keys=["city"], value_type=ValueType.STRING)
    view = view_of(
        source_of("a.parquet"), Field(name="amount", dtype=Float64), entities=[USER, place]
    )
    service = FeatureService(
        name="pair",
        features=[
            view.with_name("sender").with_join_key_map({"user_id": "sender_id"}),
            view.with_name("receiver").with_join_key_map({"user_id": "receiver_id"}),
        ],
    )
    store = opened(tmp_path, USER, place, view, service)
    asked = pd.DataFrame(
        {
            "sender_id": [1, 1],
            "receiver_id": [2, 3],
            "city": ["x", "y"],
            "event_timestamp": [day(2)] * 2,
        }
    )
    found = store.get_historical_features(asked, service, full_feature_names=True).to_df()
    assert found["sender__amount"].tolist() == [1.0, 3.0]
    assert found["receiver__amount"].fillna(-1).tolist() == [2.0, -1]


def test_field_mappings_rename_features_keys_and_times(tmp_path: Path):
    written(
        tmp_path / "a.parquet",
        uid=[1, 1],
        at=pa.array([day(1), day(2)], pa.timestamp("us")),
        amt=[1.0, 2.0],
    )
    source = source_of(
        "a.parquet", field_mapping={"uid": "user_id", "at": "event_timestamp", "amt": "amount"}
    )
    store = opened(tmp_path, USER, view_of(source, Field(name="amount", dtype=Float64)))
    found = store.get_historical_features(frame((1, day(2)), (1, day(1))), ["view:amount"]).to_df()
    assert found["amount"].tolist() == [2.0, 1.0]


def test_on_demand_features_take_features_and_request_data(shop: SampleRepo):
    shop.write([row(1, day(1), 2.0)])
    store = shop.applied()
    view = store.get_feature_view("user_stats")
    request = RequestSource(name="request", schema=[Field(name="rate", dtype=Float64)])

    @on_demand_feature_view(sources=[view, request], schema=[Field(name="paid", dtype=Float64)])
    def payments(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"paid": inputs["amount"] * inputs["rate"]})

    store.apply([payments])
    asked = frame((1, day(2)), (1, day(2)), rate=[10.0, 20.0])
    job = store.get_historical_features(asked, ["payments:paid"])
    assert job.to_df()["paid"].tolist() == [20.0, 40.0]
    storage = SavedDatasetFileStorage(str(shop.folder / "set.parquet"))
    saved = store.create_saved_dataset(job, "set", storage)
    assert saved.to_df()["paid"].tolist() == [20.0, 40.0]


def test_a_view_without_entities_and_one_of_a_shared_source(tmp_path: Path):
    written(
        tmp_path / "a.parquet", user_id=[1, 2], event_timestamp=[day(1), day(2)], amount=[1.0, 2.0]
    )
    source = source_of("a.parquet")
    field = Field(name="amount", dtype=Float64)
    totals = view_of(source, field, name="totals", entities=[])
    store = opened(tmp_path, USER, totals, view_of(source, field))
    found = store.get_historical_features(
        frame((1, day(3)), (5, day(1))), ["totals:amount", "view:amount"], full_feature_names=True
    ).to_df()
    assert found["totals__amount"].tolist() == [2.0, 1.0]
    assert found["view__amount"].fillna(-1).tolist() == [1.0, -1]
    alone = store.get_historical_features(
        pd.DataFrame({"event_timestamp": [day(1)]}), ["totals:amount"]
    )
    assert alone.to_df()["amount"].tolist() == [1.0]


TYPES = {
    "small": (pa.int32(), [1, None]),
    "whole": (pa.int64(), [2**60, None]),
    "half": (pa.float32(), [0.5, None]),
    "text": (pa.string(), ["ß", None]),
    "raw": (pa.binary(), [b"\x00\xff", None]),
    "flag": (pa.bool_(), [False, None]),
    "seen": (pa.timestamp("us", "UTC"), [datetime(1969, 1, 1, tzinfo=UTC), None]),
    "seen_exactly": (pa.timestamp("ns"), [pd.Timestamp(7), None]),
    "born": (pa.date32(), [datetime(2026, 1, 1).date(), None]),  # noqa: DTZ001
    "price": (pa.decimal128(20, 3), [None, None]),
    "list": (pa.list_(pa.int64()), [[1, 2], None]),
    "texts": (pa.list_(pa.string()), [["a", None], []]),
    "map": (pa.map_(pa.string(), pa.string()), [[("a", "b")], None]),
    "struct": (pa.struct([("a", pa.int64())]), [{"a": 1}, None]),
}


def test_values_of_all_types_come_back_as_they_are_stored(tmp_path: Path):
    columns = {name: pa.array(values, kind) for name, (kind, values) in TYPES.items()}
    written(tmp_path / "a.parquet", user_id=[1, 2], event_timestamp=[day(1)] * 2, **columns)
    fields = [Field(name=name, dtype=String) for name in TYPES]
    store = opened(tmp_path, USER, view_of(source_of("a.parquet"), *fields))
    asked = frame((2, day(2)), (1, day(2)), (3, day(2)))
    job = store.get_historical_features(asked, [f"view:{name}" for name in TYPES])
    found = job.to_arrow()
    for name, (kind, values) in TYPES.items():
        assert found.schema.field(name).type == kind
        assert found.column(name).to_pylist() == [values[1], values[0], None]
    assert len(job.to_df()) == 3


def test_a_column_without_a_single_value_has_the_type_its_view_declares(tmp_path: Path):
    written(tmp_path / "a.parquet", user_id=[1], event_timestamp=[day(1)], gone=pa.nulls(1))
    store = opened(tmp_path, USER, view_of(source_of("a.parquet"), Field(name="gone", dtype=Int32)))
    found = store.get_historical_features(frame((1, day(2))), ["view:gone"]).to_arrow()
    assert found.schema.field("gone").type == pa.int32()


# How sources can be stored


def test_a_folder_of_partitions_whose_files_have_grown_columns(tmp_path: Path):
    root = tmp_path / "t"
    written(
        root / "region=eu" / "1.parquet",
        user_id=pa.array([1], pa.int32()),
        event_timestamp=pa.array([day(1)], pa.timestamp("ms")),
        amount=pa.nulls(1),
    )
    written(
        root / "region=us" / "2.parquet",
        user_id=[1, 2],
        event_timestamp=[day(2)] * 2,
        amount=[2.0, 3.0],
        late=["a", "b"],
    )
    (root / "_SUCCESS").write_text("")
    place = Entity(name="place", join_keys=["region"], value_type=ValueType.STRING)
    fields = [Field(name="amount", dtype=Float64), Field(name="late", dtype=String)]
    view = view_of(source_of("t"), *fields)
    regional = view_of(
        source_of("t", name="again"), *fields, name="regional", entities=[USER, place]
    )
    store = opened(tmp_path, USER, place, view, regional)
    found = store.get_historical_features(
        frame((1, day(1)), (1, day(3)), (2, day(3)), region=["eu", "eu", "us"]),
        ["view:amount", "view:late", "regional:amount"],
        full_feature_names=True,
    ).to_df()
    assert found["view__amount"].fillna(-1).tolist() == [-1, 2.0, 3.0]
    assert found["view__late"].tolist() == [None, "a", "b"]
    assert found["regional__amount"].fillna(-1).tolist() == [-1, -1, 3.0]


def test_a_pattern_of_paths_relative_to_the_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in (1, 2):
        written(
            tmp_path / "t" / f"{number}.parquet",
            user_id=[number],
            event_timestamp=[day(1)],
            amount=[float(number)],
        )
    written(tmp_path / "t" / "other.txt", user_id=[1], event_timestamp=[day(2)], amount=[9.0])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store = opened(
        tmp_path, USER, view_of(source_of("t/*.parquet"), Field(name="amount", dtype=Float64))
    )
    found = store.get_historical_features(frame((1, day(3)), (2, day(3))), ["view:amount"]).to_df()
    assert found["amount"].tolist() == [1.0, 2.0]


def test_files_of_nanoseconds_which_feasts_duckdb_store_cannot_read(tmp_path: Path):
    times = pa.array([day(1), day(2)], pa.timestamp("us", "UTC")).cast(pa.timestamp("ns", "UTC"))
    written(tmp_path / "a.parquet", user_id=[1, 1], event_timestamp=times, amount=[1.0, 2.0])
    store = opened(
        tmp_path, USER, view_of(source_of("a.parquet"), Field(name="amount", dtype=Float64))
    )
    found = store.get_historical_features(frame((1, day(2)), (1, day(1))), ["view:amount"]).to_df()
    assert found["amount"].tolist() == [2.0, 1.0]
    store.materialize(day(1), day(3))
    online = store.get_online_features(["view:amount"], [{"user_id": 1}]).to_dict()
    assert online["amount"] == [2.0]


@pytest.mark.server
def test_sources_saved_datasets_and_exports_in_an_object_store(tmp_path: Path, aws: str):
    from pyarrow import fs

    filesystem = fs.S3FileSystem(endpoint_override=aws, allow_bucket_creation=True)
    filesystem.create_dir("shop-offline")
    base, endpoint = "s3://shop-offline", aws
    for number in (1, 2):
        table = pa.table(
            {
                "user_id": [number],
                "event_timestamp": pa.array([day(1)], pa.timestamp("us", "UTC")),
                "amount": [float(number)],
            }
        )
        pq.write_table(table, f"shop-offline/t/d={number}/x.parquet", filesystem=filesystem)
    source = source_of(f"{base}/t", s3_endpoint_override=endpoint)
    offline = {
        "type": OURS,
        "staging_location": f"{base}/staging",
        "staging_location_endpoint_override": endpoint,
    }
    store = opened(
        tmp_path, USER, view_of(source, Field(name="amount", dtype=Float64)), offline=offline
    )
    job = store.get_historical_features(frame((2, day(3)), (1, day(3))), ["view:amount"])
    assert job.to_df()["amount"].tolist() == [2.0, 1.0]
    storage = SavedDatasetFileStorage(f"{base}/saved/x.parquet", s3_endpoint_override=endpoint)
    saved = store.create_saved_dataset(job, "kept", storage)
    assert saved.to_df()["amount"].tolist() == [2.0, 1.0]
    (exported,) = job.to_remote_storage()
    held = pq.read_table(exported.removeprefix("s3://"), filesystem=filesystem)
    assert held.column("amount").to_pylist() == [2.0, 1.0]


def test_a_delta_table_without_its_package_says_which_one_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from feast.data_format import DeltaFormat

    from feature_platform.engine.source_open import open_source

    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    store = opened(tmp_path)
    with pytest.raises(
        MissingPackageError, match=r"package deltalake.*pip install 'feast\[delta\]'"
    ):
        open_source(store.config, source_of("t", file_format=DeltaFormat()))


# What entity rows can be


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


# What is wrong is said


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
        "has a column 'amount', and so is a feature of 'user_stats' called",
    ),
    "two columns of one name": (
        pd.DataFrame([[1, 1, day(1)]], columns=["user_id", "user_id", "event_timestamp"]),
        "has two columns 'user_id'",
    ),
    "values of two types": (
        pd.DataFrame({"user_id": [1, 2], "event_timestamp": [day(1)] * 2, "x": [1, "a"]}),
        "column whose values have no one type",
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
    from feature_platform.engine.requested_features import requested_views

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


def test_a_memory_limit_is_a_size():
    from feature_platform.engine.offline_store import PointInTimeOfflineStoreConfig

    with pytest.raises(ValueError, match="memory_limit 'plenty' is not a size, such as 512MB"):
        PointInTimeOfflineStoreConfig(memory_limit="plenty")
    small = PointInTimeOfflineStoreConfig(memory_limit="16 MiB", threads=1).reading()
    large = PointInTimeOfflineStoreConfig(memory_limit="64GB", threads=3).reading()
    assert small.batch_rows < large.batch_rows == 262_144
    assert large.threads == 3


def test_a_small_memory_limit_gives_the_same_rows(shop: SampleRepo):
    shop.write([row(user, day(1, hour), float(hour)) for user in range(100) for hour in range(99)])
    store = shop.applied()
    asked = frame(*((user, day(1, user)) for user in range(100)))
    store.config.offline_store.memory_limit = "1MB"
    found = store.get_historical_features(asked, AMOUNT).to_df()
    assert found["amount"].tolist() == [float(min(user, 98)) for user in range(100)]


# What is written


def test_a_saved_dataset_replaces_what_is_there_only_when_asked_to(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0, visits=3), row(2, day(1), 2.0)])
    store = shop.applied()
    features = ["user_stats:amount", "user_stats:visits"]
    job = store.get_historical_features(frame((1, day(2)), (9, day(3))), features)
    less = store.get_historical_features(frame((2, day(2))), features)
    for path in ("sets/one.parquet", "sets/folder"):
        storage = SavedDatasetFileStorage(path)
        saved = store.create_saved_dataset(job, "set", storage)
        found = saved.to_df()
        assert found["user_id"].tolist() == [1, 9]
        assert found["visits"].dtype == pd.Int64Dtype()
        with pytest.raises(SavedDatasetLocationAlreadyExists):
            store.create_saved_dataset(less, "set", storage)
        assert store.get_saved_dataset("set").to_df()["user_id"].tolist() == [1, 9]
        store.create_saved_dataset(less, "set", storage, allow_overwrite=True)
        assert store.get_saved_dataset("set").to_df()["user_id"].tolist() == [2]
    assert (shop.folder / "sets" / "one.parquet").is_file()
    left = [each.name for each in (shop.folder / "sets").rglob("*") if each.is_file()]
    assert len(left) == 2  # nothing half written


def test_pushed_rows_are_added_to_a_file_a_folder_and_a_partitioned_folder(tmp_path: Path):
    fields = (Field(name="amount", dtype=Float64),)
    written(tmp_path / "one.parquet", user_id=[1], event_timestamp=[day(1)], amount=[1.0])
    written(tmp_path / "many" / "a.parquet", user_id=[1], event_timestamp=[day(1)], amount=[1.0])
    written(
        tmp_path / "parts" / "d=1" / "a.parquet",
        user_id=[1],
        event_timestamp=[day(1)],
        amount=[1.0],
    )
    views = [
        view_of(source_of("one.parquet", name="one"), *fields, name="one"),
        view_of(source_of("many", name="many"), *fields, name="many"),
    ]
    store = opened(tmp_path, USER, *views)
    new = pd.DataFrame({"amount": [2.0], "event_timestamp": [day(2)], "user_id": [1]})
    for view in views:
        store.write_to_offline_store(view.name, new)
        found = store.get_historical_features(
            frame((1, day(1)), (1, day(3))), [f"{view.name}:amount"]
        ).to_df()
        assert found["amount"].tolist() == [1.0, 2.0]
    from feature_platform.engine.offline_write import append_rows

    rows = pa.table(
        {
            "user_id": [1, 2],
            "event_timestamp": pa.array([day(2)] * 2, pa.timestamp("us", "UTC")),
            "amount": [2.0, 3.0],
            "d": [1, 2],
        }
    )
    append_rows(store.config, source_of("parts"), rows)
    assert sorted(pq.read_table(tmp_path / "parts").column("d").to_pylist()) == [1, 1, 2]
    with pytest.raises(SourceError, match="the rows to add do not fit its columns"):
        append_rows(store.config, source_of("one.parquet"), rows.drop_columns("amount"))
    with pytest.raises(
        ValueError, match=r"give \['user_id', 'event_timestamp', 'amount'\], in this order"
    ):
        store._get_provider().offline_store.offline_write_batch(
            store.config, views[0], rows.select(["amount", "user_id", "event_timestamp"]), None
        )


def test_logged_features_are_added_and_read_back(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0)])
    store = shop.applied()
    service = FeatureService(
        name="logged",
        features=[store.get_feature_view("user_stats")[["amount"]]],
        logging_config=LoggingConfig(
            destination=FileLoggingDestination(path="logs", partition_by=["__log_date"])
        ),
    )
    store.apply([service])
    rows = pa.table(
        {
            "user_id": [1, 2],
            "user_stats__amount": [1.0, 2.0],
            "user_stats__amount__timestamp": pa.array([day(1)] * 2, pa.timestamp("us", "UTC")),
            "user_stats__amount__status": pa.array([0, 0], pa.int32()),
            "__log_timestamp": pa.array([day(2), day(3)], pa.timestamp("us", "UTC")),
            "__log_date": pa.array([day(2).date(), day(3).date()]),
            "__request_id": ["a", "b"],
        }
    )
    store.write_logged_features(rows, service)
    pq.write_table(rows, shop.folder / "more.parquet")
    store.write_logged_features(shop.folder / "more.parquet", service)
    back = store._get_provider().retrieve_feature_service_logs(
        service, day(1), day(2, 5), store.config, store.registry
    )
    assert back.to_df()["__request_id"].tolist() == ["a", "a"]


# The rest of the interface


def test_all_rows_of_a_range_hold_both_its_ends(shop: SampleRepo):
    shop.write([row(1, day(number), float(number)) for number in (1, 2, 3, 4)])
    store = shop.applied()
    offline = store._get_provider().offline_store

    def pulled(start: datetime | None, end: datetime | None) -> list[float]:
        job = offline.pull_all_from_table_or_query(
            store.config,
            shop.source,
            ["user_id"],
            ["amount"],
            "event_timestamp",
            "created",
            start,
            end,
        )
        return job.to_df()["amount"].tolist()

    assert pulled(day(2), day(3)) == [2.0, 3.0]
    assert pulled(None, day(2)) == [1.0, 2.0]
    assert pulled(day(4), None) == [4.0]
    assert pulled(None, None) == [1.0, 2.0, 3.0, 4.0]


def test_the_latest_rows_of_a_range_have_the_columns_of_the_source(shop: SampleRepo):
    shop.write(
        [row(1, day(1), 1.0), row(1, day(2), 2.0), row(None, day(2), 9.0), row(1, day(3), 3.0)]
    )
    store = shop.applied()
    offline = store._get_provider().offline_store
    arguments = (["user_id"], ["amount"], "event_timestamp", "created")
    job = offline.pull_latest_from_table_or_query(
        store.config, shop.source, *arguments, day(1), day(2)
    )
    found = job.to_arrow()
    assert found.column_names == ["user_id", "amount", "event_timestamp", "created"]
    assert found.column("amount").to_pylist() == [2.0]
    none = offline.pull_latest_from_table_or_query(
        store.config, shop.source, *arguments, day(8), day(9)
    ).to_arrow()
    assert none.num_rows == 0
    assert none.column_names == found.column_names


def test_feasts_monitoring_and_validation_of_sources_go_on_working(shop: SampleRepo):
    shop.write([row(1, day(1), 1.0), row(2, day(2), 3.0)])
    store = shop.applied()
    offline = store._get_provider().offline_store
    offline.validate_data_source(store.config, shop.source)
    names = dict(
        offline.get_table_column_names_and_types_from_data_source(store.config, shop.source)
    )
    assert names["amount"] == "double"
    (metric,) = offline.compute_monitoring_metrics(
        store.config, shop.source, [("amount", "numeric")], "event_timestamp"
    )
    assert metric["mean"] == 2.0


def test_it_can_be_named_in_feature_store_yaml(tmp_path: Path):
    config = {
        "project": "shop",
        "provider": "local",
        "registry": "registry.db",
        "offline_store": {"type": OURS, "memory_limit": "256MB", "threads": 1},
        "online_store": {"type": "sqlite", "path": "online.db"},
        "entity_key_serialization_version": 3,
    }
    (tmp_path / "feature_store.yaml").write_text(json.dumps(config))
    store = FeatureStore(repo_path=str(tmp_path))
    assert store.config.offline_store.memory_limit == "256MB"
    assert type(store._get_provider().offline_store).__name__ == "PointInTimeOfflineStore"
    assert issubclass(SourceError, FeaturePlatformError)
