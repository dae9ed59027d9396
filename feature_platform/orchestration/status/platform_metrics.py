"""What Prometheus is told: computed from the registry, the event log, and the alerts' state."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from feature_platform.alerts.desk import LOOKED_AT
from feature_platform.alerts.incident_ledger import open_ledger
from feature_platform.alerts.messages.incidents import utc
from feature_platform.alerts.outbox import Outbox
from feature_platform.errors import FeaturePlatformError, MetricsError
from feature_platform.online.online_size import online_size
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import (
    DagsterFeastTranslator,
    FeastTranslatorData,
)
from feature_platform.orchestration.status.growth import GrowthReader
from feature_platform.orchestration.status.status_cache import StatusCache
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.newest_ticks import newest_tick
from feature_platform.orchestration.watch.sensor_memory import remembered
from feature_platform.orchestration.watch.ticking import Ticking
from feature_platform.registry.windows_on_record import registered_views

if TYPE_CHECKING:
    from feature_platform.orchestration.checks.freshness_checks import Freshness

_log = logging.getLogger(__name__)
PREFIX = "feature_platform"
_STATES = ("complete", "missing", "failed", "stale", "running")
_DAY = timedelta(days=1)
# Metadata of a feature view's materialization, and what it is called here.
_LAST_RUN = {
    "feature_platform/seconds": ("seconds", "Seconds the newest materialization took."),
    "feature_platform/rows_read": ("rows", "Source rows the newest materialization read."),
    "feature_platform/keys_written": ("keys_written", "Keys the newest materialization wrote."),
}


@dataclass(frozen=True)
class PlatformMetrics:
    """Computes the metrics of one project, again and again.

    Attributes:
        graph: The project.
        instance: Where its runs are recorded.
        checks: Keys of its checks.
        alerts: State of its alerts; None where there are none.
        alerts_expected: Whether that file has to be there, as somebody has named it.
        ticking: Its sensors and schedules.
        online_limit: Bytes that the online store can take; None takes what it says itself.
        translator: The one that the definitions were built with.
    """

    graph: FeastGraph
    instance: dg.DagsterInstance
    checks: tuple[dg.AssetCheckKey, ...]
    alerts: Path | None = None
    alerts_expected: bool = False
    ticking: tuple[Ticking, ...] = ()
    online_limit: int | None = None
    translator: DagsterFeastTranslator = DagsterFeastTranslator()  # noqa: RUF009 - has no state

    def collect(self, now: datetime | None = None) -> list[Metric]:
        """All metrics as of `now`.

        A part that cannot be computed, such as the keys of a store that is down, is left out, and
        ``feature_platform_part_up`` says so.
        """
        began = time.perf_counter()
        now = now or datetime.now(UTC)
        parts: dict[str, Callable[[], Iterable[Metric]]] = {
            "views": lambda: self._views(now),
            "freshness": lambda: self._freshness(now),
            "materializations": self._materializations,
            "checks": self._check_results,
            "runs": self._runs,
            "ticks": lambda: self._ticks(now),
            "alerts": self._alerts,
            "online_store": self._online_store,
            "growth": self._growth,
        }
        up = _gauge("part_up", "Whether a part of the metrics could be computed.", "part")
        found: list[Metric] = []
        for name, compute in parts.items():
            try:
                found += compute()
            except Exception as error:  # noqa: BLE001 - one part's trouble is not another's
                # Drivers put addresses with credentials into their messages; we do not.
                ours = isinstance(error, FeaturePlatformError)
                said = error if ours else type(error).__name__
                _log.warning("metrics of %s are missing: %s", name, said)
                up.add_metric([self._project, name], 0)
            else:
                up.add_metric([self._project, name], 1)
        collected = _gauge("collected_timestamp_seconds", "When the metrics were computed.")
        collected.add_metric([self._project], now.timestamp())
        seconds = _gauge("collect_seconds", "Seconds that computing the metrics took.")
        seconds.add_metric([self._project], time.perf_counter() - began)
        return [*found, up, collected, seconds]

    @property
    def _project(self) -> str:
        return self.graph.project.name

    @cached_property
    def _cache(self) -> StatusCache:
        return StatusCache(self.graph, self.instance, self.translator)

    @cached_property
    def _freshest(self) -> "dict[str, Freshness]":
        return {}

    @cached_property
    def _growths(self) -> GrowthReader:
        return GrowthReader(self.instance)

    @cached_property
    def _materializable(self) -> dict[str, FeastTranslatorData]:
        return {name: view for name, view in self.graph.views.items() if not view.refusal}

    @cached_property
    def _kinds(self) -> dict[dg.AssetKey, str]:
        """What each asset with checks is: its key may be whatever a translator says."""
        graph = self.graph
        parts = (graph.sources, graph.views, graph.drifts, graph.skews)
        found = [graph.registry, *(each for part in parts for each in part.values())]
        return {self.translator.key_of(each): each.kind for each in found}

    def _views(self, now: datetime) -> Iterator[Metric]:
        lag = _gauge(
            "view_lag_seconds",
            "From the newest window online to the newest complete one; infinite without any.",
            "view",
        )
        windows = _gauge(
            "view_windows", "Windows within the TTL (at most 60), by state.", "view", "state"
        )
        gaps = _gauge("view_gaps", "Windows within the TTL that are missing or failed.", "view")
        rebuild = _gauge("view_rebuild_due", "Whether a rebuild-online is due.", "view")
        statuses = self._cache.statuses(self._materializable, now)
        for name in self._materializable:
            status = statuses[name]
            where = [self._project, name]
            lag.add_metric(where, math.inf if status.lag is None else status.lag.total_seconds())
            counts = dict.fromkeys(_STATES, 0)
            for window in status.windows:
                counts[window.state] += 1
            for state, count in counts.items():
                windows.add_metric([*where, state], count)
            gaps.add_metric(where, counts["missing"] + counts["failed"])
            rebuild.add_metric(where, status.rebuild_due)
        yield from (lag, windows, gaps, rebuild)

    def _freshness(self, now: datetime) -> Iterator[Metric]:
        """By the newest rows: sources are read where a view was materialized since the last time.

        The sensor of freshness reads the same, and what either has read the other need not.
        """
        from feature_platform.orchestration.checks.freshness_checks import freshness
        from feature_platform.orchestration.watch.sensor_context import SensorContext

        fresh = _gauge(
            "view_freshness_seconds",
            "Age of the newest row that is served, by event time; infinite where none is.",
            "view",
        )
        promise = _gauge(
            "view_promise_seconds",
            "How old that row may be: tag dagster/freshness, else twice the cadence.",
            "view",
        )
        home, project = Path(self.instance.root_directory), self.graph.project
        with remembered(home, project, "freshness") as memory:
            look = SensorContext(
                self.graph,
                self.translator,
                self.instance,
                project.store(),
                AutomationSettings(),
                memory,
                now,
            )
            # Of views that there was no time for the row that was found before counts on.
            self._freshest.update(freshness(look).views)
        for name, each in self._freshest.items():
            newest = math.inf if each.newest is None else (now - each.newest).total_seconds()
            fresh.add_metric([self._project, name], newest)
            promise.add_metric([self._project, name], each.promise.total_seconds())
        yield from (fresh, promise)

    def _materializations(self) -> Iterator[Metric]:
        at = _gauge(
            "materialization_timestamp_seconds", "When a view was last materialized.", "view"
        )
        gauges = {
            label: _gauge(f"materialization_{name}", said, "view")
            for label, (name, said) in _LAST_RUN.items()
        }
        names = {self.translator.key_of(view): name for name, view in self._materializable.items()}
        for record in self.instance.get_asset_records(list(names)):
            entry = record.asset_entry
            newest = entry.last_materialization_record
            if newest is None or newest.asset_materialization is None:
                continue
            where = [self._project, names[entry.asset_key]]
            at.add_metric(where, newest.timestamp)
            for label, gauge in gauges.items():
                value = newest.asset_materialization.metadata.get(label)
                if value is not None:
                    gauge.add_metric(where, float(str(value.value)))
        yield from (at, *gauges.values())

    def _check_results(self) -> Iterator[Metric]:
        passed = _gauge(
            "check_passed",
            "Whether the newest evaluation of a check passed; severity is that of a failure.",
            *("asset", "kind", "check", "severity"),
        )
        at = _gauge("check_timestamp_seconds", "When a check last ran.", "asset", "check")
        distance = _gauge(
            "drift_distance",
            "How far a feature is from its reference, in multiples of its threshold.",
            *("asset", "feature"),
        )
        storage = self.instance.event_log_storage
        latest = storage.get_latest_asset_check_execution_by_key(list(self.checks))
        for key, record in latest.items():
            evaluation: Any = record.evaluation
            if not isinstance(evaluation, dg.AssetCheckEvaluation):
                continue  # planned, and not done yet
            asset = key.asset_key.to_user_string()
            severity = evaluation.severity.value.lower()
            kind = self._kinds.get(key.asset_key, "")
            passed.add_metric([self._project, asset, kind, key.name, severity], evaluation.passed)
            event = record.event
            at.add_metric(
                [self._project, asset, key.name],
                event.timestamp if event else record.create_timestamp,
            )
            found = evaluation.metadata.get("feature_platform/distance")
            if found is not None:
                distance.add_metric([self._project, asset, key.name], float(str(found.value)))
        yield from (passed, at, distance)

    def _runs(self) -> Iterator[Metric]:
        runs = CounterMetricFamily(
            f"{PREFIX}_runs", "Runs of the whole Dagster instance that ended.", labels=["status"]
        )
        for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
            count = self.instance.get_runs_count(dg.RunsFilter(statuses=[status]))
            runs.add_metric([status.value.lower()], count)
        yield runs

    def _ticks(self, now: datetime) -> Iterator[Metric]:
        failed = _gauge(
            "failed_ticks",
            "Ticks of a sensor or schedule that failed in a row, the newest last; 0 when it is "
            "well. One that is off, or a sensor that has not ticked for a day, has none.",
            *("name", "kind"),
        )
        if self.instance.schedule_storage is None:
            return  # an instance in memory, which no daemon ticks for
        kinds = {each.name: each.kind for each in self.ticking}
        counts: dict[str, int] = {}
        for state in self.instance.all_instigator_state():
            name = state.instigator_name
            if name not in kinds or state.status == InstigatorStatus.STOPPED:
                continue
            tick = newest_tick(self.instance, state)
            # Where the definitions switch a sensor off its state does not say so.
            if tick is None or (kinds[name] == "sensor" and now - utc(tick.timestamp) > _DAY):
                continue
            bad = tick.status == TickStatus.FAILURE
            count = max(1, tick.consecutive_failure_count) if bad else 0
            counts[name] = max(count, counts.get(name, 0))
        for name, count in counts.items():
            failed.add_metric([self._project, name, kinds[name]], count)
        yield failed

    def _alerts(self) -> Iterator[Metric]:
        if self.alerts is None or not self.alerts.exists():
            if self.alerts is not None and self.alerts_expected:
                raise MetricsError(
                    f"--alerts-state '{self.alerts}'",
                    "is not there: the alert sensor has not looked yet, or keeps its state "
                    "elsewhere",
                    "name the file that the route file calls 'state:', as seen from here",
                )
            return
        opened = _gauge("incidents_open", "Incidents that are open.", "kind", "severity")
        pending = _gauge("alerts_pending", "Messages that are not out yet.", "channel")
        failing = _gauge("alert_channel_failing", "Whether a channel takes no messages.", "channel")
        looked = _gauge("alerts_looked_timestamp_seconds", "When the alert sensor last looked.")
        sent = CounterMetricFamily(
            f"{PREFIX}_alerts_sent",
            "Messages that are out.",
            labels=["project", "channel", "kind"],
        )
        with open_ledger(self.alerts) as ledger:
            state = Outbox(ledger).state()
            incidents = ledger.open_incidents()
            looked_at = ledger.position(LOOKED_AT)
        if looked_at is not None:
            looked.add_metric([self._project], looked_at)
        counts: dict[tuple[str, str], int] = {}
        for incident in incidents:
            label = (incident.condition.kind, incident.severity)
            counts[label] = counts.get(label, 0) + 1
        for (kind, severity), count in counts.items():
            opened.add_metric([self._project, kind, severity], count)
        told = {channel for channel, _ in state.sent}
        for channel in sorted(told | state.pending.keys() | state.failing.keys()):
            pending.add_metric([self._project, channel], state.pending.get(channel, 0))
            failing.add_metric([self._project, channel], channel in state.failing)
        for (channel, kind), count in state.sent.items():
            sent.add_metric([self._project, channel, kind], count)
        yield from (opened, pending, failing, looked, sent)

    def _online_store(self) -> Iterator[Metric]:
        keys = _gauge(
            "online_keys",
            "Entity keys online; view is empty where the store keeps views together.",
            "view",
        )
        sizes = _gauge(
            "online_bytes", "Bytes online; an estimate on SQLite, view as with the keys.", "view"
        )
        size = _gauge("online_store_bytes", "Bytes that the online store takes.")
        limit = _gauge(
            "online_store_limit_bytes",
            "Bytes it can take: as --online-limit says, else maxmemory of Redis, SQLite's disk.",
        )
        store = self.graph.project.store()
        registered = registered_views(store)
        found = online_size(store, [name for name in self._materializable if name in registered])
        if found is not None:
            for view, count in found.keys.items():
                keys.add_metric([self._project, view], count)
            for view, count in found.sizes.items():
                sizes.add_metric([self._project, view], count)
            size.add_metric([self._project], found.size)
            most = self.online_limit or found.limit
            if most is not None:
                limit.add_metric([self._project], most)
        yield from (keys, sizes, size, limit)

    def _growth(self) -> Iterator[Metric]:
        keys = _gauge(
            "online_keys_per_day",
            "Keys by which what is online grows, as runs of the last 30 days recorded it.",
            "view",
        )
        size = _gauge("online_bytes_per_day", "Bytes by which it grows.", "view")
        views = {name: self.translator.key_of(view) for name, view in self._materializable.items()}
        for name, growth in self._growths.read(views).items():
            if growth.keys_a_day is not None and growth.bytes_a_day is not None:
                keys.add_metric([self._project, name], growth.keys_a_day)
                size.add_metric([self._project, name], growth.bytes_a_day)
        yield from (keys, size)


def _gauge(name: str, said: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", said, labels=["project", *labels])
