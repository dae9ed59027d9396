"""The status of many views again and again, computed only for views with new events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.partitions import window_of
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.orchestration.status.view_statuses import told
from feature_platform.orchestration.status.window_status import (
    ViewStatus,
    WindowStatus,
    view_status,
)
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import due_windows, why_not_due
from feature_platform.registry.windows_on_record import registered_views, windows_of

# Windows per view: as far back as its TTL, but at most so many.
_MOST_WINDOWS = 60
_WITHOUT_TTL = 30
_PAGE = 1000


def windows_shown(view: FeatureViewData) -> int:
    """How many of a view's newest windows are shown: those within its TTL, at most 60."""
    ttl = view.obj.ttl
    within = int(ttl / view.settings.length) if ttl else _WITHOUT_TTL
    return max(1, min(within, _MOST_WINDOWS))


@dataclass
class StatusCache:
    """Statuses of a project's views.

    A status is computed again when a run has planned or materialized the view or a source, when
    the registry holds other windows, when a partition has been completed, when a rebuild was
    reported, and while a run is under way. A handful of queries tells.

    Attributes:
        graph: The project.
        instance: Where its runs are recorded.
        translator: The one that the definitions were built with.
        settings: They say when a window is due.
    """

    graph: FeastGraph
    instance: dg.DagsterInstance
    translator: DagsterFeastTranslator
    settings: AutomationSettings = field(default_factory=AutomationSettings)
    _known: dict[str, tuple[object, ViewStatus]] = field(default_factory=dict)
    _seen: int | None = None

    def statuses(
        self, views: Mapping[str, FeatureViewData], now: datetime
    ) -> dict[str, ViewStatus]:
        """The status of each of the views, which can be materialized, as of `now`."""
        self._forget_rebuilt()
        registered = registered_views(self.graph.project.store())
        keys = [self.translator.key_of(view) for view in views.values()]
        keys += [self.translator.key_of(source) for source in self.graph.sources.values()]
        records = self.instance.get_asset_records(keys)
        entries = {record.asset_entry.asset_key: record.asset_entry for record in records}
        for name in self._known.keys() - views.keys():
            del self._known[name]
        return {
            name: told(name, lambda: self._status(view, registered.get(name), entries, now))  # noqa: B023 - called at once
            for name, view in views.items()
        }

    def _status(
        self,
        view: FeatureViewData,
        registered: Any | None,
        entries: Mapping[dg.AssetKey, Any],
        now: datetime,
    ) -> ViewStatus:
        """The status of one view, computed only if something has happened to it."""
        entry = entries.get(self.translator.key_of(view))
        online = windows_of(registered) if registered is not None else []
        if entry is None and not online:
            return self._untouched(view, now, registered=registered is not None)
        # What is due changes as time passes, and so what is well.
        due = self._due(view, now)
        stamp = (
            _stamp(entry),
            *(_stamp(entries.get(self.translator.key_of(each))) for each in view.sources),
            registered is not None,
            *(tuple(online), *due),
        )
        before = self._known.get(view.name)
        if before and before[0] == stamp and not _is_running(before[1]):
            return before[1]
        found = view_status(
            view,
            registered,
            self.instance,
            now=now,
            count=windows_shown(view),
            translator=self.translator,
            settings=self.settings,
        )
        self._known[view.name] = (stamp, found)
        return found

    def _untouched(self, view: FeatureViewData, now: datetime, *, registered: bool) -> ViewStatus:
        """The status of a view without a run."""
        keys = view.partitions.get_partition_keys(current_time=now)[-windows_shown(view) :]
        limits = {"grace": self.settings.grace, "lookback": self.settings.lookback}
        windows = []
        for key in keys:
            window = window_of(view.partitions, key)
            why = why_not_due(view, window, now, **limits)
            windows.append(WindowStatus(key, window, "missing", excused=why))
        return ViewStatus(view.name, tuple(windows), None, None, registered=registered)

    def _due(self, view: FeatureViewData, now: datetime) -> tuple[str, ...]:
        """First and last due window, and the newest complete one."""
        limits = {"grace": self.settings.grace, "lookback": self.settings.lookback}
        due = list(due_windows(view, now, **limits))
        return (*due[:1], *due[-1:], *view.partitions.get_partition_keys(current_time=now)[-1:])

    def _forget_rebuilt(self) -> None:
        """Drop views that were rebuilt: a rebuild has no run, only an observation."""
        storage = self.instance.event_log_storage
        newest = storage.get_maximum_record_id() or 0
        if self._seen is not None and newest > self._seen:
            entries = storage.get_logs_for_all_runs_by_log_id(
                after_cursor=self._seen,
                dagster_event_type=DagsterEventType.ASSET_OBSERVATION,
                limit=_PAGE,
            )
            names = {self.translator.key_of(view): name for name, view in self.graph.views.items()}
            for entry in entries.values():
                key = entry.get_dagster_event().asset_key
                self._known.pop(names.get(key, "") if key else "", None)
            if len(entries) == _PAGE:
                newest = max(entries)
        self._seen = newest


def _stamp(entry: Any) -> tuple[str | None, int | None]:
    """A value that changes when a run is planned for an asset, and when it is materialized."""
    return (entry.last_run_id, entry.last_materialization_storage_id) if entry else (None, None)


def _is_running(status: ViewStatus) -> bool:
    return any(window.state == "running" for window in status.windows)
