"""What bulk writes store is, byte for byte, what stock Feast stores for the same rows."""

import sqlite3
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    Map,
    String,
    UnixTimestamp,
)
from sample_repos import SampleRepo, day, online_config

from feature_platform.store.materialize import materialize_window

# Feature name, Feast type, Arrow type, values of six rows.
FEATURES: list[tuple[str, Any, pa.DataType, list[Any]]] = [
    ("int32", Int32, pa.int32(), [0, 1, -1, None, 2**31 - 1, -(2**31)]),
    ("int64", Int64, pa.int64(), [0, 127, 128, None, -5, 2**52]),
    ("float32", Float32, pa.float32(), [0.0, 0.1, None, 1e30, -2.5, float("nan")]),
    ("float64", Float64, pa.float64(), [0.0, 0.1, None, 1e300, float("inf"), float("nan")]),
    ("string", String, pa.string(), ["", "a", None, "Köln", "x" * 300, "tab\t"]),
    ("bytes", Bytes, pa.binary(), [b"", b"\x00\xff", None, b"a", b"b", b"c"]),
    ("bool", Bool, pa.bool_(), [True, False, None, True, False, True]),
    (
        "moment",
        UnixTimestamp,
        pa.timestamp("us", tz="UTC"),
        [day(1), None, day(2, 0.5), datetime.fromtimestamp(0, day(1).tzinfo), day(3), day(4)],
    ),
    ("ints", Array(Int64), pa.list_(pa.int64()), [[1, -2], [], None, [2**40], [0], [5]]),
    ("floats", Array(Float32), pa.list_(pa.float32()), [[0.5], [], None, [1.5, 2], [0], [5]]),
    ("strings", Array(String), pa.list_(pa.string()), [["a", ""], [], None, ["ü"], ["b"], ["c"]]),
    ("bools", Array(Bool), pa.list_(pa.bool_()), [[True], [], None, [False], [True], [True]]),
    ("map", Map, pa.string(), ['{"a": 1}', None, '{"b": "c"}', "{}", '{"a": 2.5}', '{"d": 1}']),
]
USERS = [10, 2, 33, 4, 5, -6]


def _write_source(folder: Path) -> None:
    columns: dict[str, Any] = {
        "user_id": pa.array(USERS, pa.int64()),
        "shop": pa.array([f"shop{n}" for n in range(6)]),
        "event_timestamp": pa.array(
            [day(1, 1) + timedelta(microseconds=n * 500_001) for n in range(6)],
            pa.timestamp("us", tz="UTC"),
        ),
        "created": pa.array([day(2, n) for n in range(6)], pa.timestamp("us", tz="UTC")),
    }
    columns |= {name: pa.array(values, arrow) for name, _, arrow, values in FEATURES}
    pq.write_table(pa.table(columns), folder / "wide.parquet")


def _apply(repo: SampleRepo) -> FeatureStore:
    _write_source(repo.folder)
    entities = [
        Entity(name="user_id", join_keys=["user_id"], value_type=ValueType.INT64),
        Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING),
    ]
    source = FileSource(
        name="wide",
        path=str(repo.folder / "wide.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    view = FeatureView(
        name="wide",
        entities=entities,
        schema=[Field(name=name, dtype=kind) for name, kind, _, _ in FEATURES],
        source=source,
    )
    store = repo.open()
    store.apply([*entities, source, view])
    return store


def _stock(repo: SampleRepo) -> FeatureStore:
    store = _apply(repo)
    store.materialize(day(1), day(2))
    return store


def _ours(repo: SampleRepo) -> FeatureStore:
    store = _apply(repo)
    result = materialize_window(store, "wide", day(1), day(2))
    assert result.path == "fast"
    return store


SQL_COLUMNS = "entity_key, feature_name, value, value_text, event_ts, created_ts"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_sqlite_rows_are_the_same(
    tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        stored = []
        for name, write in (("stock", _stock), ("ours", _ours)):
            repo = SampleRepo(tmp_path / name)
            write(repo)
            with sqlite3.connect(repo.folder / "online.db") as connection:
                stored.append(
                    connection.execute(
                        f"SELECT {SQL_COLUMNS} FROM shop_wide ORDER BY 1, 2"
                    ).fetchall()
                )
        assert len(stored[0]) == len(USERS) * len(FEATURES)
        assert stored[0] == stored[1]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.server
def test_postgres_rows_are_the_same(tmp_path: Path, postgres_server: Any) -> None:
    import psycopg

    stored = []
    for name, write in (("stock", _stock), ("ours", _ours)):
        database = postgres_server.new_database()
        write(SampleRepo(tmp_path / name, online=postgres_server.online(database)))
        with psycopg.connect(postgres_server.conninfo(database)) as connection:
            rows = connection.execute(f"SELECT {SQL_COLUMNS} FROM shop_wide ORDER BY 1, 2")
            stored.append(rows.fetchall())
    assert len(stored[0]) == len(USERS) * len(FEATURES)
    assert stored[0] == stored[1]


@pytest.mark.server
@pytest.mark.parametrize("kind", ["redis", "redis_cluster"])
def test_redis_hashes_are_the_same_but_for_the_created_time_behind_the_event_time(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    from google.protobuf.timestamp_pb2 import Timestamp

    online = online_config(kind, request)
    stored = []
    for name, write in (("stock", _stock), ("ours", _ours)):
        repo = SampleRepo(tmp_path / name, online=online)
        store = write(repo)
        client = store._get_provider().online_store._get_client(store.config.online_store)
        found = {key: client.hgetall(key) for key in client.scan_iter(b"*shop")}
        for fields in found.values():
            moment = Timestamp.FromString(fields[b"_ts:wide"])
            moment.DiscardUnknownFields()
            fields[b"_ts:wide"] = moment.SerializeToString()
        stored.append(found)
        for key in found:
            client.delete(key)
    assert len(stored[0]) == len(USERS)
    assert stored[0] == stored[1]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("redis", marks=pytest.mark.server)])
def test_stock_feast_serves_what_bulk_writes_stored(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    names = [f"wide:{name}" for name, *_ in FEATURES]
    keys = [{"user_id": user, "shop": f"shop{n}"} for n, user in enumerate(USERS)]
    answers = []
    for name, write in (("stock", _stock), ("ours", _ours)):
        repo = SampleRepo(tmp_path / name, online=online_config(kind, request), project=name)
        write(repo)
        answer = repo.open().get_online_features(features=names, entity_rows=keys)
        answers.append(repr(answer.to_dict(include_event_timestamps=True)))
    assert answers[0] == answers[1]


def test_a_type_that_feast_alone_can_build_is_built_by_it(tmp_path: Path) -> None:
    repo = SampleRepo(tmp_path)
    table = pq.read_table(repo.folder / "stats.parquet")
    rows = pa.table(
        {
            "user_id": [1],
            "event_timestamp": pa.array([day(1)], pa.timestamp("us", tz="UTC")),
            "created": pa.array([day(1)], pa.timestamp("us", tz="UTC")),
            "price": pa.array([Decimal("12.50")], pa.decimal128(10, 2)),
        }
    )
    assert "price" not in table.column_names
    pq.write_table(rows, repo.folder / "stats.parquet")
    from feast.types import Decimal as FeastDecimal

    view = FeatureView(
        name="prices",
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)],
        schema=[Field(name="price", dtype=FeastDecimal)],
        source=repo.source,
    )
    store = repo.open()
    store.apply(
        [Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64), repo.source, view]
    )
    materialize_window(store, "prices", day(1), day(2))
    answer = store.get_online_features(features=["prices:price"], entity_rows=[{"user_id": 1}])
    assert answer.to_dict()["price"] == [Decimal("12.50")]
