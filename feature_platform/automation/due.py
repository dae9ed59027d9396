"""Which windows of a view should be online by now, and how old its newest row may be."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise

import dagster as dg
from dagster._utils.schedules import cron_string_iterator, reverse_cron_string_iterator

from feature_platform.assets.windows import partitions_within
from feature_platform.automation.schedules import DEFAULT_CRON
from feature_platform.store.view_settings import Cadence
from feature_platform.store.windows import Window
from feature_platform.translator import FeastTranslatorData

LENGTH: Mapping[Cadence, timedelta] = {"daily": timedelta(days=1), "hourly": timedelta(hours=1)}
# Ticks looked at for the longest time between two of them.
_TICKS = 60


def horizon(view: FeastTranslatorData, now: datetime, lookback: timedelta) -> datetime:
    """Rows from before this moment are not served any more."""
    ttl: timedelta | None = getattr(view.obj, "ttl", None)
    return now - (ttl or lookback)


def due_windows(
    view: FeastTranslatorData, now: datetime, *, grace: timedelta, lookback: timedelta
) -> Mapping[str, Window]:
    """The windows that the view's schedule has come past and whose rows can be served.

    Args:
        view: A view that can be materialized.
        now: The moment.
        grace: How long after its tick a window is due.
        lookback: How far back where the view has no TTL.

    Returns:
        Partition key to window, oldest first.
    """
    assert view.partitions is not None  # noqa: S101 - the caller passes views that materialize
    tick = _last_tick(cron_of(view), now - grace)
    start = horizon(view, now, lookback)
    length = LENGTH[cadence_of(view)]
    # To whole partitions, so that what is computed once serves for a while.
    first = datetime.fromtimestamp(
        start.timestamp() // length.total_seconds() * length.total_seconds(), UTC
    )
    return _windows(view.partitions, first, tick)


def promise(view: FeastTranslatorData) -> timedelta:
    """How old the newest row of a view may be: its tag, else twice its cadence.

    Where a cron of the view's own runs more seldom, the longest time between two of its ticks and
    the length of a partition.
    """
    assert view.settings is not None  # noqa: S101 - views always carry settings
    if view.settings.freshness:
        return view.settings.freshness
    return _longest_wait(cron_of(view)) + LENGTH[cadence_of(view)]


def cadence_of(view: FeastTranslatorData) -> Cadence:
    """Length of the view's partitions."""
    assert view.settings is not None  # noqa: S101 - views always carry settings
    return view.settings.partitions


def cron_of(view: FeastTranslatorData) -> str:
    """When the view's schedule ticks, UTC."""
    assert view.settings is not None  # noqa: S101 - views always carry settings
    return view.settings.cron or DEFAULT_CRON[view.settings.partitions]


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


@lru_cache(maxsize=256)
def _longest_wait(cron: str) -> timedelta:
    began = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    ticks = islice(cron_string_iterator(began, cron, "UTC"), _TICKS)
    return max(later - earlier for earlier, later in pairwise(ticks))
