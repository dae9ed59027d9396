"""`build_feast_definitions`: one Feast repo in, one Dagster ``Definitions`` out."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from feature_platform.assets.feature_views import build_feature_view_asset
from feature_platform.assets.registry import build_registry_asset
from feature_platform.assets.source_tables import table_builder_for
from feature_platform.assets.sources import build_source_asset
from feature_platform.automation.schedules import build_schedules
from feature_platform.checks.feature_views import build_online_check
from feature_platform.checks.gate import SourceGate
from feature_platform.checks.registry import build_registry_check
from feature_platform.checks.source_checks import SourceChecks, build_source_checks
from feature_platform.errors import RepoError
from feature_platform.graph import FeastGraph
from feature_platform.store.project import FeastProject
from feature_platform.translator import DagsterFeastTranslator


def build_feast_definitions(
    project: FeastProject,
    start_date: str,
    *,
    translator: DagsterFeastTranslator | None = None,
    resources: Mapping[str, Any] | None = None,
    schedules: bool = True,
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
        schedules: Whether to add jobs and schedules.
        default_schedule_status: Whether the schedules start switched on.

    Raises:
        RepoError: The repo, a tag, or `start_date` is not what it should be.
    """
    _require_date(start_date)
    translator = translator or DagsterFeastTranslator()
    graph = FeastGraph(project, start_date)
    builder = table_builder_for(project)

    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        build_registry_asset(graph.registry, translator)
    ]
    checks: list[dg.AssetChecksDefinition] = [build_registry_check(graph.registry, translator)]
    source_checks: dict[str, SourceChecks] = {}
    for name, source in graph.sources.items():
        has_sql = project.sql_file(name) is not None
        asset = build_source_asset(source, translator, builder if has_sql else None)
        source_checks[name] = SourceChecks(source, asset.key)
        assets.append(asset)
        checks.append(build_source_checks(source_checks[name]))

    closures: dict[str, list[dg.AssetKey]] = {}
    for name, view in graph.views.items():
        if view.refusal:
            assets.append(translator.get_asset_spec(view))
            continue
        gate = SourceGate(name, source_checks[view.obj.batch_source.name])
        asset = build_feature_view_asset(view, translator, gate)
        assets.append(asset)
        checks.append(build_online_check(view, asset.key))
        closures[name] = [translator.get_asset_spec(graph.registry).key, gate.checks.key, asset.key]

    lineage_only = [
        *graph.raw_tables.values(),
        *graph.on_demand_views.values(),
        *graph.services.values(),
    ]
    assets += [translator.get_asset_spec(each) for each in lineage_only]

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
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=jobs,
        schedules=crons,
        resources={**(builder.resources if builder else {}), **(resources or {})},
        # Steps are forked from a server that has imported the code location once: a step
        # does not pay for importing Feast and Great Expectations again.
        executor=dg.multiprocess_executor.configured({"start_method": {"forkserver": {}}}),
    )


def _require_date(text: str) -> None:
    from datetime import date

    try:
        valid = date.fromisoformat(text).isoformat() == text
    except ValueError:
        valid = False
    if not valid:
        raise RepoError("start date", f"'{text}' is not a day", "write it as YYYY-MM-DD")
