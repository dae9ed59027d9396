"""`build_feast_definitions`: one Feast repo in, one Dagster ``Definitions`` out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from feature_platform.alerts.route_file import load_alerts
from feature_platform.drift.drift_settings import DriftSettings
from feature_platform.errors import RepoError
from feature_platform.orchestration.alerting.alert_sensor import build_alert_sensor
from feature_platform.orchestration.assets.builder_resources import builder_resources
from feature_platform.orchestration.assets.drift_assets import build_drift_asset
from feature_platform.orchestration.assets.registry_asset import build_registry_asset
from feature_platform.orchestration.assets.skew_assets import build_skew_asset
from feature_platform.orchestration.assets.source_assets import build_source_asset
from feature_platform.orchestration.assets.training_set_assets import (
    TrainingSetSettings,
    build_training_set_asset,
)
from feature_platform.orchestration.assets.view_assets import build_feature_view_asset
from feature_platform.orchestration.checks.drift_gate import DriftReport
from feature_platform.orchestration.checks.freshness_checks import build_freshness_checks
from feature_platform.orchestration.checks.online_check import build_online_check
from feature_platform.orchestration.checks.registry_check import build_registry_check
from feature_platform.orchestration.checks.source_checks import SourceChecks, build_source_checks
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.graph.closures import run_closures
from feature_platform.orchestration.graph.executor import preloaded_executor
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.retries import RETRIES
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import (
    DriftData,
    FeastTranslatorData,
    FeatureViewData,
)
from feature_platform.orchestration.repairs.conditions import conditioned
from feature_platform.orchestration.repairs.schedules import build_schedules
from feature_platform.orchestration.repairs.skew_schedule import build_skew_schedule
from feature_platform.orchestration.sensors.automation_sensors import build_automation
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.ticking import CONDITIONS, Ticking
from feature_platform.repo.computability import is_computed_here, why_transformed
from feature_platform.repo.project import FeastProject
from feature_platform.tables.table_builders import TableBuilder, table_builder_for
from feature_platform.training.entity_rows import EntityRows

Built: TypeAlias = Iterator[dg.AssetsDefinition | dg.AssetChecksDefinition | dg.AssetSpec]


def build_feast_definitions(
    project: FeastProject,
    start_date: str,
    *,
    translator: DagsterFeastTranslator | None = None,
    resources: Mapping[str, Any] | None = None,
    training_sets: Mapping[str, EntityRows] | None = None,
    training_sets_dir: str = "data/training_sets",
    drift: DriftSettings | None = None,
    alerts: str | Path | None = None,
    automation: AutomationSettings | None = None,
    schedules: bool = True,
    retry_policy: dg.RetryPolicy | None = RETRIES,
    default_schedule_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
) -> dg.Definitions:
    """Build the asset graph of a Feast repo: assets, checks, jobs, schedules, and sensors.

    Args:
        project: The repo and its profile.
        start_date: First day of the partitions, ``YYYY-MM-DD``, UTC.
        translator: Changes keys, groups, owners, tags or metadata of the assets.
        resources: Dagster resources. ``bigquery`` replaces the default one, which takes the
            project of the offline store and the credentials of the environment.
        training_sets: Entity rows of training sets by feature service, in addition to the repo's
            ``training_sets/<service>.yaml``.
        training_sets_dir: Folder of their snapshots, relative to the repo.
        drift: References and thresholds of drift; None takes the repo's ``drift.yaml``, or the
            defaults.
        alerts: The route file of alerts; None adds no alerts.
        automation: Which repairs start automatically, and their limits; None adds no sensors for
            them.
        schedules: Whether to add jobs and schedules.
        retry_policy: How failed steps are retried: by default three times, five minutes apart,
            unless the error is permanent. None fails at once.
        default_schedule_status: Whether schedules start switched on.

    Raises:
        RepoError: The repo, a tag, or `start_date` is invalid.
        AlertError: The route file is invalid, or one of its secrets is not in the environment.
    """
    plan = load_alerts(alerts) if alerts else None
    translator = translator or DagsterFeastTranslator()
    location = FeastCodeLocation(
        project,
        start_date,
        translator=translator,
        resources=resources or {},
        training_sets=training_sets or {},
        training_sets_dir=training_sets_dir,
        drift=drift,
        alerts=alerts,
        automation=automation,
    )
    graph = location.graph
    _refuse_shared_keys(graph, translator)
    tables = table_builder_for(project)
    repo = _RepoBuilder(graph, translator, tables, drift, automation, retry_policy)
    sets = location.all_training_sets
    built = [
        *repo.registry(),
        *repo.sources(),
        *repo.drift_reports(),
        *repo.views(),
        *repo.freshness(),
        *repo.lineage(),
        *repo.skew_reports(),
        *repo.training_sets(sets, project.repo_dir / training_sets_dir),
    ]
    checks = [each for each in built if isinstance(each, dg.AssetChecksDefinition)]
    assets = [each for each in built if not isinstance(each, dg.AssetChecksDefinition)]
    jobs, crons = repo.schedules(default_schedule_status) if schedules else ([], [])
    sensors = build_automation(automation, graph, translator, sets)
    if plan:
        ticking = [Ticking.of(each) for each in (*sensors, *crons)]
        if automation and automation.condition:
            ticking.append(CONDITIONS)
        alerting = build_alert_sensor(plan, graph, translator, assets, checks, ticking=ticking)
        sensors.insert(0, alerting)
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=jobs,
        schedules=crons,
        sensors=sensors,
        resources={**builder_resources(project, tables), **(resources or {})},
        # Steps are forked from a server that has imported Feast and Great Expectations.
        executor=preloaded_executor,
        metadata=location.metadata(),
    )


@dataclass(frozen=True)
class _RepoBuilder:
    """Builds assets and checks of a repo, one kind at a time.

    What cannot be materialized becomes a spec: it appears in the graph, with the reason.
    """

    graph: FeastGraph
    translator: DagsterFeastTranslator
    tables: TableBuilder | None
    drift: DriftSettings | None
    automation: AutomationSettings | None
    retry_policy: dg.RetryPolicy | None

    @cached_property
    def source_checks(self) -> Mapping[str, SourceChecks]:
        """The checks of each source that can be read."""
        return {
            name: SourceChecks(source, self.translator.key_of(source))
            for name, source in self.graph.sources.items()
            if not source.refusal
        }

    @cached_property
    def reports(self) -> Mapping[str, DriftReport]:
        """The drift report of each view that can be compared."""
        settings = self.drift or DriftSettings.load(self.graph.project)
        for name in settings.views:
            self.graph.project.view(name)  # raises if the repo lacks it
        return {
            name: DriftReport(each, self.translator, settings)
            for name, each in self.graph.drifts.items()
            if isinstance(each, DriftData)
        }

    def registry(self) -> Built:
        data = self.graph.registry
        yield build_registry_asset(data, self.translator, self.retry_policy)
        yield build_registry_check(data, self.translator.key_of(data))

    def sources(self) -> Built:
        for name, source in self.graph.sources.items():
            if source.refusal:
                yield self.translator.spec_of(source)
                continue
            tables = self.tables if self.graph.project.sql_file(name) else None
            yield build_source_asset(source, self.translator, tables, self.retry_policy)
            yield build_source_checks(self.source_checks[name])

    def drift_reports(self) -> Built:
        for name, data in self.graph.drifts.items():
            if name in self.reports:
                yield build_drift_asset(self.reports[name], self.retry_policy)
            else:
                yield self.translator.spec_of(data)

    def views(self) -> Built:
        for name, view in self.graph.views.items():
            if not isinstance(view, FeatureViewData):
                yield self.translator.spec_of(view)
                continue
            gates = [SourceGate(name, self.source_checks[each.name]) for each in view.sources]
            report = self.reports.get(name)
            drift = report if report and report.blocking else None
            asset = build_feature_view_asset(view, self.translator, gates, self.retry_policy, drift)
            yield conditioned(asset, self.automation)
            # Rows that a remote engine computes cannot be computed here, to compare with.
            if not why_transformed(view.obj) or is_computed_here(self.graph.project.config):
                yield build_online_check(view, asset.key)

    def freshness(self) -> Built:
        yield from build_freshness_checks(self.graph, self.translator, self.automation)

    def lineage(self) -> Built:
        """Objects that are never materialized."""
        for kind in (self.graph.raw_tables, self.graph.on_demand_views, self.graph.services):
            yield from map(self.translator.spec_of, kind.values())

    def skew_reports(self) -> Built:
        for skew in self.graph.skews.values():
            if skew.refusal:
                yield self.translator.spec_of(skew)
            else:
                yield build_skew_asset(skew, self.translator, self.retry_policy)

    def training_sets(self, sets: Mapping[str, EntityRows], folder: Path) -> Built:
        for service, rows in sets.items():
            data = self.graph.training_set(service, rows.partitions)
            settings = TrainingSetSettings(rows, folder)
            yield build_training_set_asset(data, self.translator, settings, self.retry_policy)

    def schedules(
        self, status: dg.DefaultScheduleStatus
    ) -> tuple[list[Any], list[dg.ScheduleDefinition]]:
        """Jobs and schedules of the views and of the skew reports."""
        name = self.graph.project.name
        closures = run_closures(self.graph, self.translator)
        views = list(self.graph.materializable.values())
        skews = [skew for skew in self.graph.skews.values() if not skew.refusal]
        jobs, crons = build_schedules(name, views, closures, status)
        skew_jobs, skew_crons = build_skew_schedule(
            name, [self.translator.key_of(skew) for skew in skews], status
        )
        return [*jobs, *skew_jobs], [*crons, *skew_crons]


def _refuse_shared_keys(graph: FeastGraph, translator: DagsterFeastTranslator) -> None:
    """Raise if two objects have one asset key: they would become one asset."""
    kinds: Sequence[Mapping[str, FeastTranslatorData]] = (
        graph.sources,
        graph.views,
        graph.on_demand_views,
        graph.services,
        graph.drifts,
        graph.skews,
    )
    seen: dict[dg.AssetKey, FeastTranslatorData] = {}
    for each in (data for kind in kinds for data in kind.values()):
        other = seen.setdefault(translator.key_of(each), each)
        if other is not each:
            raise RepoError(
                f"{each.kind.replace('_', ' ')} '{each.name}'",
                f"has the same asset key as '{other.name}', "
                f"{translator.key_of(each).to_user_string()}",
                "rename one of them, or give it another key in a translator",
            )
