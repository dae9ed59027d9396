"""The windows of a feature view that should be online by now."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import dagster as dg
from dagster._utils.schedules import reverse_cron_string_iterator

from feature_platform.core.durations import in_words
from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.cadence import cron_of
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.repo.cadences import Cadence


def horizon(view: FeatureViewData, now: datetime, lookback: timedelta) -> datetime:
    """The moment before which rows are not served any more."""
    ttl: timedelta | None = getattr(view.obj, "ttl", None)
    return now - (ttl or lookback)


def due_windows(
    view: FeatureViewData, now: datetime, *, grace: timedelta, lookback: timedelta
) -> Mapping[str, Window]:
    """The windows that the view's schedule has passed and whose rows can be served.

    A window is due `grace` after its tick; `lookback` replaces the TTL of views without one.

    Returns:
        Partition key to window, oldest first.
    """
    tick = _last_tick(cron_of(view.settings), now - grace)
    start = horizon(view, now, lookback)
    length = view.settings.length.total_seconds()
    # Rounded to whole partitions, so that the cache below hits.
    first = datetime.fromtimestamp(start.timestamp() // length * length, UTC)
    return _windows(view.partitions, first, tick)


def why_not_due(
    view: FeatureViewData, window: Window, now: datetime, *, grace: timedelta, lookback: timedelta
) -> str:
    """Why nobody has to put a window online; empty for those of `due_windows`."""
    if window.end > _last_tick(cron_of(view.settings), now - grace):
        return "its run is not due yet"
    if window in due_windows(view, now, grace=grace, lookback=lookback).values():
        return ""
    ttl: timedelta | None = getattr(view.obj, "ttl", None)
    if ttl:
        return f"older than the TTL of {in_words(ttl)}, so that none of its rows would be served"
    return f"older than automation looks back, which is {in_words(lookback)}"


def cadence_of(view: FeatureViewData) -> Cadence:
    """Length of the view's partitions."""
    return view.settings.partitions


@lru_cache(maxsize=64)
def _windows(
    partitions: dg.TimeWindowPartitionsDefinition, start: datetime, end: datetime
) -> Mapping[str, Window]:
    if end <= start:
        return {}
    found = partitions_within(partitions, Window(start, end))
    return {key: window for key, window in found.items() if window.end <= end}


def _last_tick(cron: str, moment: datetime) -> datetime:
    return next(reverse_cron_string_iterator(moment.timestamp(), cron, "UTC")).astimezone(UTC)
