"""Moments, days and windows that tests are about: aware, in UTC."""

from datetime import UTC, datetime, timedelta

from feature_platform.core.windows import Window


def utc(*parts: int) -> datetime:
    """The moment of year, month, day and so on."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


JANUARY, MARCH = utc(2026, 1, 1), utc(2026, 3, 1)


def day(number: int, hour: float = 0) -> datetime:
    """A moment of January 2026: `day(1)` is its first midnight."""
    return JANUARY + timedelta(days=number - 1, hours=hour)


def march(number: float, hour: float = 0) -> datetime:
    """That many days after the first midnight of March 2026, as sample repos count them."""
    return MARCH + timedelta(days=number, hours=hour)


def midnight() -> datetime:
    """The one that has just been."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def window(start: datetime, days: float = 1) -> Window:
    """The day, or the days, from then on."""
    return Window(start, start + timedelta(days=days))


def calendar_day(*parts: int) -> Window:
    """The day of year, month and day."""
    return window(utc(*parts))


def key(moment: datetime) -> str:
    """The daily partition that begins then."""
    return f"{moment:%Y-%m-%d}"
