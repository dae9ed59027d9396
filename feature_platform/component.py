"""FeastRepoComponent: the asset graph of a Feast repo from a ``defs.yaml``."""

from typing import Any

import dagster as dg

from feature_platform.drift.drift_settings import DriftSettings
from feature_platform.orchestration.builder import build_feast_definitions
from feature_platform.orchestration.graph.retries import RETRIES
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.repo.project import FeastProject


class FeastRepoComponent(dg.Component, dg.Model, dg.Resolvable):
    """A Feast feature repo as Dagster assets, checks, jobs, and schedules.

    Attributes:
        repo_dir: The folder that holds ``feature_store.yaml``, relative to ``defs.yaml``.
        start_date: First day of the partitions, ``YYYY-MM-DD``, UTC.
        profile: ``p`` reads ``feature_store.p.yaml``; None reads ``feature_store.yaml``.
        drift: The settings of ``drift.yaml``, in place of the repo's file.
        alerts: The route file of alerts, relative to ``defs.yaml``.
        automation: `AutomationSettings` by name, such as
            ``{gap: false, tries: 5, grace: 1h, running: true}``; None adds no sensors.
        training_sets_dir: Folder of the snapshots of training sets, relative to the repo.
        max_retries: Retries of a failed step whose error may be temporary; 0 for none.
        schedules: Whether to add jobs and schedules.
        schedules_running: Whether the schedules start switched on.
    """

    repo_dir: str
    start_date: str
    profile: str | None = None
    drift: dict[str, Any] | None = None
    alerts: str | None = None
    automation: dict[str, Any] | None = None
    training_sets_dir: str = "data/training_sets"
    max_retries: int = RETRIES.max_retries
    schedules: bool = True
    schedules_running: bool = False

    def get_translator(self) -> DagsterFeastTranslator:
        """The translator; override it in a subclass to change keys, owners, or metadata."""
        return DagsterFeastTranslator()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the definitions."""
        status = dg.DefaultScheduleStatus
        project = FeastProject(context.path / self.repo_dir, profile=self.profile)
        settings = self.automation
        automation = None if settings is None else AutomationSettings.parse(settings)
        return build_feast_definitions(
            project,
            start_date=self.start_date,
            translator=self.get_translator(),
            drift=None if self.drift is None else DriftSettings.parse(self.drift, project),
            alerts=context.path / self.alerts if self.alerts else None,
            automation=automation,
            training_sets_dir=self.training_sets_dir,
            retry_policy=RETRIES._replace(max_retries=self.max_retries),
            schedules=self.schedules,
            default_schedule_status=status.RUNNING if self.schedules_running else status.STOPPED,
        )
