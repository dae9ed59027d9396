"""The guarded classes answer reads as stock Feast does, field for field."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from worlds.local_servers import RedisServer
from worlds.sample_repos import SampleRepo, online_config, row
from worlds.times import day

from feature_platform.core.feast_protos import EntityKey, FieldStatus, Value
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.online.fast_read import stamp_of

KINDS = [
    "sqlite",
    pytest.param("redis", marks=pytest.mark.server),
    pytest.param("redis_cluster", marks=pytest.mark.server),
    pytest.param("postgres", marks=pytest.mark.server),
]


@pytest.fixture
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FeatureStore, FeatureStore]:
    """The same online store through Feast's class and through the guarded one."""
    online = online_config(request.param, request)
    guarded = online | {"type": online_config(f"guarded_{request.param}", request)["type"]}
    repo = SampleRepo(tmp_path / "repo", online=online, views=("user_stats", "other_stats"))
    repo.write(
        [
            row(1, day(1, 1), 1.5, visits=3, city="Köln"),
            row(2, day(1, 2), None, visits=-1, city=""),
            row(3, day(1, 3) + timedelta(microseconds=7), float("inf"), city="x" * 300),
        ]
    )
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    materialize_window(store, "other_stats", day(1), day(1, 2))
    repo.online = guarded
    repo.keep = True
    return store, repo.open()


@pytest.mark.parametrize("both", KINDS, indirect=True)
@pytest.mark.parametrize("full_names", [False, True])
@pytest.mark.parametrize("users", [[1, 2, 3], [3, 9, 1, 3, 3], [9]], ids=str)
def test_an_answer_is_the_same(
    both: tuple[FeatureStore, FeatureStore], users: list[int], *, full_names: bool
) -> None:
    features = ["user_stats:city", "user_stats:amount"]
    if full_names:
        features += ["other_stats:visits", "other_stats:city"]
    stock, ours = (
        store.get_online_features(
            features=features,
            entity_rows=[{"user_id": user} for user in users],
            full_feature_names=full_names,
        )
        for store in both
    )
    expected = _with_missing_ones(stock.proto)
    assert MessageToDict(ours.proto) == expected
    assert repr(ours.to_dict(include_event_timestamps=True)) == repr(
        stock.to_dict(include_event_timestamps=True)
    )
    again = asyncio.run(
        both[1].get_online_features_async(
            features=features,
            entity_rows=[{"user_id": user} for user in users],
            full_feature_names=full_names,
        )
    )
    assert MessageToDict(again.proto) == expected


def _with_missing_ones(answer: Any) -> dict[str, Any]:
    """Feast's answer with NOT_FOUND where no row is stored, which on Redis it calls present."""
    for vector in answer.results[1:]:  # the first is the join key
        for place, stamp in enumerate(vector.event_timestamps):
            if stamp == Timestamp():
                vector.statuses[place] = FieldStatus.NOT_FOUND
    found: dict[str, Any] = MessageToDict(answer)
    return found


@settings(deadline=None)
@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
@example(0)
@example(-1)
@example(1_000_000)
@example(999_999)
def test_a_moment_is_the_bytes_that_protobuf_makes_of_it(moment: int) -> None:
    second, micros = divmod(moment, 1_000_000)
    assert stamp_of(moment) == Timestamp(seconds=second, nanos=micros * 1000).SerializeToString()


GUARDED = [
    "guarded_sqlite",
    pytest.param("guarded_redis", marks=pytest.mark.server),
    pytest.param("guarded_redis_cluster", marks=pytest.mark.server),
    pytest.param("guarded_postgres", marks=pytest.mark.server),
    pytest.param("dynamodb", marks=pytest.mark.server),
]


@pytest.mark.parametrize("kind", GUARDED)
def test_a_store_that_was_emptied_has_found_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = SampleRepo(tmp_path / "repo", online=online_config(kind, request))
    repo.write([row(1, day(1), 1.0, visits=1)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    view, online = store.get_feature_view("user_stats"), store._get_provider().online_store
    features = ["user_stats:amount", "user_stats:visits"]
    asked = {"features": features, "entity_rows": [{"user_id": 1}, {"user_id": 2}]}

    def statuses(answer: Any) -> list[list[Any]]:
        return [list(vector.statuses) for vector in answer.proto.results[1:]]

    present, not_found = FieldStatus.PRESENT, FieldStatus.NOT_FOUND
    assert statuses(store.get_online_features(**asked)) == [[present, not_found]] * 2
    online.update(store.config, [view], [], [], [], partial=False)
    online.update(store.config, [], [view], [], [], partial=False)
    assert statuses(store.get_online_features(**asked)) == [[not_found] * 2] * 2
    if kind != "dynamodb":  # Feast's own class, which needs a package for that
        answer = asyncio.run(store.get_online_features_async(**asked))
        assert statuses(answer) == [[not_found] * 2] * 2
    key = EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=1)])
    assert online.online_read(store.config, view, [key], ["amount"]) == [(None, None)]


@pytest.mark.server
def test_what_is_left_of_a_key_without_its_time_is_not_found(
    redis_server: RedisServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = SampleRepo(tmp_path / "repo", online=online_config("guarded_redis", request))
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    client = redis_server.client()
    (key,) = client.keys(b"*shop")
    client.hdel(key, "_ts:user_stats")
    asked = {"features": ["user_stats:amount"], "entity_rows": [{"user_id": 1}]}
    for answer in (
        store.get_online_features(**asked),
        asyncio.run(store.get_online_features_async(**asked)),
    ):
        assert [list(vector.statuses) for vector in answer.proto.results[1:]] == [
            [FieldStatus.NOT_FOUND]
        ]
        assert answer.to_dict()["amount"] == [None]


@pytest.mark.server
def test_a_feature_that_was_added_since_is_not_found(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = SampleRepo(tmp_path / "repo", online=online_config("guarded_redis", request))
    repo.write([row(1, day(1), 1.0, visits=1)])
    store = repo.applied()
    view = store.get_feature_view("user_stats")
    full, view.features = (
        list(view.features),
        [each for each in view.features if each.name == "amount"],
    )
    store.apply([view])
    materialize_window(store, "user_stats", day(1), day(2))
    view.features = full
    store.apply([view])
    answer = store.get_online_features(
        features=["user_stats:amount", "user_stats:visits"], entity_rows=[{"user_id": 1}]
    )
    names = answer.proto.metadata.feature_names.val
    statuses = [list(vector.statuses) for vector in answer.proto.results]
    assert dict(zip(names, statuses, strict=True)) == {
        "user_id": [FieldStatus.PRESENT],
        "amount": [FieldStatus.PRESENT],
        "visits": [FieldStatus.NOT_FOUND],
    }


@pytest.mark.parametrize("kind", [each for each in GUARDED if each != GUARDED[-1]])
def test_both_ways_of_reading_make_no_object_for_each_value(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = SampleRepo(tmp_path / "repo", online=online_config(kind, request))
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))

    def as_feast_does(*_arguments: Any, **_more: Any) -> None:
        pytest.fail("the values were read as Feast reads them")

    monkeypatch.setattr("feast.utils._populate_response_from_feature_data", as_feast_does)
    asked = {"features": ["user_stats:amount"], "entity_rows": [{"user_id": 1}]}
    for _ in range(2):  # each in an event loop of its own
        answer = asyncio.run(store.get_online_features_async(**asked))
        assert answer.to_dict()["amount"] == [1.0]
    assert store.get_online_features(**asked).to_dict()["amount"] == [1.0]
