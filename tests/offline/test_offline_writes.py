"""What the offline store writes: saved datasets, pushed rows, logged features."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    FeatureService,
    Field,
)
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.types import Float64
from worlds.offline_repos import OURS, USER, frame, opened, source_of, view_of, written
from worlds.sample_repos import SampleRepo, row
from worlds.times import day

from feature_platform.errors import SourceError


@pytest.fixture
def shop(tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "shop", offline=OURS)


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
    from feature_platform.offline.offline_write import append_rows

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
