"""The guarded classes answer reads as stock Feast does, field for field."""

from datetime import timedelta
from pathlib import Path

import pytest
from feast import FeatureStore
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from worlds.sample_repos import SampleRepo, online_config, row
from worlds.times import day

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
    assert MessageToDict(ours.proto) == MessageToDict(stock.proto)
    assert repr(ours.to_dict(include_event_timestamps=True)) == repr(
        stock.to_dict(include_event_timestamps=True)
    )


@settings(deadline=None)
@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
@example(0)
@example(-1)
@example(1_000_000)
@example(999_999)
def test_a_moment_is_the_bytes_that_protobuf_makes_of_it(moment: int) -> None:
    second, micros = divmod(moment, 1_000_000)
    assert stamp_of(moment) == Timestamp(seconds=second, nanos=micros * 1000).SerializeToString()
