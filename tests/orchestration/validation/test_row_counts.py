"""How many rows a window should have: a simulated year, and a year with a fault in each window."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from feature_platform.core.windows import Window
from feature_platform.orchestration.validation.row_counts import usual_rows

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTH = timedelta(days=28)


def night_and_day(at: datetime) -> float:
    """Some rows an hour at night, many by day, fewer at weekends."""
    return (10 if at.hour < 7 else 400) * (0.5 if at.weekday() > 4 else 1)


def quiet_weekends(at: datetime) -> float:
    """A tenth of the rows on Saturdays and Sundays."""
    return 40 if at.weekday() > 4 else 400


def year(length: timedelta, usual: Callable[[datetime], float], seed: int = 7) -> dict[Window, int]:
    """The rows of each window of a year, scattered by chance."""
    random = np.random.default_rng(seed)
    starts = [MONDAY + number * length for number in range(int(timedelta(days=365) / length))]
    return {Window(each, each + length): int(random.poisson(usual(each))) for each in starts}


@pytest.mark.parametrize(
    ("length", "usual"),
    [pytest.param(HOUR, night_and_day, marks=pytest.mark.slow), (DAY, quiet_weekends)],
)
def test_a_year_of_ordinary_windows_has_no_alarm_and_a_window_loaded_in_part_is_refused(
    length: timedelta, usual: Callable[[datetime], float]
):
    counts = year(length, usual)
    blocked, told, unnoticed = [], [], []
    for window, rows in counts.items():
        bounds = usual_rows(window, counts)
        if rows < bounds.least:
            blocked.append((window, rows, bounds))
        if bounds.most is not None and rows > bounds.most:
            told.append((window, rows, bounds))
        # A tenth of a window by day, nothing of it by day: once there is something to go by.
        is_busy = usual(window.start) >= 100
        if is_busy and window.start >= MONDAY + MONTH and not rows // 10 < bounds.least:
            unnoticed.append((window, rows, bounds))
    assert blocked == []
    assert told == []
    assert unnoticed == []
    assert len(counts) in (365, 8760)


def last(
    rows: list[int] | Callable[[int], int], length: timedelta = DAY, weeks: int = 8
) -> tuple[Window, dict[Window, int]]:
    """A window, and the same hour of each day of the weeks before, the oldest first."""
    now = Window(MONDAY, MONDAY + length)
    days = range(weeks * 7, 0, -1)
    values = rows if isinstance(rows, list) else [rows(place) for place in range(len(days))]
    return now, {
        Window(now.start - days_before * DAY, now.end - days_before * DAY): count
        for days_before, count in zip(days, values, strict=True)
    }


@pytest.mark.parametrize(
    ("mean", "least"),
    [
        (3, 0),  # of 3 rows an hour, none are there in one hour of 20
        (9, 0),
        (40, 8),
        (400, 100),
    ],
)
def test_few_rows_of_many_events_are_chance_and_of_a_few_customers_they_are_not(
    mean: int, least: int
):
    random = np.random.default_rng(1)
    now, scattered = last(lambda _: int(random.poisson(mean)), HOUR)
    _, steady = last(lambda _: mean, HOUR)

    assert usual_rows(now, scattered).least == pytest.approx(least, abs=max(1, mean // 20))
    assert usual_rows(now, steady).least == max(1, -(-mean // 4))


def test_a_customer_more_or_less_makes_no_chance_of_it():
    now, counts = last(lambda place: 4 + place // 20)
    assert usual_rows(now, counts).least == 2


def test_an_empty_day_does_not_excuse_the_next():
    random = np.random.default_rng(1)
    now, counts = last(lambda place: 0 if place == 3 else int(random.poisson(200)), weeks=2)
    assert usual_rows(now, counts).least == 1


def test_a_backlog_of_one_day_changes_nothing():
    random = np.random.default_rng(1)
    values = [int(random.poisson(12)) for _ in range(56)]
    now, plain = last(values)
    spoilt: dict[Any, int] = {**plain, min(plain): 5000}
    assert abs(usual_rows(now, spoilt).least - usual_rows(now, plain).least) <= 1
    most, before = usual_rows(now, spoilt).most, usual_rows(now, plain).most
    assert most is not None
    assert before is not None
    assert most < 1.2 * before


def test_windows_of_other_hours_do_not_count():
    now, counts = last(lambda _: 10, HOUR)
    noise = {Window(each.start + HOUR, each.end + HOUR): 999 for each in counts}
    assert usual_rows(now, counts | noise) == usual_rows(now, counts)
    assert "same weekday and hour" in usual_rows(now, counts).usual


def test_empty_days_before_a_sources_first_row_do_not_excuse_an_outage():
    window, counts = last([0] * 36 + [1000] * 20)
    assert usual_rows(window, counts).least > 100
