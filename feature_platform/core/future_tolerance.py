"""How far ahead of the clock an event time may be: a row beyond it would lock its key for ever."""

from collections.abc import Mapping
from datetime import timedelta

from feature_platform.core.durations import read_duration
from feature_platform.errors import RepoError

FUTURE_TOLERANCE = timedelta(minutes=5)
"""The default: more than two clocks that are kept right differ by."""
FUTURE_TOLERANCE_TAG = "dagster/future_tolerance"
"""The tag of a feature view that sets another."""


def future_tolerance(view: str, tags: Mapping[str, str] | None) -> timedelta:
    """How far ahead of now the event times of a feature view may be.

    Args:
        view: Its name.
        tags: Its Feast tags.

    Raises:
        RepoError: The tag is there, and is no duration.
    """
    text = (tags or {}).get(FUTURE_TOLERANCE_TAG)
    if text is None:
        return FUTURE_TOLERANCE
    tolerance = read_duration(text)
    if tolerance is None:
        raise RepoError(
            f"feature view '{view}'",
            f"tag '{FUTURE_TOLERANCE_TAG}' is '{text}'",
            "use seconds, minutes, hours or days, such as 30s, 10m, 2h, 1d",
        )
    return tolerance
