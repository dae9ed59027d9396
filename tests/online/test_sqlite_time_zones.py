"""The SQLite online store in a process whose clock changes within a window."""

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from worlds.sample_repos import SampleRepo, row, served

from feature_platform.materialize.materialize_window import materialize_window


@pytest.fixture(autouse=True)
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def _march(number: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 3, number, hour, minute, tzinfo=UTC)


def _october(number: int, hour: int = 0, minute: int = 0) -> datetime:
    month, number = (11, number - 31) if number > 31 else (10, number)
    return datetime(2026, month, number, hour, minute, tzinfo=UTC)


def test_a_value_just_after_a_window_with_a_clock_change_stays(repo: SampleRepo) -> None:
    repo.write(
        [row(1, _march(8, 12), 1.0), row(2, _march(9, 0, 29), 2.0), row(3, _march(9, 12), 3.0)]
    )
    store = repo.applied()
    materialize_window(store, "user_stats", _march(8), _march(10))
    assert served(store, 1, 2, 3) == [1.0, 2.0, 3.0]
    again = materialize_window(store, "user_stats", _march(8), _march(9))
    assert again.keys_vanished == 0
    assert served(store, 1, 2, 3) == [1.0, 2.0, 3.0]


def test_a_value_that_stock_feast_wrote_just_after_the_window_stays(repo: SampleRepo) -> None:
    repo.write([row(1, _march(8, 12), 1.0), row(2, _march(9, 0, 29), 2.0)])
    store = repo.applied()
    store.materialize(_march(8), _march(10), feature_views=["user_stats"])
    materialize_window(store, "user_stats", _march(8), _march(9))
    assert served(store, 1, 2) == [1.0, 2.0]


def test_a_value_at_the_end_of_a_window_where_clocks_go_back_can_vanish(repo: SampleRepo) -> None:
    repo.write([row(1, _october(32, 12), 1.0), row(2, _october(32, 23, 40), 2.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", _october(32), _october(33))
    repo.write([row(1, _october(32, 12), 1.0)])
    result = materialize_window(store, "user_stats", _october(32), _october(33))
    assert result.keys_vanished == 1
    assert served(store, 1, 2) == [1.0, None]


@pytest.mark.parametrize(
    ("moment", "end"), [((8, 2, 30), (8, 3)), ((8, 3, 30), (8, 4)), ((8, 3, 0), (8, 3, 15))]
)
def test_a_value_in_the_hour_that_reads_twice_vanishes_from_its_own_window_only(
    repo: SampleRepo, moment: tuple[int, ...], end: tuple[int, ...]
) -> None:
    repo.write([row(1, _march(*moment), 1.0), row(2, _march(12), 2.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", _march(7), _march(13))
    repo.write([row(2, _march(12), 2.0)])
    materialize_window(store, "user_stats", _march(7), _march(*moment))
    assert served(store, 1) == [1.0]
    materialize_window(store, "user_stats", _march(*end), _march(13))
    assert served(store, 1) == [1.0]
    materialize_window(store, "user_stats", _march(*moment), _march(*end))
    assert served(store, 1, 2) == [None, 2.0]


def test_a_later_value_in_the_hour_that_reads_twice_wins(repo: SampleRepo) -> None:
    repo.write([row(1, _march(8, 2, 50), 1.0), row(1, _march(8, 3, 10), 2.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", _march(8, 2), _march(8, 3))
    materialize_window(store, "user_stats", _march(8, 3), _march(8, 4))
    assert served(store, 1) == [2.0]
    materialize_window(store, "user_stats", _march(8, 2), _march(8, 3))
    assert served(store, 1) == [2.0]


def test_a_table_without_the_shift_keeps_values_just_after_the_window(repo: SampleRepo) -> None:
    repo.write([row(1, _march(8, 12), 1.0), row(2, _march(9, 0, 29), 2.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", _march(8), _march(10))
    with sqlite3.connect(repo.folder / "online.db") as connection:
        connection.execute("UPDATE shop_user_stats SET event_shift = NULL")
    connection.close()
    store = repo.open()
    materialize_window(store, "user_stats", _march(8), _march(9))
    assert served(store, 1, 2) == [1.0, 2.0]
