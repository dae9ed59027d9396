"""Partitions and their windows of event time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.repo.cadences import CADENCES, Cadence

_KEY = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def partitions_of(cadence: Cadence, start_date: str) -> dg.TimeWindowPartitionsDefinition:
    """Dagster's partitions of a cadence.

    Args:
        cadence: Their length.
        start_date: First day, ``YYYY-MM-DD``, UTC.
    """
    start = datetime.fromisoformat(start_date).replace(tzinfo=UTC)
    definition = getattr(dg, CADENCES[cadence].definition)(start_date=start)
    assert isinstance(definition, dg.TimeWindowPartitionsDefinition)  # noqa: S101 - all of them are
    return definition


def cadence_of_partitions(partitions: dg.TimeWindowPartitionsDefinition) -> Cadence:
    """The cadence that `partitions_of` made them of."""
    name = type(partitions).__name__
    return next(each for each, facts in CADENCES.items() if facts.definition == name)


def window_of(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> Window:
    """The half-open window of one partition."""
    times = partitions.time_window_for_partition_key(key)
    return Window(times.start, times.end)


def partition_range(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """First and last partition key of a run, from its tags; None without partitions."""
    first, last = tags.get(RANGE_START, tags.get(_KEY)), tags.get(RANGE_END, tags.get(_KEY))
    return None if first is None or last is None else (first, last)


def run_windows(
    tags: Mapping[str, str], partitions: dg.TimeWindowPartitionsDefinition
) -> dict[str, Window]:
    """Partition key to window, oldest first, from the tags of a run of one partition or a range."""
    if RANGE_START in tags:
        keys = partitions.get_partition_keys_in_range(
            dg.PartitionKeyRange(tags[RANGE_START], tags[RANGE_END])
        )
    else:
        keys = [tags[_KEY]]
    return {key: window_of(partitions, key) for key in keys}


def partitions_within(
    partitions: dg.TimeWindowPartitionsDefinition, window: Window
) -> dict[str, Window]:
    """The partitions that overlap `window`, oldest first."""
    moments = (window.start, window.end - timedelta(microseconds=1))
    first, last = (
        window_of(partitions, partitions.get_partition_key_for_timestamp(moment.timestamp()))
        for moment in moments
    )
    keys = partitions.get_partition_keys_in_time_window(dg.TimeWindow(first.start, last.end))
    found = {key: window_of(partitions, key) for key in keys}
    return {key: each for key, each in found.items() if each.start >= partitions.start}
