"""How old what a view serves may be follows from when its windows come."""

from datetime import timedelta
from typing import get_args

import pytest

from feature_platform.orchestration.graph.cadence import promise
from feature_platform.orchestration.graph.partitions import (
    cadence_of_partitions,
    partitions_of,
    window_of,
)
from feature_platform.repo.cadences import CADENCES, Cadence, shortest_first
from feature_platform.repo.view_settings import read_settings


def test_a_cadence_is_one_entry_that_dagsters_partitions_follow():
    assert set(get_args(Cadence)) == set(CADENCES)
    for cadence, facts in CADENCES.items():
        partitions = partitions_of(cadence, "2026-03-01")
        assert cadence_of_partitions(partitions) == cadence
        window = window_of(partitions, partitions.get_first_partition_key() or "")
        assert window.end - window.start == facts.length
    assert shortest_first() == ["hourly", "daily"]


@pytest.mark.parametrize(
    ("tags", "hours"),
    [
        ({}, 48),
        ({"partitions": "hourly"}, 2),
        ({"cron": "0 * * * *"}, 48),  # more often than there are windows
        ({"cron": "0 6 * * 1"}, 8 * 24),
        ({"cron": "0 6 1 * *"}, 32 * 24),
        ({"cron": "@weekly"}, 8 * 24),
        ({"partitions": "hourly", "cron": "*/5 9-17 * * *"}, 15 + 5 / 60 + 1),
        ({"partitions": "hourly", "cron": "*/30 * * * 1-5"}, 48.5 + 1),
        ({"cron": "0 6,18 * * 1,3"}, 4 * 24 + 12 + 24),
        ({"freshness": "26h"}, 26),
    ],
    ids=str,
)
def test_it_is_twice_the_cadence_or_the_longest_wait_and_a_window(
    tags: dict[str, str], hours: float
):
    settings = read_settings("v", {f"dagster/{name}": value for name, value in tags.items()})
    assert promise(settings) == timedelta(hours=hours)
