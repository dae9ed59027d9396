"""Runs and materializations of a project's assets, in a bounded number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from feature_platform.orchestration.graph.content_hashes import CONTENT_HASH
from feature_platform.orchestration.graph.partitions import partition_range
from feature_platform.orchestration.watch.sensor_memory import AssetMemory, Memory

AUTOMATION = "feature_platform/automation"
PROJECT = "feature_platform/project"
DEFINITION = "feature_platform/definition"
# Dagster's "in progress" starts after the queue, where a run may wait for hours.
_UNDERWAY = [dg.DagsterRunStatus.QUEUED, *IN_PROGRESS_RUN_STATUSES]
# Runs read at most; the limits of automation are far below.
_RUNS = 1000
_PAGE = 1000


@dataclass(frozen=True)
class Underway:
    """Queued and running runs.

    Attributes:
        repairs: Number of those that automation started.
        ranges: Their first and last partition keys, by asset.
        unpartitioned: Assets that are materialized as a whole.
    """

    repairs: int = 0
    ranges: Mapping[dg.AssetKey, Sequence[tuple[str, str]]] = field(default_factory=dict)
    unpartitioned: frozenset[dg.AssetKey] = frozenset()

    def has(self, asset: dg.AssetKey, key: str) -> bool:
        """Whether a run of a partition of an asset is queued or running."""
        return any(first <= key <= last for first, last in self.ranges.get(asset, ()))


def underway(
    instance: dg.DagsterInstance, project: str, jobs: Mapping[str, frozenset[dg.AssetKey]]
) -> Underway:
    """Read the runs that are queued or running now, in one query.

    Runs without a selection of their own materialize the assets of their job in `jobs`.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNDERWAY), limit=_RUNS)
    ranges: dict[dg.AssetKey, list[tuple[str, str]]] = {}
    whole: set[dg.AssetKey] = set()
    repairs = 0
    for run in runs:
        repairs += AUTOMATION in run.tags and run.tags.get(PROJECT) == project
        keys = run.asset_selection or jobs.get(run.job_name, frozenset())
        span = partition_range(run.tags)
        if span is None:
            whole |= keys
            continue
        for key in keys:
            ranges.setdefault(key, []).append(span)
    return Underway(repairs, ranges, frozenset(whole))


def newest_events(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetKey]
) -> dict[dg.AssetKey, int]:
    """The event id of each asset's newest materialization, 0 without one, in one query."""
    found = dict.fromkeys(assets, 0)
    for record in instance.get_asset_records(list(assets)):
        entry = record.asset_entry
        found[entry.asset_key] = entry.last_materialization_storage_id or 0
    return found


def content_hashes(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    keys: Sequence[str],
    newest: int,
    memory: Memory,
) -> Mapping[str, str]:
    """The content hash that the newest materialization of each partition recorded.

    One query per 1,000 new events, none without new events.

    Args:
        instance: The Dagster instance.
        asset: The asset.
        keys: Its partitions that matter, oldest first.
        newest: Event id of its newest materialization.
        memory: What was read before; updated.
    """
    name = "/".join(asset.path)
    known = memory.assets.get(name) or AssetMemory()
    if not keys:
        return {}
    if newest < known.event or keys[0] < known.first or not known.first:
        known = AssetMemory(first=keys[0])
    if newest > known.event:
        fresh: dict[str, str] = {}
        cursor: str | None = None
        wanted = set(keys)
        while True:
            events = dg.AssetRecordsFilter(asset, after_storage_id=known.event or None)
            page = instance.fetch_materializations(events, limit=_PAGE, cursor=cursor)
            for record in page.records:
                key, event = record.partition_key, record.asset_materialization
                value = event.metadata.get(CONTENT_HASH) if event else None
                # Newer partitions count too: they are materialized before they are due.
                if key is not None and key >= keys[0] and value is not None:
                    fresh.setdefault(key, str(value.value))
            if not page.has_more or (not known.event and wanted <= fresh.keys()):
                break
            cursor = page.cursor
        known.hashes |= fresh
        known.event = newest
    known.hashes = {key: value for key, value in known.hashes.items() if key >= keys[0]}
    known.first = min(known.first, keys[0]) if known.first else keys[0]
    memory.assets[name] = known
    return known.hashes
