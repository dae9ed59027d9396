"""`rebuild_online` when the source, or what is online, changed since an interrupted one."""

from pathlib import Path

import pytest
from feast import FeatureView, Field
from feast.types import Float64
from worlds.sample_repos import SampleRepo, online_config, row, served
from worlds.times import day

from feature_platform.encoding.view_layout import view_layout
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.registry.windows_on_record import load_view

STORES = [
    "guarded_sqlite",
    *(pytest.param(kind, marks=pytest.mark.server) for kind in ("redis", "postgres")),
]


@pytest.fixture(params=STORES)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "repo", online_config(request.param, request))


def _killed_after_the_last_part(repo: SampleRepo) -> None:
    def stop(done: int, count: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild_online(repo.open(), "user_stats", progress=stop)


def test_values_changed_since_an_interrupted_rebuild_come_online(repo: SampleRepo) -> None:
    repo.write([row(user, day(1, 1), user) for user in (1, 2)])
    materialize_window(repo.applied(), "user_stats", day(1), day(2))
    _killed_after_the_last_part(repo)
    repo.write([row(user, day(1, 1), user * 100) for user in (1, 2)])
    result = rebuild_online(repo.open(), "user_stats")
    assert served(repo.open(), 1, 2) == [100.0, 200.0]
    assert (result.resumed_at, result.keys_written) == (0, 2)


def test_a_created_time_changed_since_an_interrupted_rebuild_decides_anew(
    repo: SampleRepo,
) -> None:
    repo.write(
        [
            row(1, day(1, 1), 10.0, created=day(1, 3)),
            row(1, day(1, 1), 20.0, created=day(1, 2)),
        ]
    )
    materialize_window(repo.applied(), "user_stats", day(1), day(2))
    _killed_after_the_last_part(repo)
    repo.write(
        [
            row(1, day(1, 1), 10.0, created=day(1, 3)),
            row(1, day(1, 1), 20.0, created=day(1, 4)),
        ]
    )
    rebuild_online(repo.open(), "user_stats")
    assert served(repo.open(), 1) == [20.0]


def test_event_times_changed_since_an_interrupted_rebuild_decide_anew(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 2), 10.0), row(1, day(1, 1), 20.0)])
    materialize_window(repo.applied(), "user_stats", day(1), day(2))
    _killed_after_the_last_part(repo)
    repo.write([row(1, day(1, 2), 10.0), row(1, day(1, 3), 20.0, created=day(1, 1))])
    rebuild_online(repo.open(), "user_stats")
    assert served(repo.open(), 1) == [20.0]


def test_an_interrupted_rebuild_of_the_same_source_goes_on(repo: SampleRepo) -> None:
    rows = [row(user, day(1, 1), user) for user in (1, 2)]
    repo.write(rows)
    materialize_window(repo.applied(), "user_stats", day(1), day(2))
    _killed_after_the_last_part(repo)
    repo.write(rows[::-1])
    result = rebuild_online(repo.open(), "user_stats")
    assert (result.resumed_at, result.keys_written) == (result.parts, 0)
    assert served(repo.open(), 1, 2) == [1.0, 2.0]


def _killed_after(repo: SampleRepo, part: int) -> None:
    def stop(done: int, _: int) -> None:
        if done == part:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild_online(repo.open(), "user_stats", progress=stop)


def test_what_is_emptied_by_hand_after_an_interrupted_rebuild_is_written_again(
    stored: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_platform.sources.latest_rows.KEYS_A_PART", 4)
    users = range(20)
    stored.write([row(user, day(1, 1), user) for user in users])
    store = stored.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    _killed_after(stored, 3)
    with OnlineView(store, view_layout(load_view(store, "user_stats"))) as online:
        online.delete_all()  # the rows, and not the note of what was done
    assert served(stored.open(), *users) == [None] * 20
    result = rebuild_online(stored.open(), "user_stats")
    assert served(stored.open(), *users) == [float(user) for user in users]
    assert (result.resumed_at, result.keys_written) == (0, 20)


def test_keys_that_have_left_the_source_are_taken_out(stored: SampleRepo) -> None:
    stored.write([row(1, day(1, 1), 11.0), row(2, day(1, 1), 12.0), row(2, day(2, 1), 22.0)])
    store = stored.applied()
    materialize_window(store, "user_stats", day(1), day(3))
    _killed_after_the_last_part(stored)
    stored.write([row(2, day(1, 1), 12.0)])
    result = rebuild_online(stored.open(), "user_stats")
    assert served(stored.open(), 1, 2) == [None, 12.0]
    assert (result.resumed_at, result.keys_deleted, result.leaves_vanished) == (0, 1, False)


def test_a_rebuild_does_not_go_on_after_what_was_materialized_since(repo: SampleRepo) -> None:
    first = [row(user, day(1, 1), user) for user in (1, 2)]
    repo.write(first)
    materialize_window(repo.applied(), "user_stats", day(1), day(2))
    _killed_after_the_last_part(repo)
    repo.write([row(user, day(1, 1), user * 100) for user in (1, 2)])
    materialize_window(repo.open(), "user_stats", day(1), day(2))
    repo.write(first)  # and back again, so that nothing but the note would tell
    result = rebuild_online(repo.open(), "user_stats")
    assert served(repo.open(), 1, 2) == [1.0, 2.0]
    assert result.resumed_at == 0


def test_a_rebuild_does_not_go_on_when_a_feature_has_another_type(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 1), 1.0, visits=3)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    _killed_after_the_last_part(repo)
    user, source, _ = repo.objects()
    fields = [Field(name="amount", dtype=Float64), Field(name="visits", dtype=Float64)]
    view = FeatureView(name="user_stats", entities=[user], schema=fields, source=source)
    store = repo.open()
    store.apply([user, source, view])
    assert rebuild_online(store, "user_stats").resumed_at == 0
    answer = repo.open().get_online_features(["user_stats:visits"], [{"user_id": 1}]).to_dict()
    assert answer["visits"] == [3.0]
    assert isinstance(answer["visits"][0], float)
