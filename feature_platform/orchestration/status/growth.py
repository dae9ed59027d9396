"""Keys and bytes online, and how fast they grow, from what runs recorded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import combinations
from statistics import median
from typing import Any

import dagster as dg

from feature_platform.online.online_size import WHOLE_STORE
from feature_platform.orchestration.graph.size_metadata import (
    ONLINE_BYTES,
    ONLINE_KEYS,
    STORE_BYTES,
    STORE_KEYS,
)

# Materializations read per view: a month of hourly ones, and some more.
_RECENT = 800
_DAYS = 30


@dataclass(frozen=True)
class Held:
    """A count of what was online.

    Attributes:
        at: When it was counted.
        keys: Entity keys.
        size: Bytes.
    """

    at: datetime
    keys: int
    size: int


@dataclass(frozen=True)
class Growth:
    """What is online, and how it grows.

    Attributes:
        newest: The newest count.
        keys_a_day: Growth in keys per day; None before the second day.
        bytes_a_day: Growth in bytes per day; None before the second day.
    """

    newest: Held
    keys_a_day: float | None
    bytes_a_day: float | None


def growth_of(counted: Iterable[Held]) -> Growth | None:
    """The growth in a series of counts, in any order; None if it is empty.

    It is the Theil-Sen estimator (Theil 1950, Sen 1968): the median of the slopes between any two
    of the newest 30 days, with the last count of each. One day with a backfill does not bend it.
    """
    of_day: dict[date, Held] = {}
    for each in sorted(counted, key=lambda held: held.at):
        of_day[each.at.date()] = each
    days = list(of_day.values())[-_DAYS:]
    if not days:
        return None
    pairs = list(combinations(days, 2))
    return Growth(
        days[-1],
        median((b.keys - a.keys) / _days(a, b) for a, b in pairs) if pairs else None,
        median((b.size - a.size) / _days(a, b) for a, b in pairs) if pairs else None,
    )


def _days(one: Held, other: Held) -> float:
    # Whole days, at least one: two counts around midnight may be a minute apart.
    return float((other.at.date() - one.at.date()).days)


@dataclass
class GrowthReader:
    """Reads the growth of views again and again; a view only if it was materialized since.

    Attributes:
        instance: Where their runs are recorded.
    """

    instance: dg.DagsterInstance
    _known: dict[str, tuple[int, "_Series"]] = field(default_factory=dict)

    def read(self, keys: Mapping[str, dg.AssetKey]) -> dict[str, Growth]:
        """The growth of each view with a count on record: one query, and one per changed view.

        Args:
            keys: The views' asset keys, by name.

        Returns:
            By view; under `WHOLE_STORE` if the online store does not count views separately.
        """
        names = {key: name for name, key in keys.items()}
        for record in self.instance.get_asset_records(list(names)):
            entry = record.asset_entry
            name, event = names[entry.asset_key], entry.last_materialization_storage_id
            if event is None:
                # Its materializations were wiped.
                self._known.pop(name, None)
            elif self._known.get(name, (0,))[0] != event:
                self._known[name] = (event, _series(self.instance, entry.asset_key))
        series = {name: self._known[name][1] for name in keys if name in self._known}
        found = {name: growth_of(each.view) for name, each in series.items()}
        found[WHOLE_STORE] = growth_of(held for each in series.values() for held in each.store)
        return {name: each for name, each in found.items() if each is not None}


@dataclass(frozen=True)
class _Series:
    view: Sequence[Held]
    store: Sequence[Held]


def _series(instance: dg.DagsterInstance, view: dg.AssetKey) -> _Series:
    records = instance.fetch_materializations(view, limit=_RECENT).records
    return _Series(
        _counted(records, ONLINE_KEYS, ONLINE_BYTES), _counted(records, STORE_KEYS, STORE_BYTES)
    )


def _counted(records: Sequence[dg.EventLogRecord], keys: str, size: str) -> list[Held]:
    found = []
    for record in records:
        event = record.asset_materialization
        metadata: Mapping[str, Any] = event.metadata if event else {}
        counts = [metadata[each].value for each in (keys, size) if each in metadata]
        if [type(each) for each in counts] == [int, int]:
            at = datetime.fromtimestamp(record.timestamp, UTC)
            found.append(Held(at, *counts))
    return found
