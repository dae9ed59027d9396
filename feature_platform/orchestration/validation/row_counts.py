"""How many rows a window of a source should have, by similar windows before it.

A daily window is compared with those of the same weekday, an hourly one with those of the same
weekday and hour. Counts of events scatter like Poisson numbers, so fewer rows than usual fail only
if chance does not explain them. A table with one row per customer does not scatter, and gets no
such allowance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, pairwise
from statistics import median

from feature_platform.core.windows import Window

_DAYS = 56
# Windows of the same weekday needed for their median.
_WEEKS_NEEDED = 4
# With fewer, the minimum and maximum of these days are used, once they include each weekday.
_RECENT_DAYS = 14
_WEEK = 7
# So many other windows of the same weekday, all of them empty, make an empty one usual.
_EMPTY_NEEDED = 2
# Under a quarter of the usual count is too few, over four times as many are too many.
_FACTOR = 4.0
# Less probable counts are not explained by chance: once in ten years of hourly windows.
_CHANCE = 1e-5
# Counts scatter unless two of three are this close to that of the day before.
_CLOSE = 0.15
_MOSTLY = 2 / 3
_PAIRS_NEEDED = 6


@dataclass(frozen=True)
class UsualRows:
    """How many rows a window should have.

    Attributes:
        least: Fewer rows block the window.
        most: More rows warn; None if unknown.
        usual: The counts of similar windows, in a few words; empty if unknown.
    """

    least: int = 1
    most: int | None = None
    usual: str = ""


def earlier_windows(window: Window) -> list[Window]:
    """The windows a day, two days, ... up to eight weeks before; the newest first."""
    return [
        Window(window.start - each, window.end - each)
        for each in (timedelta(days=days) for days in range(1, _DAYS + 1))
    ]


def _of_its_weekday(window: Window) -> list[Window]:
    """The windows of the same weekday and hour, up to eight weeks before and after."""
    most = _DAYS // _WEEK
    weeks = [timedelta(weeks=week) for week in range(-most, most + 1) if week]
    return [Window(window.start + each, window.end + each) for each in weeks]


def usual_rows(
    window: Window, counts: Mapping[Window, int], min_rows: int | None = None
) -> UsualRows:
    """How many rows `window` should have.

    The median of the windows of its weekday is usual, if four of the last eight are known; else,
    if each weekday is known, the minimum and maximum of the last fourteen days. Under a quarter of
    it is too few unless chance explains it: the predictive distribution of a Poisson number after
    so many others (negative binomial, Jeffreys' prior) gives that few at least once in 100,000
    times. An empty window is too few unless half of those of its weekday were empty, or chance
    explains it.

    Args:
        window: The window.
        counts: Row counts of other windows, as far as known; later ones of the same run too.
        min_rows: Minimum number of rows, if the source's tag sets it.
    """
    by_day = {
        days: counts[each]
        for days, each in enumerate(earlier_windows(window), start=1)
        if each in counts
    }
    if window.end - window.start >= timedelta(days=1) and any(by_day.values()):
        # Days before the source's first row do not count.
        began = max(days for days, rows in by_day.items() if rows)
        by_day = {days: rows for days, rows in by_day.items() if days <= began}
    around = [counts[each] for each in _of_its_weekday(window) if each in counts]
    is_closed = len(around) >= _EMPTY_NEEDED and not any(around) and any(counts.values())
    if is_closed and min_rows is None:
        said = f"0, as in the {len(around)} windows of the same weekday around it"
        return UsualRows(0, usual=said)
    like = [rows for days, rows in by_day.items() if days % _WEEK == 0]
    recent = {days: rows for days, rows in by_day.items() if days <= _RECENT_DAYS}
    is_known_by_weekday = len(like) >= _WEEKS_NEEDED
    if is_known_by_weekday:
        low = high = middle = median(like)
        at = "weekday" if window.end - window.start >= timedelta(days=1) else "weekday and hour"
        usual = f"{middle:g}, the median of the {len(like)} windows of the same {at} before it"
    elif len({days % _WEEK for days in recent}) == _WEEK:
        like = list(recent.values())
        low, high, middle = min(like), max(like), median(like)
        usual = f"{low} to {high}, as in the {len(like)} days before it"
    else:
        return UsualRows(1 if min_rows is None else min_rows)
    if min_rows is not None:
        least = min_rows
    elif high == 0 and is_known_by_weekday:
        least = 0
    elif _scatters(by_day):
        # The minimum alone would let a single empty window excuse the next.
        never_empty = int(_chance_of(0, middle, len(like)) < _CHANCE)
        least = max(never_empty, _too_few_for_chance(low, len(like)))
    else:
        least = max(1, math.ceil(low / _FACTOR))
    return UsualRows(least, _most(high, len(like), least), usual)


def _too_few_for_chance(usual: float, windows: int) -> int:
    """A quarter of the usual count, or lower if Poisson noise explains it."""
    quarter = math.ceil(usual / _FACTOR)
    bounds = range(quarter, 0, -1)
    return next((n for n in bounds if _chance_of(n - 1, usual, windows) < _CHANCE), 0)


def _most(usual: float, windows: int, least: int) -> int | None:
    if usual == 0:  # mostly empty windows have no usual maximum
        return None
    bounds = count(math.floor(usual * _FACTOR))
    most = next(n for n in bounds if _chance_of(n, usual, windows) > 1 - _CHANCE)
    return max(most, least)


def _chance_of(rows: int, usual: float, windows: int) -> float:
    """Probability that a Poisson number is at most `rows`, after `windows` others near `usual`."""
    from scipy.special import betainc

    return float(betainc(usual * windows + 0.5, rows + 1, windows / (windows + 1)))


def _scatters(by_day: Mapping[int, int]) -> bool:
    """Whether counts vary from day to day like counts of events."""
    rows = [by_day[days] for days in sorted(by_day)]
    pairs = [pair for pair in pairwise(rows) if any(pair)]
    close = sum(abs(one - other) <= _CLOSE * max(one, other) for one, other in pairs)
    return len(pairs) >= _PAIRS_NEEDED and close < _MOSTLY * len(pairs)
