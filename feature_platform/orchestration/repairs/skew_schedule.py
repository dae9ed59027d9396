"""The schedule of the skew reports: once a day, an hour after the views are materialized."""

import re
from collections.abc import Sequence
from typing import Any

import dagster as dg

SKEW_CRON = "0 7 * * *"


def build_skew_schedule(
    project: str, keys: Sequence[dg.AssetKey], default_status: dg.DefaultScheduleStatus
) -> tuple[list[Any], list[dg.ScheduleDefinition]]:
    """One job of all skew assets and its schedule; none if there are no services.

    Args:
        project: Feast's name of the project; names begin with it.
        keys: The skew assets.
        default_status: Whether the schedule starts switched on.
    """
    if not keys:
        return [], []
    name = f"{re.sub(r'[^A-Za-z0-9_]', '_', project)}_skew"
    job = dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*keys),
        description=f"Compares what the feature services of {project} serve with training sets.",
    )
    schedule = dg.ScheduleDefinition(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=SKEW_CRON,
        execution_timezone="UTC",
        default_status=default_status,
        description=f"Every day at '{SKEW_CRON}' UTC.",
    )
    return [job], [schedule]
