"""Which windows of a view are online, missing, failed, or changed since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from feature_platform.core.windows import Window, covers
from feature_platform.orchestration.graph.content_hashes import CONTENT_HASH, combined_hash
from feature_platform.orchestration.graph.partitions import partitions_within, window_of
from feature_platform.orchestration.graph.rebuild_due import REBUILD_DUE, REBUILT
from feature_platform.orchestration.graph.recorded_verdicts import newest_by_partition
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import FeatureViewData, SourceData
from feature_platform.registry.windows_on_record import materialized_windows

if TYPE_CHECKING:
    from feast import FeatureStore

# How many events back a request for a rebuild is searched.
_RECENT = 1000

State = Literal["complete", "missing", "failed", "stale", "running"]


@dataclass(frozen=True)
class WindowStatus:
    """One partition of a view.

    Attributes:
        key: The partition key.
        window: Its window.
        state: ``complete``: online. ``stale``: online, but its source has changed since.
            ``failed``: the last attempt failed. ``running``: under way. ``missing``: none of these.
    """

    key: str
    window: Window
    state: State


@dataclass(frozen=True)
class ViewStatus:
    """The windows of a feature view, and its lag.

    Attributes:
        view: Its name.
        windows: The newest complete partitions, oldest first.
        newest: End of the newest window online; None where nothing is.
        lag: From `newest` to the end of the newest complete partition; None where nothing is.
        rebuild_due: Whether keys may still be served whose rows have left their window: this kind
            of online store cannot name them; only `rebuild-online --empty-first` deletes them.
    """

    view: str
    windows: tuple[WindowStatus, ...]
    newest: datetime | None
    lag: timedelta | None
    rebuild_due: bool = False

    @property
    def well(self) -> bool:
        """Whether every shown window is complete, and no rebuild is due."""
        return not self.rebuild_due and all(window.state == "complete" for window in self.windows)


def view_status(
    view: FeatureViewData,
    store: "FeatureStore",
    instance: dg.DagsterInstance,
    *,
    now: datetime,
    count: int,
    translator: DagsterFeastTranslator | None = None,
) -> ViewStatus:
    """The status of a view that can be materialized.

    Args:
        view: The view.
        store: Its registry holds the windows online.
        instance: Holds the runs that failed or are under way, and the sources' content hashes.
        now: Partitions are expected up to this moment.
        count: How many of the newest partitions to show.
        translator: The one that the definitions were built with; None is the default one.
    """
    translator = translator or DagsterFeastTranslator()
    keys = view.partitions.get_partition_keys(current_time=now)[-count:]
    windows = {key: window_of(view.partitions, key) for key in keys}
    online = materialized_windows(store, view.name)
    view_key = translator.key_of(view)
    states = instance.get_status_by_partition(view_key, keys, view.partitions) or {}
    sources = {translator.key_of(each): each for each in view.sources}
    changed = _changed(instance, view_key, sources, windows)
    found = tuple(
        WindowStatus(
            key,
            window,
            _state(states.get(key), online=covers(online, window), changed=key in changed),
        )
        for key, window in windows.items()
    )
    newest = max((window.end for window in online), default=None)
    due = max((window.end for window in windows.values()), default=None)
    lag = max(due - newest, timedelta(0)) if due and newest else None
    return ViewStatus(view.name, found, newest, lag, _rebuild_due(instance, view_key))


def _state(status: AssetPartitionStatus | None, *, online: bool, changed: bool) -> State:
    if status == AssetPartitionStatus.IN_PROGRESS:
        return "running"
    if status == AssetPartitionStatus.FAILED:
        return "failed"
    if not online:
        return "missing"
    return "stale" if changed else "complete"


def _changed(
    instance: dg.DagsterInstance,
    view: dg.AssetKey,
    sources: Mapping[dg.AssetKey, SourceData],
    windows: Mapping[str, Window],
) -> set[str]:
    """Partitions whose sources' content differs from the content that was put online."""
    served = newest_by_partition(instance, view, list(windows), CONTENT_HASH)
    if not served:
        return set()
    content: dict[str, list[str | None]] = {key: [] for key in served}
    for asset, source in sources.items():
        parts = {key: list(partitions_within(source.partitions, windows[key])) for key in served}
        built = newest_by_partition(
            instance, asset, {part for each in parts.values() for part in each}, CONTENT_HASH
        )
        for key, within in parts.items():
            content[key] += [built.get(part) for part in within]
    return {
        key
        for key, hashes in content.items()
        if None not in hashes and served[key] != combined_hash([each for each in hashes if each])
    }


def _rebuild_due(instance: dg.DagsterInstance, view: dg.AssetKey) -> bool:
    """Whether a materialization has asked for a rebuild since the last one.

    It asks twice: in its own metadata, and in an observation as soon as it was online.
    """
    observed = instance.fetch_observations(view, limit=_RECENT).records
    asked = _newest(instance.fetch_materializations(view, limit=_RECENT).records, REBUILD_DUE)
    return max(asked, _newest(observed, REBUILD_DUE)) > _newest(observed, REBUILT)


def _newest(records: Sequence[dg.EventLogRecord], label: str) -> int:
    """The id of the newest record whose metadata has a true `label`; 0 if there is none."""
    for record in records:
        event = record.asset_materialization or record.asset_observation
        value = event.metadata.get(label) if event else None
        if value and value.value:
            return record.storage_id
    return 0
