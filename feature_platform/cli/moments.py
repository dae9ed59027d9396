"""Parse times as people type them."""

from datetime import UTC, datetime

from feature_platform.core.windows import Window
from feature_platform.errors import WindowError

# Dagster's partitions and the stores' times begin here.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def parse_window(start: str, end: str) -> Window:
    """The half-open window between two moments; UTC unless they name a zone.

    Raises:
        WindowError: One is not a moment, or the end is not after the start or in the future.
    """
    window = Window(parse_moment("start", start), parse_moment("end", end))
    now = datetime.now(UTC)
    if window.end > now:
        raise WindowError(
            f"window {window}",
            f"its end is in the future (now is {now.isoformat(timespec='seconds')})",
            "choose an end that has passed",
        )
    return window


def parse_moment(name: str, text: str) -> datetime:
    """One moment; UTC unless it names a zone.

    Args:
        name: What the error calls it.
        text: An ISO date or time.

    Raises:
        WindowError: It is not a moment, or before 1970.
    """
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = _EARLIEST
    if moment <= _EARLIEST:
        raise WindowError(
            f"{name} '{text}'",
            "is not a moment",
            "write 2026-03-01, or 2026-03-01T06:00, or with a zone 2026-03-01T06:00+09:00",
        )
    return moment
