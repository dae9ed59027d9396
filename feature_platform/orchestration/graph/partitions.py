"""Partitions and their windows of event time."""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from feature_platform.core.windows import Window

_KEY = "dagster/partition"
_START = "dagster/asset_partition_range_start"
_END = "dagster/asset_partition_range_end"


def window_of(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> Window:
    """The half-open window of one partition."""
    times = partitions.time_window_for_partition_key(key)
    return Window(times.start, times.end)


def run_windows(
    tags: Mapping[str, str], partitions: dg.TimeWindowPartitionsDefinition
) -> dict[str, Window]:
    """Partition key to window, oldest first, from the tags of a run."""
    if _START in tags:
        keys = partitions.get_partition_keys_in_range(
            dg.PartitionKeyRange(tags[_START], tags[_END])
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
