"""The offline store as Feast loads it from a repo's configuration."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    Field,
    RequestSource,
    ValueType,
)
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int32, Int64, String
from worlds.offline_repos import (
    AMOUNT,
    OURS,
    STREAMING,
    USER,
    frame,
    opened,
    source_of,
    view_of,
    written,
)
from worlds.sample_repos import GUARDED, SampleRepo, row, served
from worlds.times import day

from feature_platform.errors import FeaturePlatformError, SourceError


@pytest.fixture
def shop(tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "shop", offline=OURS)


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


def test_a_memory_limit_is_a_size():
    from feature_platform.offline.offline_store import PointInTimeOfflineStoreConfig

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
