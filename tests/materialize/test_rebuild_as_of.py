"""`rebuild_online` to a moment, on stores that name their keys node by node, or not at all."""

from pathlib import Path

import pytest
from worlds.sample_repos import SampleRepo, online_config, row, served
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.registry.windows_on_record import materialized_windows

pytestmark = pytest.mark.server
USERS = range(12)
# Every third user comes on the second day only, the others on both.
ROWS = [
    row(user, day(number, user), number * 100 + user)
    for number in (1, 2)
    for user in USERS
    if number == 2 or user % 3
]
FIRST = [100.0 + user if user % 3 else None for user in USERS]
SECOND = [200.0 + user for user in USERS]


def _materialized(kind: str, folder: Path, request: pytest.FixtureRequest) -> SampleRepo:
    repo = SampleRepo(folder / "repo", online_config(kind, request), views=("user_stats", "other"))
    repo.write(ROWS)
    store = repo.applied()
    for view in repo.views:
        materialize_window(store, view, day(1), day(3))
    return repo


@pytest.mark.parametrize("kind", ["redis_cluster", "guarded_redis_cluster"])
def test_every_node_goes_back_to_the_moment(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = _materialized(kind, tmp_path, request)
    result = rebuild_online(repo.open(), "user_stats", as_of=day(2))
    assert (result.keys_written, result.keys_deleted, result.leaves_vanished) == (8, 4, False)
    store = repo.open()
    assert served(store, *USERS) == FIRST
    assert served(store, *USERS, view="other") == SECOND
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(2))]
    materialize_window(store, "user_stats", day(2), day(3))
    assert served(store, *USERS) == SECOND


def test_where_keys_cannot_be_named_those_of_later_stay_and_it_is_said(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = _materialized("dynamodb", tmp_path, request)
    result = rebuild_online(repo.open(), "user_stats", as_of=day(2))
    assert (result.keys_written, result.leaves_vanished) == (8, True)
    store = repo.open()
    went_back = [FIRST[user] or SECOND[user] for user in USERS]
    assert served(store, *USERS) == went_back
    assert compare_online(store, "user_stats").mismatches == ()
    materialize_window(store, "user_stats", day(2), day(3))
    assert served(store, *USERS) == SECOND


def test_where_keys_cannot_be_named_a_view_goes_back_when_it_is_emptied_first(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = _materialized("dynamodb", tmp_path, request)
    result = rebuild_online(repo.open(), "user_stats", as_of=day(2), empty_first=True)
    assert (result.keys_written, result.leaves_vanished) == (8, False)
    store = repo.open()
    assert served(store, *USERS) == FIRST
    assert served(store, *USERS, view="other") == SECOND
    materialize_window(store, "user_stats", day(2), day(3))
    assert served(store, *USERS) == SECOND
