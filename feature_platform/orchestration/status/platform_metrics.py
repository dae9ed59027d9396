"""Metrics of a project for Prometheus, from the registry, the event log, and the alerts' state."""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from prometheus_client.core import Metric

from feature_platform.alerts.route_file import load_alerts
from feature_platform.errors import FeaturePlatformError, MetricsError, reason_of
from feature_platform.orchestration.alerting.alert_sensor import alert_sensor_name, state_file
from feature_platform.orchestration.builder import build_feast_definitions
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.orchestration.status.gauges import gauge, instance_gauge
from feature_platform.orchestration.status.growth import GrowthReader
from feature_platform.orchestration.status.online_metrics import (
    growth_metrics,
    online_store_metrics,
)
from feature_platform.orchestration.status.status_cache import StatusCache
from feature_platform.orchestration.status.watch_metrics import alert_metrics, tick_metrics
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.sensor_memory import remembered
from feature_platform.orchestration.watch.ticking import Ticking
from feature_platform.registry.windows_on_record import registered_views

if TYPE_CHECKING:
    from feature_platform.orchestration.checks.freshness_checks import Freshness

_log = logging.getLogger(__name__)
_DAY = timedelta(days=1)
_STATES = ("complete", "missing", "failed", "stale", "running")
# Metadata of a feature view's materialization: the metric's name and help.
_LAST_RUN = {
    "feature_platform/seconds": ("seconds", "Seconds the newest materialization took."),
    "feature_platform/rows_read": ("rows", "Source rows the newest materialization read."),
    "feature_platform/keys_written": ("keys_written", "Keys the newest materialization wrote."),
}


def platform_metrics(
    location: FeastCodeLocation,
    instance: dg.DagsterInstance,
    *,
    alerts_state: Path | None = None,
    online_limit: int | None = None,
) -> "PlatformMetrics":
    """The metrics of a project with the checks, sensors and schedules of its definitions.

    Args:
        location: The project.
        instance: Where its runs are recorded.
        alerts_state: The alerts' state, which has to be there; None looks where the route file,
            or the default, says.
        online_limit: Bytes that the online store can take; None uses what it says itself.

    Raises:
        AlertError: The route file is wrong, or one of its secrets is not in the environment.
    """
    name = location.project.name
    # All sensors that may have ticked, also those of automation that was switched off.
    automation = location.automation or AutomationSettings()
    definitions = build_feast_definitions(**location.arguments(alerts=None, automation=automation))
    ticking = (*(definitions.sensors or ()), *(definitions.schedules or ()))
    plan = load_alerts(location.alerts) if location.alerts else None
    alerts = alerts_state or (plan.state if plan else None)
    return PlatformMetrics(
        location.graph,
        instance,
        checks=tuple(definitions.get_repository_def().asset_graph.asset_check_keys),
        alerts=alerts or state_file(Path(instance.root_directory), name),
        alerts_expected=alerts_state is not None,
        ticking=(Ticking(alert_sensor_name(name), "sensor"), *map(Ticking.of, ticking)),
        online_limit=online_limit,
        channels=frozenset(plan.channels) if plan else None,
        translator=location.translator,
        settings=automation,
    )


@dataclass(frozen=True)
class PlatformMetrics:
    """Computes the metrics of one project, again and again.

    Attributes:
        graph: The project.
        instance: Where its runs are recorded.
        checks: Keys of its checks.
        alerts: The file with the alerts' state; None if there are no alerts.
        alerts_expected: Whether that file has to be there.
        ticking: Its sensors and schedules.
        online_limit: Bytes that the online store can take; None uses what it says itself.
        channels: Those that the route file names; None where it is not known.
        translator: The one that the definitions were built with.
        settings: They say when a window is due.
    """

    graph: FeastGraph
    instance: dg.DagsterInstance
    checks: tuple[dg.AssetCheckKey, ...]
    alerts: Path | None = None
    alerts_expected: bool = False
    ticking: tuple[Ticking, ...] = ()
    online_limit: int | None = None
    channels: frozenset[str] | None = None
    translator: DagsterFeastTranslator = DagsterFeastTranslator()  # noqa: RUF009 - has no state
    settings: AutomationSettings = field(default_factory=AutomationSettings)

    def collect(self, now: datetime | None = None) -> list[Metric]:
        """All metrics as of `now`.

        A part that cannot be computed, such as the keys of a store that is down, is left out, and
        its ``feature_platform_part_up`` is 0.
        """
        began = time.perf_counter()
        now = now or datetime.now(UTC)
        gone = self._gone()
        parts: dict[str, Callable[[], Iterable[Metric]]] = {
            "views": lambda: self._views(now),
            "freshness": lambda: self._freshness(now),
            "materializations": lambda: self._materializations(gone),
            "checks": lambda: self._check_results(gone),
            "runs": lambda: self._runs(now),
            "ticks": lambda: tick_metrics(self._project, self.instance, self.ticking, now),
            "alerts": self._alerts,
            "online_store": lambda: online_store_metrics(
                self.graph.project, self._materializable, self.online_limit
            ),
            "growth": lambda: growth_metrics(
                self._project,
                self._growths.read(
                    {name: key for name, key in self._view_keys.items() if name not in gone}
                ),
            ),
        }
        up = gauge("part_up", "Whether a part of the metrics could be computed.", "part")
        found: list[Metric] = []
        for name, compute in parts.items():
            try:
                found += compute()
            except Exception as error:  # noqa: BLE001 - one part's trouble is not another's
                _log.warning("metrics of %s are missing: %s", name, reason_of(error))
                up.add_metric([self._project, name], 0)
            else:
                up.add_metric([self._project, name], 1)
        collected = gauge("collected_timestamp_seconds", "When the metrics were computed.")
        collected.add_metric([self._project], now.timestamp())
        seconds = gauge("collect_seconds", "Seconds that computing the metrics took.")
        seconds.add_metric([self._project], time.perf_counter() - began)
        return [*found, up, collected, seconds]

    def _gone(self) -> frozenset[str]:
        """Views that the registry lacks: what past runs said of them holds no more."""
        try:
            registered = registered_views(self.graph.project.store())
        except FeaturePlatformError:
            return frozenset()  # the part "views" says so
        return frozenset(self._materializable.keys() - registered.keys())

    @property
    def _project(self) -> str:
        return self.graph.project.name

    @cached_property
    def _cache(self) -> StatusCache:
        return StatusCache(self.graph, self.instance, self.translator, self.settings)

    @cached_property
    def _freshest(self) -> "dict[str, Freshness]":
        return {}

    @cached_property
    def _growths(self) -> GrowthReader:
        return GrowthReader(self.instance)

    @cached_property
    def _materializable(self) -> Mapping[str, FeatureViewData]:
        return self.graph.materializable

    @cached_property
    def _view_keys(self) -> dict[str, dg.AssetKey]:
        return {name: self.translator.key_of(view) for name, view in self._materializable.items()}

    @cached_property
    def _kinds(self) -> dict[dg.AssetKey, str]:
        """The kind of each asset with checks; a key does not tell, as translators choose it."""
        graph = self.graph
        parts = (graph.sources, graph.views, graph.drifts, graph.skews)
        found = [graph.registry, *(each for part in parts for each in part.values())]
        return {self.translator.key_of(each): each.kind for each in found}

    def _views(self, now: datetime) -> Iterator[Metric]:
        lag = gauge(
            "view_lag_seconds",
            "From the newest window online to the newest complete one; infinite without any.",
            "view",
        )
        windows = gauge(
            "view_windows", "Windows within the TTL (at most 60), by state.", "view", "state"
        )
        gaps = gauge("view_gaps", "Due windows within the TTL that are missing or failed.", "view")
        rebuild = gauge("view_rebuild_due", "Whether a rebuild-online is due.", "view")
        up = gauge("view_up", "Whether the status of a view could be told.", "view")
        there = gauge("view_registered", "Whether the registry has a view of the repo.", "view")
        for name, status in self._cache.statuses(self._materializable, now).items():
            where = [self._project, name]
            up.add_metric(where, not status.trouble)
            if status.trouble:
                continue
            there.add_metric(where, status.registered)
            lag.add_metric(where, math.inf if status.lag is None else status.lag.total_seconds())
            counts = dict.fromkeys(_STATES, 0)
            for window in status.windows:
                counts[window.state] += 1
            for state, count in counts.items():
                windows.add_metric([*where, state], count)
            gaps.add_metric(where, status.gaps)
            rebuild.add_metric(where, status.rebuild_due)
        yield from (lag, windows, gaps, rebuild, up, there)

    def _freshness(self, now: datetime) -> Iterator[Metric]:
        """By the newest rows: sources are read if a view was materialized since the last time.

        What the freshness sensor has read is not read again here, nor the other way round.
        """
        from feature_platform.orchestration.checks.freshness_checks import freshness
        from feature_platform.orchestration.watch.sensor_context import SensorContext

        fresh = gauge(
            "view_freshness_seconds",
            "Age of the newest row that is served, by event time; infinite where none is.",
            "view",
        )
        promise = gauge(
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
            # Views that were not reached in time keep their previous value.
            self._freshest.update(freshness(look).views)
        for name, each in self._freshest.items():
            newest = math.inf if each.newest is None else (now - each.newest).total_seconds()
            fresh.add_metric([self._project, name], newest)
            promise.add_metric([self._project, name], each.promise.total_seconds())
        yield from (fresh, promise)

    def _materializations(self, gone: Collection[str]) -> Iterator[Metric]:
        at = gauge(
            "materialization_timestamp_seconds", "When a view was last materialized.", "view"
        )
        gauges = {
            label: gauge(f"materialization_{name}", help_text, "view")
            for label, (name, help_text) in _LAST_RUN.items()
        }
        names = {key: name for name, key in self._view_keys.items() if name not in gone}
        for record in self.instance.get_asset_records(list(names)):
            entry = record.asset_entry
            newest = entry.last_materialization_record
            if newest is None or newest.asset_materialization is None:
                continue
            where = [self._project, names[entry.asset_key]]
            at.add_metric(where, newest.timestamp)
            for label, each in gauges.items():
                value = _number(newest.asset_materialization.metadata.get(label))
                if value is not None:
                    each.add_metric(where, value)
        yield from (at, *gauges.values())

    def _check_results(self, gone: Collection[str]) -> Iterator[Metric]:
        passed = gauge(
            "check_passed",
            "Whether the newest evaluation of a check passed; severity is that of a failure.",
            *("asset", "kind", "check", "severity"),
        )
        at = gauge("check_timestamp_seconds", "When a check last ran.", "asset", "check")
        distance = gauge(
            "drift_distance",
            "How far a feature is from its reference, in multiples of its threshold.",
            *("asset", "feature"),
        )
        storage = self.instance.event_log_storage
        left_out = {self._view_keys[name] for name in gone}
        checks = [check for check in self.checks if check.asset_key not in left_out]
        latest = storage.get_latest_asset_check_execution_by_key(checks)
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
            found = _number(evaluation.metadata.get("feature_platform/distance"))
            if found is not None:
                distance.add_metric([self._project, asset, key.name], found)
        yield from (passed, at, distance)

    def _runs(self, now: datetime) -> Iterator[Metric]:
        # Gauges, since runs are deleted: a counter must not fall.
        runs = instance_gauge(
            "runs", "Runs that ended and are on record, of the whole Dagster instance.", "status"
        )
        lately = instance_gauge(
            "runs_last_day", "Those of them that ended within 24 hours.", "status"
        )
        for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
            where = [status.value.lower()]
            runs.add_metric(where, self._count([status], None))
            lately.add_metric(where, self._count([status], now - _DAY))
        yield from (runs, lately)

    def _count(self, statuses: list[dg.DagsterRunStatus], since: datetime | None) -> int:
        return self.instance.get_runs_count(dg.RunsFilter(statuses=statuses, updated_after=since))

    def _alerts(self) -> Iterable[Metric]:
        if self.alerts is not None and self.alerts.exists():
            return alert_metrics(self._project, self.alerts, self.channels)
        if self.alerts_expected:
            raise MetricsError(
                f"--alerts-state '{self.alerts}'",
                "is not there: the alert sensor has not looked yet, or keeps its state elsewhere",
                "name the file that the route file calls 'state:', as seen from here",
            )
        return ()


def _number(value: Any) -> float | None:
    """A number in metadata; None where it is none, which is no reason to tell nothing else."""
    try:
        return None if value is None else float(str(value.value))
    except ValueError:
        return None
