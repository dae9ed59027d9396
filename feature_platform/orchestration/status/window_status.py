"""Which windows of a view are online, missing, failed, or changed since; and what is not well."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from feature_platform.core.durations import in_words
from feature_platform.core.windows import Window, covers
from feature_platform.orchestration.graph.content_hashes import (
    CONTENT_HASH,
    NOTHING_ONLINE,
    combined_hash,
)
from feature_platform.orchestration.graph.partitions import partitions_within, window_of
from feature_platform.orchestration.graph.rebuild_due import REBUILD_DUE, REBUILT
from feature_platform.orchestration.graph.recorded_verdicts import (
    newest_by_partition,
    newest_metadata,
)
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import FeatureViewData, SourceData
from feature_platform.orchestration.repairs.definition_changes import changes_data
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import due_windows, why_not_due
from feature_platform.registry.windows_on_record import windows_of

# How many events back a request for a rebuild is searched.
_RECENT = 1000
_FEW = 4

State = Literal["complete", "missing", "failed", "stale", "running"]


@dataclass(frozen=True)
class WindowStatus:
    """One partition of a view.

    Attributes:
        key: The partition key.
        window: Its window.
        state: ``complete``: online. ``stale``: online, but its source has changed since.
            ``failed``: the last attempt failed. ``running``: under way. ``missing``: none of these.
        online: Whether the registry records it as online.
        excused: Why nobody has to put it online now; empty if it is due.
        unserved: Why nothing of it went online although it was written; empty otherwise.
    """

    key: str
    window: Window
    state: State
    online: bool = False
    excused: str = ""
    unserved: str = ""

    @property
    def well(self) -> bool:
        """Whether it is online as it should be, or need not be."""
        return self.state == "complete" or (bool(self.excused) and self.state != "running")

    @property
    def is_gap(self) -> bool:
        """Whether it is due and not online, and no run is under way: automation fills it."""
        return not self.online and not self.excused and self.state != "running"

    @property
    def aside(self) -> str:
        """What has to be said beside its state; windows of one state and aside share a line."""
        if self.state == "failed" and self.online and not self.excused:
            return "what was online before is still served; a window that is online is not retried"
        return self.excused


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
        earlier: Windows before those that are due and not online.
        registered: Whether the registry has the view.
        redefined: Whether the repo's definition changes data that the registry's does not have.
        outlived: Why no row of it is served any more; empty otherwise.
        trouble: Why its status cannot be told; empty otherwise.
    """

    view: str
    windows: tuple[WindowStatus, ...]
    newest: datetime | None
    lag: timedelta | None
    rebuild_due: bool = False
    earlier: tuple[WindowStatus, ...] = ()
    registered: bool = True
    redefined: bool = False
    outlived: str = ""
    trouble: str = ""

    @classmethod
    def unknown(cls, view: str, why: str) -> "ViewStatus":
        """The status of a view whose status cannot be told."""
        return cls(view, (), None, None, trouble=why)

    @property
    def well(self) -> bool:
        """Whether every due window is online, and nothing else is wrong."""
        wrong = (
            self.trouble,
            not self.registered,
            self.redefined,
            self.outlived,
            self.rebuild_due,
            self.earlier,
        )
        return not any(wrong) and all(window.well for window in self.windows)

    @property
    def gaps(self) -> int:
        """How many due windows are not online, or failed when they were last tried."""
        return self.absent + sum(
            window.state == "failed" and window.online and not window.excused
            for window in self.windows
        )

    @property
    def absent(self) -> int:
        """How many due windows are not online: automation fills them."""
        return sum(window.is_gap for window in (*self.earlier, *self.windows))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is not well, and what only looks so, with the reason: a sentence each."""
        found = []
        if not self.registered:
            found.append(
                "it is not in the registry, so that nothing of it is served: it was deleted there, "
                "or the repo is not applied; feature-platform materialize applies it"
            )
        if self.redefined:
            found.append(
                "the registry has another definition of it: feature-platform plan shows what "
                "applying the repo changes"
            )
        return (*found, *self._of_windows(planned=True), *self.beyond_repair)

    @property
    def beyond_repair(self) -> tuple[str, ...]:
        """Those of the remarks that no run of automation answers."""
        if self.trouble:
            return (f"its status cannot be told: {self.trouble}",)
        found = [self.outlived] if self.outlived else []
        if self.rebuild_due:
            found.append(
                "rebuild due: rows may have left windows that are online; run "
                f"feature-platform rebuild-online --view {self.view} --empty-first"
            )
        unserved = [window for window in self.windows if window.unserved]
        for why in dict.fromkeys(window.unserved for window in unserved):
            keys = [window.key for window in unserved if window.unserved == why]
            found.append(f"nothing went online: {_spans(keys)} ({why})")
        return (*found, *self._of_windows(planned=False))

    def _of_windows(self, *, planned: bool) -> Iterator[str]:
        """A line for the windows of one state and aside; `planned` are those without an aside."""
        windows = [
            window for window in (*self.earlier, *self.windows) if planned != bool(window.aside)
        ]
        for state in ("failed", "stale", "missing"):
            of_state = [window for window in windows if window.state == state]
            for aside in dict.fromkeys(window.aside for window in of_state):
                keys = [window.key for window in of_state if window.aside == aside]
                yield f"{state}: {_spans(keys)}" + (f" ({aside})" if aside else "")


def view_status(
    view: FeatureViewData,
    registered: Any | None,
    instance: dg.DagsterInstance,
    *,
    now: datetime,
    count: int,
    translator: DagsterFeastTranslator | None = None,
    settings: AutomationSettings | None = None,
) -> ViewStatus:
    """The status of a view that can be materialized.

    Args:
        view: The view.
        registered: The Feast view as the registry has it; None if it has not.
        instance: Holds the runs that failed or are under way, and the sources' content hashes.
        now: Partitions are expected up to this moment.
        count: How many of the newest partitions to show.
        translator: The one that the definitions were built with; None is the default one.
        settings: They say when a window is due, as they do to automation; None is the default.
    """
    translator, settings = translator or DagsterFeastTranslator(), settings or AutomationSettings()
    limits = {"grace": settings.grace, "lookback": settings.lookback}
    keys = view.partitions.get_partition_keys(current_time=now)[-count:]
    windows = {key: window_of(view.partitions, key) for key in keys}
    online = windows_of(registered) if registered is not None else []
    view_key = translator.key_of(view)
    states = instance.get_status_by_partition(view_key, keys, view.partitions) or {}
    sources = {translator.key_of(each): each for each in view.sources}
    served = newest_metadata(instance, view_key, keys, CONTENT_HASH)
    changed = _changed(
        instance,
        {key: str(each[CONTENT_HASH].value) for key, each in served.items()},
        sources,
        windows,
    )
    there = {key: covers(online, window) for key, window in windows.items()}
    found = tuple(
        WindowStatus(
            key,
            window,
            _state(states.get(key), online=there[key], changed=key in changed),
            online=there[key],
            excused=why_not_due(view, window, now, **limits),
            unserved=_unserved(served.get(key)) if there[key] else "",
        )
        for key, window in windows.items()
    )
    newest = max((window.end for window in online), default=None)
    due = max((window.end for window in windows.values()), default=None)
    earlier = tuple(
        WindowStatus(key, window, "missing")
        for key, window in due_windows(view, now, **limits).items()
        if key not in windows and not covers(online, window)
    )
    return ViewStatus(
        view.name,
        found,
        newest,
        max(due - newest, timedelta(0)) if due and newest else None,
        _rebuild_due(instance, view_key),
        earlier,
        registered=registered is not None,
        redefined=registered is not None and changes_data(registered, view.obj),
        outlived=_outlived(view, found, newest, now),
    )


def _state(status: AssetPartitionStatus | None, *, online: bool, changed: bool) -> State:
    if status == AssetPartitionStatus.IN_PROGRESS:
        return "running"
    if status == AssetPartitionStatus.FAILED:
        return "failed"
    if not online:
        return "missing"
    return "stale" if changed else "complete"


def _unserved(metadata: Mapping[str, Any] | None) -> str:
    value = (metadata or {}).get(NOTHING_ONLINE)
    return str(value.value) if value is not None else ""


def _outlived(
    view: FeatureViewData,
    windows: Sequence[WindowStatus],
    newest: datetime | None,
    now: datetime,
) -> str:
    """Why no row of the view is served any more: all are older than the TTL."""
    ttl: timedelta | None = getattr(view.obj, "ttl", None)
    if not ttl or newest is None:
        return ""
    if newest <= now - ttl:
        return (
            f"nothing is served: the newest window online ended {newest:%Y-%m-%d %H:%M} UTC, "
            f"before the TTL of {in_words(ttl)}"
        )
    # Windows that have ended before the TTL do not count: nothing of them is served either way.
    alive = [each for each in windows if now - ttl < each.window.end <= newest]
    all_shown = bool(windows) and windows[0].window.start <= now - ttl
    if alive and all_shown and all(each.unserved for each in alive):
        return f"nothing is served: every row online is older than the TTL of {in_words(ttl)}"
    return ""


def _changed(
    instance: dg.DagsterInstance,
    served: Mapping[str, str],
    sources: Mapping[dg.AssetKey, SourceData],
    windows: Mapping[str, Window],
) -> set[str]:
    """Partitions whose sources' content differs from the content that was put online."""
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


def _spans(keys: Sequence[str]) -> str:
    if len(keys) <= _FEW:
        return ", ".join(keys)
    return f"{len(keys)} windows, {keys[0]} to {keys[-1]}"
