"""Seasons of windows: Mondays are compared with Mondays, holidays with holidays."""

from collections.abc import Mapping
from datetime import date, datetime

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def season_of(moment: datetime | date, holidays: Mapping[date, str] | None = None) -> str:
    """The season of the window that starts at `moment`: its weekday, or the holiday it falls on.

    Args:
        moment: Start of the window.
        holidays: Names by date; the same name in two years is the same season.
    """
    day = moment.date() if isinstance(moment, datetime) else moment
    if holidays and day in holidays:
        return holidays[day]
    return WEEKDAYS[day.weekday()]
