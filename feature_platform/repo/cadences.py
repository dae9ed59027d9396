"""The cadences of feature views: a new one is an entry here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Cadence = Literal["daily", "hourly"]


@dataclass(frozen=True)
class Partitioning:
    """What follows from a cadence.

    Attributes:
        length: Length of a partition.
        unit: The word for a partition in sentences.
        cron: When the newest complete partition is materialized by default, in UTC.
        definition: Name of Dagster's class of partitions.
    """

    length: timedelta
    unit: str
    cron: str
    definition: str


CADENCES: Mapping[Cadence, Partitioning] = {
    "daily": Partitioning(timedelta(days=1), "day", "0 6 * * *", "DailyPartitionsDefinition"),
    "hourly": Partitioning(timedelta(hours=1), "hour", "15 * * * *", "HourlyPartitionsDefinition"),
}
"""By their names in the tag ``dagster/partitions``; the first is the default."""


def shortest_first(cadences: Iterable[Cadence] = CADENCES) -> list[Cadence]:
    """The cadences, by the length of their partitions."""
    return sorted(cadences, key=lambda cadence: CADENCES[cadence].length)
