"""A project whose sensors are built: what all of them work with."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import dagster as dg

from feature_platform.orchestration.graph.closures import run_closures
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.repairs.schedules import build_schedules
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.observed_events import Underway, underway
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import remembered
from feature_platform.repo.project import FeastProject
from feature_platform.repo.repo_files import own_files
from feature_platform.training.entity_rows import EntityRows


@dataclass(frozen=True)
class AutomatedProject:
    """A project and what its sensors may do.

    Attributes:
        graph: The repo's graph.
        translator: The one that the definitions are built with.
        settings: The limits of automation.
        sets: The entity rows of training sets, by service.
        repo: A hash of the files that define the repo, as they were when this was made.
    """

    graph: FeastGraph
    translator: DagsterFeastTranslator
    settings: AutomationSettings
    sets: Mapping[str, EntityRows] = field(default_factory=dict)
    repo: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "repo", repo_hash(self.graph.project))

    @property
    def name(self) -> str:
        """Feast's name of the project."""
        return self.graph.project.name

    def sensor_name(self, sensor: str) -> str:
        """Dagster's name of a sensor of this project."""
        return f"{op_name(dg.AssetKey(self.name))}_{sensor}"

    @cached_property
    def closures(self) -> Mapping[str, Sequence[dg.AssetKey]]:
        """For each view that can be materialized, what a run of it materializes."""
        return run_closures(self.graph, self.translator)

    def underway(self, instance: dg.DagsterInstance) -> Underway:
        """The runs of the project that are queued or in progress."""
        return underway(instance, self.name, self._assets_by_job)

    @cached_property
    def _assets_by_job(self) -> Mapping[str, frozenset[dg.AssetKey]]:
        """What each scheduled job materializes: its runs name no assets."""
        jobs, _ = build_schedules(
            self.name,
            list(self.graph.materializable.values()),
            self.closures,
            dg.DefaultScheduleStatus.STOPPED,
        )
        return {job.name: frozenset(job.selection.selected_keys) for job in jobs}

    @contextmanager
    def context(
        self, instance: dg.DagsterInstance, sensor: str, now: datetime
    ) -> Iterator[SensorContext]:
        """The context of one tick of a sensor; its memory is stored when the block ends."""
        store = self.graph.project.store()
        with remembered(Path(instance.root_directory), self.graph.project, sensor) as memory:
            yield SensorContext(
                self.graph, self.translator, instance, store, self.settings, memory, now
            )


def repo_hash(project: FeastProject) -> str:
    """A hash of the files that define a repo, as they are now."""
    files = [project.config_path, *own_files(project.repo_dir)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(project.repo_dir)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
