"""Schedules that materialize each view's newest complete partition, when its tags say."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from feature_platform.orchestration.graph.cadence import cron_of, require_cron
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.repo.cadences import CADENCES, Cadence


def build_schedules(
    project: str,
    views: Sequence[FeatureViewData],
    upstream: Mapping[str, Sequence[dg.AssetKey]],
    default_status: dg.DefaultScheduleStatus,
) -> tuple[list[Any], list[dg.ScheduleDefinition]]:
    """One job and one schedule for each combination of cadence and cron among the views.

    Args:
        project: Feast's name of the project; names begin with it.
        views: The views that can be materialized.
        upstream: For each view, the keys that a run of it materializes, its own included.
        default_status: Whether the schedules start switched on.

    Raises:
        RepoError: A ``dagster/cron`` tag is not a cron expression.
    """
    groups: dict[tuple[Cadence, str], list[FeatureViewData]] = defaultdict(list)
    for view in views:
        require_cron(view.name, view.settings)
        groups[view.settings.partitions, cron_of(view.settings)].append(view)
    jobs, schedules = [], []
    for (cadence, cron), members in sorted(groups.items()):
        default = cron == CADENCES[cadence].cron
        name = _name(project, cadence, "" if default else cron)
        keys = {key for view in members for key in upstream[view.name]}
        job = dg.define_asset_job(
            name,
            # Assets with their checks: a blocking check blocks only if it is selected.
            selection=dg.AssetSelection.assets(*keys),
            description=f"Sources, checks and feature views of {project}, {cadence}.",
        )
        jobs.append(job)
        schedules.append(
            _schedule(
                name=name,
                job=job,
                cadence=cadence,
                cron=cron,
                view=members[0],
                default_status=default_status,
            )
        )
    return jobs, schedules


def _schedule(
    *,
    name: str,
    job: Any,
    cadence: str,
    cron: str,
    view: FeatureViewData,
    default_status: dg.DefaultScheduleStatus,
) -> dg.ScheduleDefinition:
    partitions = view.partitions

    @dg.schedule(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=default_status,
        description=f"The newest complete {cadence} partition, at '{cron}' UTC.",
    )
    def newest_complete_partition(
        context: dg.ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        moment = context.scheduled_execution_time
        keys = partitions.get_partition_keys(current_time=moment)
        if not keys:
            return dg.SkipReason(f"no {cadence} partition is complete at {moment.isoformat()}")
        # A tick that is evaluated twice requests one run; a cron that is more frequent than its
        # partitions requests one each time.
        return dg.RunRequest(run_key=f"{keys[-1]} {moment.isoformat()}", partition_key=keys[-1])

    return newest_complete_partition


def _name(project: str, cadence: str, cron: str) -> str:
    """A name for the job of a cron; different crons have different names."""
    words = {"*": "x", "-": "to", ",": "and", "/": "by"}
    suffix = "".join(char if char.isalnum() else words.get(char, "_") for char in cron)
    parts = (re.sub(r"[^A-Za-z0-9_]", "_", project), cadence, suffix)
    return "_".join(part for part in parts if part)
