"""`rebuild_online`: from an empty online store to what the registry says is online."""

import pytest
from worlds.sample_repos import SampleRepo, row, served
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.errors import RegistryError, WindowError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.materialize.rebuild_work import RebuildWork
from feature_platform.materialize.window_gate import OpenedSources, WindowGate
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import materialized_windows

ROWS = [row(user, day(number, user), number * 10 + user) for number in (1, 2, 4) for user in (1, 2)]


def _lost(repo: SampleRepo) -> None:
    for name in ("online.db", "online.db-wal", "online.db-shm"):
        (repo.folder / name).unlink(missing_ok=True)


def test_a_lost_online_store_comes_back_with_the_gap_still_a_gap(repo: SampleRepo) -> None:
    repo.write([*ROWS, row(3, day(3), 33.0), row(1, day(3), 31.0)])
    store = repo.applied()
    for number in (1, 2, 4):
        materialize_window(store, "user_stats", day(number), day(number + 1))
    _lost(repo)
    store = repo.applied()
    seen: list[tuple[int, int]] = []
    result = rebuild_online(store, "user_stats", progress=lambda *done: seen.append(done))
    assert served(store, 1, 2, 3) == [41.0, 42.0, None]
    assert (result.keys_written, seen[-1]) == (2, (result.parts, result.parts))
    assert list(result.windows) == [Window(day(1), day(3)), Window(day(4), day(5))]


def test_a_point_in_the_past_takes_back_what_came_after_it(repo: SampleRepo) -> None:
    repo.write([*ROWS, row(3, day(4), 43.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(5))
    assert served(store, 1, 2, 3) == [41.0, 42.0, 43.0]
    result = rebuild_online(store, "user_stats", as_of=day(2, 1.5))
    assert served(store, 1, 2, 3) == [21.0, 12.0, None]
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(2, 1.5))]
    assert result.keys_deleted == 1
    materialize_window(store, "user_stats", day(2, 1.5), day(5))
    assert served(store, 1, 2, 3) == [41.0, 42.0, 43.0]


def test_a_naive_moment_is_refused(repo: SampleRepo) -> None:
    store = repo.applied()
    with pytest.raises(WindowError, match="no time zone"):
        rebuild_online(store, "user_stats", as_of=day(2).replace(tzinfo=None))


def test_an_interrupted_rebuild_goes_on_where_it_ended(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_platform.sources.latest_rows.KEYS_A_PART", 4)
    repo.write([row(user, day(1, 1), user) for user in range(20)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    _lost(repo)
    store = repo.applied()

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild_online(store, "user_stats", progress=stop)
    written: list[int] = []
    whole = RebuildWork.write_part

    def counted(self, part, governed):  # noqa: ANN001, ANN202 - as the original
        written.append(part[0])
        return whole(self, part, governed)

    monkeypatch.setattr(RebuildWork, "write_part", counted)
    result = rebuild_online(repo.open(), "user_stats")
    assert result.resumed_at == 2
    assert written == list(range(2, result.parts))
    assert served(store, *range(20)) == [float(user) for user in range(20)]


def test_the_gate_of_a_rebuild_has_the_view_to_itself_and_may_refuse(repo: SampleRepo) -> None:
    repo.write(ROWS)
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(3))
    _lost(repo)
    store = repo.applied()

    class Refusing(WindowGate):
        def require(self, opened: OpenedSources, span: Window) -> None:
            del opened, span
            with (
                pytest.raises(RegistryError, match="another process held its lock"),
                view_lock(repo.open(), "user_stats", timeout=0.05),
            ):
                pass
            raise PermissionError

    with pytest.raises(PermissionError):
        rebuild_online(store, "user_stats", as_of=day(2), gate=Refusing())
    assert served(store, 1, 2) == [None, None]
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(3))]
