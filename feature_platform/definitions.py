"""The code location of ``workspace.yaml``: the fraud repo, unless the environment says otherwise.

``FEATURE_PLATFORM_REPO``, ``FEATURE_PLATFORM_PROFILE`` and ``FEATURE_PLATFORM_START_DATE`` choose
another repo, profile, or first day of the partitions; ``FEATURE_PLATFORM_ALERTS`` a route file.
``FEATURE_PLATFORM_AUTOMATION=off`` leaves out the sensors that start repairs.
"""

import os
from pathlib import Path

import dagster as dg

from feature_platform.orchestration.builder import build_feast_definitions
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.repo.project import FeastProject

_REPO = Path(__file__).parent.parent / "feature_repo"

defs = build_feast_definitions(
    FeastProject(
        os.environ.get("FEATURE_PLATFORM_REPO", _REPO),
        profile=os.environ.get("FEATURE_PLATFORM_PROFILE") or None,
    ),
    start_date=os.environ.get("FEATURE_PLATFORM_START_DATE", "2026-01-01"),
    automation=None
    if os.environ.get("FEATURE_PLATFORM_AUTOMATION") == "off"
    else AutomationSettings(running=True),
    alerts=os.environ.get("FEATURE_PLATFORM_ALERTS") or None,
    default_schedule_status=dg.DefaultScheduleStatus.RUNNING,
)
