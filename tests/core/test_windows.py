"""Windows and sets of them, against a brute-force reading of them as sets of hours."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_platform.core.windows import Window, covers, merge, missing
from feature_platform.errors import WindowError

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 30


def hour(number: int) -> datetime:
    return BEGIN + timedelta(hours=number)


windows = st.lists(
    st.tuples(st.integers(0, HOURS), st.integers(1, 8)).map(
        lambda ends: Window(hour(ends[0]), hour(ends[0] + ends[1]))
    ),
    max_size=8,
)


def hours_of(some: list[Window]) -> set[int]:
    return {n for n in range(HOURS + 10) for window in some if hour(n) in window}


@given(windows)
def test_merging_keeps_the_moments_and_leaves_no_two_that_touch(some: list[Window]) -> None:
    merged = merge(some)
    assert hours_of(merged) == hours_of(some)
    assert all(left.end < right.start for left, right in pairwise(merged))
    assert merge(merged) == merged


@given(windows, windows)
def test_what_is_missing_is_the_difference(wanted: list[Window], present: list[Window]) -> None:
    gaps = missing(wanted, present)
    assert hours_of(gaps) == hours_of(wanted) - hours_of(present)
    assert gaps == merge(gaps)


@given(windows, windows)
def test_windows_cover_a_window_when_none_of_it_is_missing(
    present: list[Window], asked: list[Window]
) -> None:
    for window in asked:
        assert covers(present, window) == (hours_of([window]) <= hours_of(present))


@given(windows)
def test_two_windows_share_what_their_moments_share(some: list[Window]) -> None:
    for left in some:
        for right in some:
            shared = left.intersection(right)
            assert left.overlaps(right) == (shared is not None)
            expected = hours_of([left]) & hours_of([right])
            assert hours_of([shared] if shared else []) == expected


def test_touching_windows_share_nothing_and_merge() -> None:
    left, right = Window(hour(0), hour(1)), Window(hour(1), hour(2))
    assert left.intersection(right) is None
    assert merge([right, left]) == [Window(hour(0), hour(2))]


def test_the_end_is_outside() -> None:
    assert hour(0) in Window(hour(0), hour(1))
    assert hour(1) not in Window(hour(0), hour(1))


def test_a_window_is_kept_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    window = Window(datetime(2026, 1, 1, 1, tzinfo=berlin), datetime(2026, 1, 1, 2, tzinfo=berlin))
    assert window == Window(hour(0), hour(1))
    assert window.start.tzinfo is UTC


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (hour(1), hour(1), "not after"),
        (hour(2), hour(1), "not after"),
        (hour(1).replace(tzinfo=None), hour(2), "no time zone"),
        (hour(1), hour(2).replace(tzinfo=None), "no time zone"),
    ],
)
def test_what_is_no_window_is_refused(start: datetime, end: datetime, problem: str) -> None:
    with pytest.raises(WindowError, match=problem):
        Window(start, end)


def test_a_window_reads_as_days_or_as_moments() -> None:
    assert str(Window(hour(0), hour(24))) == "2026-01-01..2026-01-02"
    assert str(Window(hour(0), hour(1))) == "2026-01-01..2026-01-01T01:00:00Z"
