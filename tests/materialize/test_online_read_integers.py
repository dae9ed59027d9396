"""`compare_online` on integers that no float holds."""

from typing import Any

from worlds.sample_repos import SampleRepo, row
from worlds.times import day

from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online

BIG = 2**53 + 1
# Many rows, so that nulls and large numbers meet in one batch whatever the order of keys.
USERS = range(60)


def _rows(number: int) -> list[dict[str, Any]]:
    return [
        row(user, day(1, 1), visits=None if user % 2 else number * (1 - user % 4)) for user in USERS
    ]


def test_large_integers_beside_nulls_are_served_as_the_source_has_them(repo: SampleRepo) -> None:
    repo.write(_rows(BIG))
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    result = compare_online(store, "user_stats")
    assert result.keys_compared == len(USERS)
    assert result.mismatches == ()


def test_large_integers_that_are_off_by_one_are_found(repo: SampleRepo) -> None:
    repo.write(_rows(BIG - 1))
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write(_rows(BIG))
    found = compare_online(store, "user_stats").mismatches
    assert len(found) == len(USERS) // 2
    assert {abs(each.offline) - abs(each.online) for each in found} == {1}
