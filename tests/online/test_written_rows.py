"""Rows that Feast hands to a guarded store: their times are comparable, or nothing is written."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import FeatureStore
from feast.data_source import PushMode
from hypothesis import given
from hypothesis import strategies as st
from worlds.sample_repos import SampleRepo, online_config, row, served
from worlds.times import day

from feature_platform.core.future_tolerance import FUTURE_TOLERANCE, future_tolerance
from feature_platform.errors import OnlineStoreError, RepoError
from feature_platform.repo.view_settings import read_settings

KINDS = [
    "guarded_sqlite",
    pytest.param("guarded_redis", marks=pytest.mark.server),
    pytest.param("guarded_postgres", marks=pytest.mark.server),
]
NOTHING = [None, float("nan"), pd.NaT]


@pytest.fixture(params=KINDS)
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "repo", online=online_config(request.param, request))


@pytest.fixture(params=["push", "push_async"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _push(store: FeatureStore, how: str, *rows: dict[str, Any]) -> None:
    data = pd.DataFrame([{"visits": 1, "city": "x"} | each for each in rows])
    # As they come from JSON or from another column's dtype: of objects, or of times.
    data = data.astype({"event_timestamp": "datetime64[us, UTC]", "created": "datetime64[us, UTC]"})
    if how == "push":
        store.push("clicks", data, to=PushMode.ONLINE)
    else:
        asyncio.run(store.push_async("clicks", data, to=PushMode.ONLINE))


def _tagged(store: FeatureStore, tolerance: str) -> None:
    view = store.get_feature_view("pushed")
    view.tags = {"dagster/future_tolerance": tolerance}
    store.apply([view])


def _row(user: int, moment: Any, amount: float, **more: Any) -> dict[str, Any]:
    return row(user, moment, amount, **({"visits": 1, "city": "x"} | more))


@pytest.mark.parametrize("nothing", NOTHING, ids=["None", "NaN", "NaT"])
def test_a_null_created_time_is_none(repo: SampleRepo, how: str, nothing: Any) -> None:
    store = repo.pushed()
    _push(store, how, _row(1, day(1), 1.0, created=nothing), _row(2, day(1), 2.0, created=day(2)))
    assert served(store, 1, 2, view="pushed") == [1.0, 2.0]
    # It is less than any other.
    _push(store, how, _row(1, day(1), 1.5, created=day(1)), _row(2, day(1), 2.5, created=nothing))
    assert served(store, 1, 2, view="pushed") == [1.5, 2.0]


@pytest.mark.parametrize("nothing", NOTHING, ids=["None", "NaN", "NaT"])
def test_a_null_event_time_is_refused_by_name_and_nothing_is_written(
    repo: SampleRepo, how: str, nothing: Any
) -> None:
    store = repo.pushed()
    with pytest.raises(OnlineStoreError) as caught:
        _push(store, how, _row(1, day(1), 1.0), _row(2, nothing, 2.0, created=day(1)))
    assert str(caught.value) == (
        "feature view 'pushed': the row of key {'user_id': 2} has no event time (column "
        "'event_timestamp' is null); give each row the time at which its values became true; none "
        "of the rows was written"
    )
    assert not caught.value.is_transient
    assert served(store, 1, 2, view="pushed") == [None, None]


def test_an_event_time_far_in_the_future_is_refused_and_locks_no_key(
    repo: SampleRepo, how: str
) -> None:
    store = repo.pushed()
    now = datetime.now(UTC)
    with pytest.raises(OnlineStoreError) as caught:
        _push(store, how, _row(1, now, 1.0), _row(2, now + timedelta(days=365), 2.0))
    said = str(caught.value)
    assert said.startswith("feature view 'pushed': the row of key {'user_id': 2} has the event ")
    assert "in the future; 0:05:00 are allowed" in said
    assert "dagster/future_tolerance" in said
    assert served(store, 1, 2, view="pushed") == [None, None]
    _push(store, how, _row(2, now, 3.0))
    assert served(store, 2, view="pushed") == [3.0]


def test_a_clock_that_is_a_little_ahead_is_tolerated_and_a_tag_sets_how_much(
    repo: SampleRepo, how: str
) -> None:
    store = repo.pushed()
    now = datetime.now(UTC)
    _push(store, how, _row(1, now + timedelta(minutes=4), 1.0))
    _tagged(store, "2h")
    _push(store, how, _row(2, now + timedelta(hours=1), 2.0))
    assert served(store, 1, 2, view="pushed") == [1.0, 2.0]
    _tagged(store, "0s")
    with pytest.raises(OnlineStoreError, match="0:00:00 are allowed"):
        _push(store, how, _row(3, now + timedelta(hours=1), 3.0))


def test_a_store_with_vectors_refuses_such_rows_too(tmp_path: Path) -> None:
    online = online_config("guarded_sqlite", None) | {"vector_enabled": True}  # type: ignore[arg-type]
    store = SampleRepo(tmp_path / "repo", online=online).pushed()
    _push(store, "push", _row(1, day(1), 1.0, created=None))
    for bad in (None, datetime.now(UTC) + timedelta(days=365)):
        with pytest.raises(OnlineStoreError, match=r"of key .* has"):
            _push(store, "push", _row(1, bad, 2.0, created=day(1)))


def test_a_tolerance_is_read_from_the_tag_by_the_graph_and_the_store_alike() -> None:
    assert read_settings("v", {}).future_tolerance == FUTURE_TOLERANCE == timedelta(minutes=5)
    tags = {"dagster/future_tolerance": "10m"}
    assert read_settings("v", tags).future_tolerance == timedelta(minutes=10)
    assert future_tolerance("v", tags) == timedelta(minutes=10)


@given(st.text(max_size=8))
def test_a_tolerance_is_a_duration_or_an_error_that_says_how_to_write_one(text: str) -> None:
    try:
        found = future_tolerance("v", {"dagster/future_tolerance": text})
    except RepoError as error:
        assert str(error) == (  # noqa: PT017
            f"feature view 'v': tag 'dagster/future_tolerance' is '{text}'; "
            "use seconds, minutes, hours or days, such as 30s, 10m, 2h, 1d"
        )
    else:
        assert found >= timedelta()
