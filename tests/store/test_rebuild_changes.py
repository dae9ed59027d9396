"""`rebuild_online` when the source changed since an interrupted one."""

import pytest
from sample_repos import SampleRepo, day, row, served

from feature_platform.store.materialize import materialize_window
from feature_platform.store.rebuild import rebuild_online


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
