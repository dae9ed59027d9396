"""`compare_online` on integers that no float holds."""

from sample_repos import SampleRepo, day, row

from feature_platform.store.materialize import materialize_window
from feature_platform.store.online_read import compare_online

BIG = 2**53 + 1


def test_large_integers_beside_a_null_are_served_as_the_source_has_them(repo: SampleRepo) -> None:
    repo.write(
        [row(user, day(1, 1), visits=visits) for user, visits in enumerate([None, BIG, 3, -BIG])]
    )
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    result = compare_online(store, "user_stats")
    assert result.keys_compared == 4
    assert result.mismatches == ()


def test_a_large_integer_that_is_off_by_one_is_found(repo: SampleRepo) -> None:
    repo.write([row(user, day(1, 1), visits=visits) for user, visits in enumerate([None, BIG])])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([row(user, day(1, 1), visits=visits) for user, visits in enumerate([None, BIG - 1])])
    (found,) = compare_online(store, "user_stats").mismatches
    assert (found.feature, found.online, found.offline) == ("visits", BIG, BIG - 1)
