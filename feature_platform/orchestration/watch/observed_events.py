"""What Dagster knows of a project's assets, in a bounded number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from feature_platform.orchestration.graph.content_hashes import CONTENT_HASH
from feature_platform.orchestration.watch.sensor_memory import AssetMemory, Memory

AUTOMATION = "feature_platform/automation"
PROJECT = "feature_platform/project"
DEFINITION = "feature_platform/definition"
# Dagster's "in progress" begins when a run leaves the queue, where it may stay for hours.
_UNDERWAY = [dg.DagsterRunStatus.QUEUED, *IN_PROGRESS_RUN_STATUSES]
# More runs than these at once are not looked at; the limits of automation are far below.
_RUNS = 1000
_PAGE = 1000

_KEY = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Underway:
    """Runs that are queued or under way.

    Attributes:
        repairs: How many of them automation started.
        ranges: First and last partition key they are about, by asset.
        unpartitioned: Assets that are materialized as a whole.
    """

    repairs: int = 0
    ranges: Mapping[dg.AssetKey, Sequence[tuple[str, str]]] = field(default_factory=dict)
    unpartitioned: frozenset[dg.AssetKey] = frozenset()

    def has(self, asset: dg.AssetKey, key: str) -> bool:
        """Whether a partition of an asset is under way."""
        return any(first <= key <= last for first, last in self.ranges.get(asset, ()))


def underway(
    instance: dg.DagsterInstance, project: str, jobs: Mapping[str, frozenset[dg.AssetKey]]
) -> Underway:
    """What is queued or under way now, whoever started it: one query.

    Args:
        instance: Asked for runs.
        project: Feast's name of the project.
        jobs: What each job of the project materializes, for runs that select nothing themselves.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNDERWAY), limit=_RUNS)
    ranges: dict[dg.AssetKey, list[tuple[str, str]]] = {}
    whole: set[dg.AssetKey] = set()
    repairs = 0
    for run in runs:
        repairs += AUTOMATION in run.tags and run.tags.get(PROJECT) == project
        keys = run.asset_selection or jobs.get(run.job_name, frozenset())
        if RANGE_START in run.tags:
            span = (run.tags[RANGE_START], run.tags[RANGE_END])
        elif _KEY in run.tags:
            span = (run.tags[_KEY], run.tags[_KEY])
        else:
            whole |= keys
            continue
        for key in keys:
            ranges.setdefault(key, []).append(span)
    return Underway(repairs, ranges, frozenset(whole))


def newest_events(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetKey]
) -> dict[dg.AssetKey, int]:
    """The number of each asset's newest materialization, 0 without one: one query."""
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

    No query where there is nothing new, else one for each 1,000 new events.

    Args:
        instance: Asked for materializations.
        asset: The asset.
        keys: The partitions that matter, oldest first.
        newest: Number of the asset's newest materialization.
        memory: What was read before; brought up to date.
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
            page = instance.fetch_materializations(
                dg.AssetRecordsFilter(
                    asset_key=asset,
                    after_storage_id=known.event or None,
                ),
                limit=_PAGE,
                cursor=cursor,
            )
            for record in page.records:
                key, event = record.partition_key, record.asset_materialization
                value = event.metadata.get(CONTENT_HASH) if event else None
                # Newer ones count too: they are materialized before they are looked after.
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
