"""`rebuild_online` after crashes: of itself, and of materializations before it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from worlds.sample_repos import SampleRepo, online_config, row, served
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import view_layout
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.materialize.rebuild_work import RebuildWork
from feature_platform.registry.windows_on_record import load_view, materialized_windows

STORES = [
    "sqlite",
    pytest.param("redis", marks=pytest.mark.server),
    pytest.param("postgres", marks=pytest.mark.server),
]
OLD = [row(1, day(1, 1), 11.0), row(2, day(1, 2), 12.0)]
NEW = [row(1, day(2, 1), 21.0), row(3, day(2, 3), 23.0)]


class Killed(BaseException):
    """What ends a run in the middle."""


def killed(*_: Any) -> Any:
    raise Killed


@pytest.fixture(params=STORES)
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "repo", online_config(request.param, request))


def test_a_killed_return_to_a_moment_takes_back_all_that_came_after_it_when_run_again(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write([*OLD, *NEW])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(3))
    with monkeypatch.context() as patched:
        patched.setattr(RebuildWork, "write_part", killed)
        with pytest.raises(Killed):
            rebuild_online(store, "user_stats", as_of=day(2))
    rebuild_online(repo.open(), "user_stats", as_of=day(2))
    assert served(repo.open(), 1, 2, 3) == [11.0, 12.0, None]
    assert materialized_windows(repo.open(), "user_stats") == [Window(day(1), day(2))]


@pytest.mark.parametrize("as_of", [None, day(2)])
def test_what_a_killed_materialization_has_written_is_not_served_after_a_rebuild(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch, as_of: datetime | None
) -> None:
    repo.write([*OLD, *NEW])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    with monkeypatch.context() as patched:
        patched.setattr("feature_platform.materialize.materialize_window.record_window", killed)
        with pytest.raises(Killed):
            materialize_window(store, "user_stats", day(2), day(3))
    assert served(store, 1, 2, 3) == [21.0, 12.0, 23.0]
    rebuild_online(repo.open(), "user_stats", as_of=as_of)
    assert served(repo.open(), 1, 2, 3) == [11.0, 12.0, None]
    # What nobody needs to know any more would keep later windows from being written the fast way.
    with OnlineView(store, view_layout(load_view(store, "user_stats"))) as online:
        assert online.note("attempts") is None
    materialize_window(repo.open(), "user_stats", day(2), day(3))
    assert served(repo.open(), 1, 2, 3) == [21.0, 12.0, 23.0]


def test_a_rebuild_that_empties_first_goes_on_from_none_that_did_not(
    repo: SampleRepo,
) -> None:
    repo.write(OLD)
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write(OLD[:1])
    with pytest.raises(Killed):
        rebuild_online(store, "user_stats", progress=killed)
    result = rebuild_online(repo.open(), "user_stats", empty_first=True)
    assert served(repo.open(), 1, 2) == [11.0, None]
    assert (result.resumed_at, result.leaves_vanished) == (0, False)


def test_a_row_of_the_end_of_time_goes_with_all_others(repo: SampleRepo) -> None:
    repo.write(OLD)
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    never = datetime(9999, 12, 31, 12, tzinfo=UTC)
    frame = pd.DataFrame([row(4, day(1), 1.0)]).astype({"visits": "Int64", "city": "string"})
    frame["event_timestamp"] = pd.Series([never], dtype="datetime64[us, UTC]")
    store.write_to_online_store("user_stats", frame)
    assert served(store, 4) == [1.0]
    rebuild_online(store, "user_stats", empty_first=True)
    assert served(store, 1, 2, 4) == [11.0, 12.0, None]
