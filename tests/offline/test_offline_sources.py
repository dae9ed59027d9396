"""What the offline store reads: files, folders, partitions, object stores."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    Field,
    ValueType,
)
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Float64, String
from worlds.offline_repos import OURS, USER, frame, opened, source_of, view_of, written
from worlds.times import day

from feature_platform.errors import MissingPackageError


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


@pytest.mark.server
def test_sources_in_google_cloud_storage(tmp_path: Path, gcs: str):
    from pyarrow import fs

    from feature_platform.materialize.materialize_window import materialize_window

    address = gcs.removeprefix("http://")
    filesystem = fs.GcsFileSystem(anonymous=True, scheme="http", endpoint_override=address)
    for number in (1, 2):
        table = pa.table(
            {
                "user_id": [number],
                "event_timestamp": pa.array([day(1)], pa.timestamp("us", "UTC")),
                "amount": [float(number)],
            }
        )
        pq.write_table(table, f"registries/offline/d={number}/x.parquet", filesystem=filesystem)
    # What Arrow calls a store that is not Google's own; without it, it is gs://BUCKET/PATH.
    query = f"?scheme=http&endpoint_override={address}"
    for path in ("offline", "offline/*/x.parquet"):
        source = source_of(f"gs://anonymous@registries/{path}{query}")
        store = opened(tmp_path, USER, view_of(source, Field(name="amount", dtype=Float64)))
        job = store.get_historical_features(frame((2, day(3)), (1, day(3))), ["view:amount"])
        assert job.to_df()["amount"].tolist() == [2.0, 1.0]
    source = source_of(f"gs://anonymous@registries/offline{query}")
    store = opened(tmp_path, USER, view_of(source, Field(name="amount", dtype=Float64)))
    materialize_window(store, "view", day(1), day(2))
    rows = [{"user_id": number} for number in (1, 2, 3)]
    assert store.get_online_features(["view:amount"], rows).to_dict()["amount"] == [1.0, 2.0, None]


def test_a_delta_table_without_its_package_says_which_one_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from feast.data_format import DeltaFormat

    from feature_platform.offline.source_open import open_source

    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    store = opened(tmp_path)
    with pytest.raises(
        MissingPackageError, match=r"package deltalake.*pip install 'feast\[delta\]'"
    ):
        open_source(store.config, source_of("t", file_format=DeltaFormat()))


def test_so_does_an_iceberg_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource

    from feature_platform.offline.source_open import open_source

    monkeypatch.setitem(__import__("sys").modules, "pyiceberg.catalog", None)
    source = IcebergSource(
        name="ice", warehouse="w", namespace="n", table="t", timestamp_field="event_timestamp"
    )
    with pytest.raises(MissingPackageError, match=r"a IcebergSource needs a package.*pyiceberg"):
        open_source(opened(tmp_path).config, source)
