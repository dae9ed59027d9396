"""What bulk writes store is, byte for byte, what stock Feast stores for the same rows."""

import sqlite3
from dataclasses import replace
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
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from feast.types import Decimal as FeastDecimal
from worlds.sample_repos import SampleRepo, online_config
from worlds.times import day

from feature_platform.materialize.materialize_window import materialize_window

UUIDS = [f"6ba7b81{n}-9dad-11d1-80b4-00c04fd430c8" for n in range(5)]
STRUCTS = pa.struct({"a": pa.float64(), "b": pa.list_(pa.int64())})
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
    ("pdf", PdfBytes, pa.binary(), [b"%PDF", b"\x00", None, b"a", b"b", b"c"]),
    ("image", ImageBytes, pa.binary(), [b"\x89PNG", b"\x00", None, b"a", b"b", b"c"]),
    ("json", Json, pa.string(), ['{"a": [1]}', "null", None, '"x"', "1", "[]"]),
    ("uuid", Uuid, pa.string(), [UUIDS[0], UUIDS[1], None, UUIDS[2], UUIDS[3], UUIDS[4]]),
    ("time_uuid", TimeUuid, pa.string(), [None, *UUIDS]),
    (
        "decimal",
        FeastDecimal,
        pa.decimal128(10, 2),
        [*map(Decimal, ("1.50", "0", "-2", "3")), None, Decimal("9.99")],
    ),
    (
        "struct",
        Struct({"a": Float64, "b": Array(Int64)}),
        STRUCTS,
        [
            {"a": 1, "b": [1]},
            None,
            {"a": 2, "b": [2, 3]},
            {"a": 0, "b": [4]},
            {"a": 5, "b": [5]},
            {"a": 6, "b": [6]},
        ],
    ),
    ("int32s", Array(Int32), pa.list_(pa.int32()), [[1, -2], [], None, [7], [0], [5]]),
    ("doubles", Array(Float64), pa.list_(pa.float64()), [[0.1], [], None, [1e300], [0], [5]]),
    (
        "byteses",
        Array(Bytes),
        pa.list_(pa.binary()),
        [[b"a", b""], [], None, [b"b"], [b"c"], [b"d"]],
    ),
    (
        "moments",
        Array(UnixTimestamp),
        pa.list_(pa.timestamp("us", tz="UTC")),
        [[day(1)], [day(2), day(3)], None, [day(4)], [day(5)], [day(6)]],
    ),
    (
        "maps",
        Array(Map),
        pa.string(),
        ['[{"a": 1}]', None, "[]", '[{"b": "c"}]', '[{"a": 2}, {"a": 3}]', "[{}]"],
    ),
    ("jsons", Array(Json), pa.list_(pa.string()), [["{}", "1"], [], None, ['"a"'], ["[]"], ["2"]]),
    (
        "structs",
        Array(Struct({"a": Int64})),
        pa.list_(pa.struct({"a": pa.int64()})),
        [[{"a": 1}], [], None, [{"a": 2}, {"a": 3}], [{"a": 4}], [{"a": 5}]],
    ),
    (
        "uuids",
        Array(Uuid),
        pa.list_(pa.string()),
        [[UUIDS[0]], [UUIDS[1], UUIDS[2]], None, [UUIDS[3]], [], [UUIDS[4]]],
    ),
    (
        "time_uuids",
        Array(TimeUuid),
        pa.list_(pa.string()),
        [[UUIDS[0]], [], None, [UUIDS[3]], [], [UUIDS[4]]],
    ),
    (
        "decimals",
        Array(FeastDecimal),
        pa.list_(pa.decimal128(5, 1)),
        [[Decimal("1.5")], [], None, [Decimal(-2)], [], [Decimal(0)]],
    ),
    (
        "lists",
        Array(Array(Int64)),
        pa.list_(pa.list_(pa.int64())),
        [[[1, 2], [3]], [], None, [[4]], [[]], [[5], []]],
    ),
    ("int32_set", Set(Int32), pa.list_(pa.int32()), [[3, 3, 1], [], None, [7], [0], [5]]),
    ("int64_set", Set(Int64), pa.list_(pa.int64()), [[3, 3, 1], [], None, [2**40], [0], [5]]),
    ("float_set", Set(Float32), pa.list_(pa.float32()), [[0.5, 0.5], [], None, [1.5], [0], [5]]),
    ("double_set", Set(Float64), pa.list_(pa.float64()), [[0.1, 0.1], [], None, [1e300], [0], [5]]),
    (
        "string_set",
        Set(String),
        pa.list_(pa.string()),
        [["a", "a"], [], None, ["b", "c"], ["d"], ["e"]],
    ),
    ("bytes_set", Set(Bytes), pa.list_(pa.binary()), [[b"a"], [], None, [b"b"], [b"c"], [b"d"]]),
    (
        "bool_set",
        Set(Bool),
        pa.list_(pa.bool_()),
        [[True, True], [], None, [False], [True], [True]],
    ),
    (
        "moment_set",
        Set(UnixTimestamp),
        pa.list_(pa.timestamp("us", tz="UTC")),
        [[day(1)], [day(2), day(2)], None, [day(4)], [day(5)], [day(6)]],
    ),
    (
        "uuid_set",
        Set(Uuid),
        pa.list_(pa.string()),
        [[UUIDS[0]], [], None, [UUIDS[3]], [], [UUIDS[4]]],
    ),
    (
        "time_uuid_set",
        Set(TimeUuid),
        pa.list_(pa.string()),
        [[UUIDS[0]], [], None, [UUIDS[3]], [], [UUIDS[4]]],
    ),
    (
        "decimal_set",
        Set(FeastDecimal),
        pa.list_(pa.decimal128(5, 1)),
        [[Decimal("1.5")], [], None, [Decimal(-2)], [], [Decimal(0)]],
    ),
    (
        "sets",
        Set(Array(String)),
        pa.list_(pa.list_(pa.string())),
        [[["a"], ["b"]], [], None, [["c"]], [[]], [["d"], []]],
    ),
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


def _ours(repo: SampleRepo, path: str = "fast") -> FeatureStore:
    store = _apply(repo)
    result = materialize_window(store, "wide", day(1), day(2))
    assert result.path == path
    return store


def _through_feast(repo: SampleRepo) -> FeatureStore:
    return _ours(
        replace(repo, online={"type": "worlds.unknown_stores.UnknownSqliteOnlineStore"}),
        "stock",
    )


WAYS = {"stock": _stock, "ours": _ours, "through Feast's interface": _through_feast}


def settled(value: bytes) -> bytes:
    """A stored value; maps in one order, since Protobuf writes theirs in any, stock's as well."""
    from feast.protos.feast.types.Value_pb2 import Value

    found = Value.FromString(value)
    kind = found.WhichOneof("val") or ""
    if "map" not in kind and "struct" not in kind:
        return value
    return bytes(found.SerializeToString(deterministic=True))


def settled_rows(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(key, name, settled(value), *others) for key, name, value, *others in rows]


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
        for name, write in WAYS.items():
            repo = SampleRepo(tmp_path / name)
            write(repo)
            with sqlite3.connect(repo.folder / "online.db") as connection:
                rows = connection.execute(f"SELECT {SQL_COLUMNS} FROM shop_wide ORDER BY 1, 2")
                stored.append(settled_rows(rows.fetchall()))
        assert len(stored[0]) == len(USERS) * len(FEATURES)
        assert stored[0] == stored[1]
        assert stored[0] == stored[2]
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
            stored.append(settled_rows(rows.fetchall()))
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
        stored.append(
            {
                key: {
                    name: value if name == b"_ts:wide" else settled(value)
                    for name, value in fields.items()
                }
                for key, fields in found.items()
            }
        )
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


# Feast's types for them say nothing, or take no value that a table can hold.
NOT_WRITTEN_BY_STOCK: dict[ValueType, tuple[Any, pa.Array] | None] = {
    ValueType.UNKNOWN: None,
    ValueType.NULL: None,
    ValueType.SCALAR_MAP: (
        ScalarMap,
        pa.array([[(1, "x")]], pa.map_(pa.int64(), pa.string())),
    ),
    ValueType.ZONED_TIMESTAMP: (
        ZonedTimestamp,
        pa.array([day(1)], pa.timestamp("us", tz="America/New_York")),
    ),
}


def test_every_value_type_is_compared_here_but_for_those_that_feast_cannot_write() -> None:
    compared = {kind.to_value_type() for _, kind, _, _ in FEATURES}
    assert compared | NOT_WRITTEN_BY_STOCK.keys() == set(ValueType)
    assert not compared & NOT_WRITTEN_BY_STOCK.keys()


def _one_column(repo: SampleRepo, kind: Any, column: pa.Array) -> FeatureStore:
    """The store with the view `one`, its feature `it` having the values of users 1, 2, ..."""
    count = len(column)
    times = pa.array([day(1)] * count, pa.timestamp("us", tz="UTC"))
    table = {"user_id": list(range(1, count + 1)), "event_timestamp": times, "created": times}
    pq.write_table(pa.table({**table, "it": column}), repo.folder / "stats.parquet")
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="one", entities=[user], schema=[Field(name="it", dtype=kind)], source=repo.source
    )
    store = repo.open()
    store.apply([user, repo.source, view])
    return store


def _answers(store: FeatureStore, count: int) -> list[Any]:
    rows = [{"user_id": user} for user in range(1, count + 1)]
    return list(store.get_online_features(["one:it"], rows).to_dict()["it"])


@pytest.mark.parametrize(
    ("kind", "column"),
    [each for each in NOT_WRITTEN_BY_STOCK.values() if each],
    ids=[kind.name for kind, each in NOT_WRITTEN_BY_STOCK.items() if each],
)
def test_what_is_not_compared_is_refused_by_stock_feast(
    tmp_path: Path, kind: Any, column: pa.Array
) -> None:
    with pytest.raises((TypeError, pa.ArrowInvalid), match=r"expects datetime|Could not convert"):
        _one_column(SampleRepo(tmp_path), kind, column).materialize(day(1), day(2))


# What stock Feast refuses, or loses; the same by our writer and through Feast's interface.
BETTER = {
    "a large integer beside a null": (Int64, pa.array([2**53 + 1, None]), [2**53 + 1, None]),
    "narrow floats": (Float64, pa.array([0.5, None], pa.float32()), [0.5, None]),
    "narrow integers": (Int64, pa.array([0, 1], pa.int8()), [0, 1]),
    "a list of integers for floats": (Array(Float32), pa.array([[1, 2], None]), [[1.0, 2.0], None]),
    "a null in a list of integers": (Array(Int64), pa.array([[1, None]]), [[1, 0]]),
    "a map": (
        Map,
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        [{"a": 1}, None],
    ),
    "a list of maps": (Array(Map), pa.array([[{"a": 1}], None]), [[{"a": 1}], None]),
    "an integer in a struct beside a null": (
        Struct({"a": Int64}),
        pa.array([{"a": 2**53 + 1}, None]),
        [{"a": 2**53 + 1}, None],
    ),
    "texts in a struct": (
        Struct({"b": Array(String)}),
        pa.array([{"b": ["x", "y"]}, None]),
        [{"b": ["x", "y"]}, None],
    ),
    "a map with whole keys": (
        ScalarMap,
        pa.array([[(1, "x")], None], pa.map_(pa.int64(), pa.string())),
        [{1: "x"}, None],
    ),
}


@pytest.mark.parametrize("store", ["sqlite", "worlds.unknown_stores.UnknownSqliteOnlineStore"])
@pytest.mark.parametrize(("kind", "column", "expected"), BETTER.values(), ids=BETTER)
def test_a_column_of_another_width_or_form_is_written(
    tmp_path: Path, store: str, kind: Any, column: pa.Array, expected: list[Any]
) -> None:
    repo = SampleRepo(tmp_path, online={"type": store})
    opened = _one_column(repo, kind, column)
    result = materialize_window(opened, "one", day(1), day(2))
    assert result.path == ("fast" if store == "sqlite" else "stock")
    assert _answers(opened, len(column)) == expected
