"""`build_feast_definitions`: one Feast repo in, one Dagster ``Definitions`` out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from feature_platform.orchestration.graph.translator import (
    DagsterFeastTranslator,
    FeastTranslatorData,
)
from feature_platform.orchestration.repairs.conditions import conditioned
from feature_platform.orchestration.repairs.schedules import build_schedules
from feature_platform.orchestration.repairs.skew_schedule import build_skew_schedule
from feature_platform.orchestration.sensors.automation_sensors import build_automation
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.ticking import CONDITIONS, Ticking
from feature_platform.repo.computability import is_computed_here, why_transformed
from feature_platform.repo.project import FeastProject
from feature_platform.tables.table_builders import table_builder_for
from feature_platform.training.entity_rows import EntityRows


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
    """Build the asset graph of a Feast repo: assets, checks, jobs, and schedules.

    Args:
        project: The repo and its profile.
        start_date: First day of the partitions, ``YYYY-MM-DD``, UTC.
        translator: Changes keys, groups, owners, tags or metadata of the assets.
        resources: Dagster resources; ``bigquery`` where the repo builds tables in BigQuery and
            the default one (project of the offline store, credentials of the environment) is not
            the right one.
        training_sets: Where the entity rows of a feature service's training set come from, beside
            what the repo says in ``training_sets/<service>.yaml``.
        training_sets_dir: Where their snapshots are kept, relative to the repo.
        drift: What drift is measured against, and how much of it matters; None takes the repo's
            ``drift.yaml``, or the defaults.
        alerts: The route file that says whom to tell what is wrong; None adds no alerts.
        automation: Which repairs are started without being asked, and within which limits; None
            adds no sensors for them.
        schedules: Whether to add jobs and schedules.
        retry_policy: When a failed step is tried again: three times, five minutes apart, where
            that can help. None is for people who wait for the result.
        default_schedule_status: Whether the schedules start switched on.

    Raises:
        RepoError: The repo, a tag, or `start_date` is not what it should be.
        AlertError: The route file is wrong, or one of its secrets is not in the environment.
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
    builder = table_builder_for(project)

    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        build_registry_asset(graph.registry, translator, retry_policy)
    ]
    checks: list[dg.AssetChecksDefinition] = [build_registry_check(graph.registry, translator)]
    source_checks: dict[str, SourceChecks] = {}
    for name, source in graph.sources.items():
        if source.refusal:
            assets.append(translator.spec_of(source))
            continue
        has_sql = project.sql_file(name) is not None
        asset = build_source_asset(source, translator, builder if has_sql else None, retry_policy)
        source_checks[name] = SourceChecks(source, asset.key)
        assets.append(asset)
        checks.append(build_source_checks(source_checks[name]))

    reports = _drift_reports(graph, translator, location.drift_settings)
    assets += [
        translator.spec_of(each.data)
        if each.data.refusal
        else build_drift_asset(each, retry_policy)
        for each in reports.values()
    ]

    for name, view in graph.views.items():
        if view.refusal:
            assets.append(translator.spec_of(view))
            continue
        gates = [SourceGate(name, source_checks[each.name]) for each in view.sources]
        report = reports.get(name)
        asset = build_feature_view_asset(view, translator, gates, retry_policy, report)
        asset = conditioned(asset, automation)
        assets.append(asset)
        if not why_transformed(view.obj) or is_computed_here(project.config):
            # What an engine elsewhere computes cannot be computed again here, to compare with.
            checks.append(build_online_check(view, asset.key))
    closures = run_closures(graph, translator)

    checks += build_freshness_checks(graph, translator, automation)

    lineage_only = [
        *graph.raw_tables.values(),
        *graph.on_demand_views.values(),
        *graph.services.values(),
    ]
    assets += [translator.spec_of(each) for each in lineage_only]

    skews = [skew for skew in graph.skews.values() if not skew.refusal]
    assets += [
        translator.spec_of(skew)
        if skew.refusal
        else build_skew_asset(skew, translator, retry_policy)
        for skew in graph.skews.values()
    ]
    sets = location.all_training_sets
    for name, rows in sets.items():
        data = graph.training_set(name, rows.partitions)
        settings = TrainingSetSettings(rows, project.repo_dir / training_sets_dir)
        assets.append(build_training_set_asset(data, translator, settings, retry_policy))

    jobs, crons = (
        build_schedules(
            project.name,
            [graph.views[name] for name in closures],
            closures,
            default_schedule_status,
        )
        if schedules
        else ([], [])
    )
    if schedules:
        skew_jobs, skew_crons = build_skew_schedule(
            project.name, [translator.key_of(skew) for skew in skews], default_schedule_status
        )
        jobs += skew_jobs
        crons += skew_crons
    sensors = build_automation(automation, graph, translator, sets)
    if plan:
        ticking = [
            *(Ticking.of(each) for each in (*sensors, *crons)),
            *([CONDITIONS] if automation and automation.condition else []),
        ]
        alerting = build_alert_sensor(plan, graph, translator, assets, checks, ticking=ticking)
        sensors.insert(0, alerting)
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=jobs,
        schedules=crons,
        sensors=sensors,
        resources={**builder_resources(project, builder), **(resources or {})},
        # Steps are forked from a server that has imported everything once: a step
        # does not pay for importing Feast and Great Expectations again.
        executor=preloaded_executor,
        metadata=location.metadata(),
    )


def _drift_reports(
    graph: FeastGraph, translator: DagsterFeastTranslator, settings: DriftSettings
) -> dict[str, DriftReport]:
    """By view; a setting for a view that the repo lacks is refused."""
    for name in settings.views:
        graph.project.view(name)
    return {name: DriftReport(each, translator, settings) for name, each in graph.drifts.items()}


def _refuse_shared_keys(graph: FeastGraph, translator: DagsterFeastTranslator) -> None:
    """Two objects under one asset key would be one asset with half of each."""
    seen: dict[dg.AssetKey, FeastTranslatorData] = {}
    for each in (
        *graph.sources.values(),
        *graph.views.values(),
        *graph.on_demand_views.values(),
        *graph.services.values(),
        *graph.drifts.values(),
        *graph.skews.values(),
    ):
        other = seen.setdefault(translator.key_of(each), each)
        if other is not each:
            raise RepoError(
                f"{each.kind.replace('_', ' ')} '{each.name}'",
                f"has the same asset key as '{other.name}', "
                f"{translator.key_of(each).to_user_string()}",
                "rename one of them, or give it another key in a translator",
            )
