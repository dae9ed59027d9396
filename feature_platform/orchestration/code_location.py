"""What a code location was built with, kept in its definitions for whoever loads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.metadata.metadata_value import ObjectMetadataValue

from feature_platform.drift.drift_settings import DriftSettings
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.repo.project import FeastProject
from feature_platform.training.entity_rows import EntityRows
from feature_platform.training.training_set_files import load_training_sets

_PREFIX = "feature_platform/code_location"


@dataclass(frozen=True)
class FeastCodeLocation:
    """The settings of one Feast project: the arguments of `build_feast_definitions`.

    Jobs, schedules and retries are left out: they concern Dagster's daemon alone.

    Attributes:
        project: The repo and its profile.
        start_date: First day of the partitions, ``YYYY-MM-DD``, UTC.
        translator: Gives the asset keys.
        resources: The user's own Dagster resources.
        training_sets: Entity rows that are given in code, by service; see `all_training_sets`.
        training_sets_dir: Where snapshots are kept, relative to the repo.
        drift: Drift settings that are given in code; see `drift_settings`.
        alerts: The route file.
        automation: Limits of automation; None has no sensors.
    """

    project: FeastProject
    start_date: str
    translator: DagsterFeastTranslator = field(default_factory=DagsterFeastTranslator)
    resources: Mapping[str, Any] = field(default_factory=dict)
    training_sets: Mapping[str, EntityRows] = field(default_factory=dict)
    training_sets_dir: str = "data/training_sets"
    drift: DriftSettings | None = None
    alerts: str | Path | None = None
    automation: AutomationSettings | None = None

    @cached_property
    def graph(self) -> FeastGraph:
        """The repo's objects and their dependencies.

        Raises:
            RepoError: The start date is not a day.
        """
        return FeastGraph(self.project, self.start_date)

    @cached_property
    def drift_settings(self) -> DriftSettings:
        """Those given in code, else those of the repo's ``drift.yaml``, else the defaults."""
        return self.drift or DriftSettings.load(self.project)

    @cached_property
    def all_training_sets(self) -> Mapping[str, EntityRows]:
        """Entity rows by service: the repo's files, and what is given in code."""
        return {**load_training_sets(self.project), **self.training_sets}

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """Arguments of `build_feast_definitions` that give the same definitions, but `changes`."""
        return {each.name: getattr(self, each.name) for each in fields(self)} | changes

    def read_again(self) -> "FeastCodeLocation":
        """The same settings with the repo as its files are now."""
        return replace(self, project=FeastProject(self.project.repo_dir, self.project.profile))

    def on_profile(self, profile: str) -> "FeastCodeLocation":
        """The same settings with another profile of the repo.

        Raises:
            RepoError: The repo has no such profile.
        """
        return replace(self, project=FeastProject(self.project.repo_dir, profile))

    def metadata(self) -> Mapping[str, dg.MetadataValue[Any]]:
        """An entry for `dagster.Definitions.metadata`, which `Definitions.merge` keeps.

        The object itself stays in this process; other processes see the name of its class.
        """
        name = "/".join(filter(None, (_PREFIX, self.project.name, self.project.profile)))
        return {name: ObjectMetadataValue(self)}


def feast_code_locations(definitions: dg.Definitions) -> list[FeastCodeLocation]:
    """What each Feast project of the definitions was built with, in the order of the merge."""
    return [
        value.instance
        for value in definitions.metadata.values()
        if isinstance(value, ObjectMetadataValue) and isinstance(value.instance, FeastCodeLocation)
    ]
