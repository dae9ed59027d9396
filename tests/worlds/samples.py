"""Repos to run, an instance to run them in, and what was put online by it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from worlds import sample_tables
from worlds.places import SAMPLE_REPOS, copied

from feature_platform import DagsterFeastTranslator, FeastProject, build_feast_definitions
from feature_platform.orchestration.graph.feast_graph import FeastGraph


@dataclass
class Sample:
    """A Feast repo in a folder of its own, its asset graph, and an instance to run it in."""

    repo: Path
    start_date: str = "2026-03-01"
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    @property
    def project(self) -> FeastProject:
        """Read anew each time: tests change the files."""
        return FeastProject(self.repo)

    @property
    def graph(self) -> FeastGraph:
        return FeastGraph(self.project, self.start_date)

    def definitions(self, **arguments: Any) -> dg.Definitions:
        return build_feast_definitions(self.project, self.start_date, **arguments)

    def specs(self, **arguments: Any) -> dict[str, dg.AssetSpec]:
        """Specs by key without the project's name."""
        found = self.definitions(**arguments).resolve_all_asset_specs()
        return {"/".join(spec.key.path[1:]): spec for spec in found}

    def key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([self.project.name, *name.split("/")])

    def run(
        self,
        *names: str,
        partition: str | None = None,
        span: tuple[str, str] | None = None,
        checks: bool = True,
        config: Mapping[str, Any] | None = None,
        selection: dg.AssetSelection | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize the assets of those names, as the UI does with its default selection."""
        chosen = selection or dg.AssetSelection.assets(*map(self.key, names))
        if not checks:
            chosen = chosen.without_checks()
        job = dg.define_asset_job("picked", chosen)
        defs = dg.Definitions.merge(
            self.definitions(schedules=False, retry_policy=None),
            dg.Definitions(jobs=[job], loggers={"console": _quiet}),
        )
        tags = {**(tags or {})} | ({"dagster/partition": partition} if partition else {})
        if span:
            start, end = span
            tags |= {
                "dagster/asset_partition_range_start": start,
                "dagster/asset_partition_range_end": end,
            }
        return defs.resolve_job_def("picked").execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            tags=tags,
            run_config={
                "loggers": {"console": {}},
                "ops": dict(config or {}),
            },
        )

    def online(self, features: Sequence[str] | str, rows: Sequence[Mapping[str, Any]]) -> Any:
        """What a model is served, as ``{name: [values]}``; a service by its name."""
        store = self.project.store()
        asked = store.get_feature_service(features) if isinstance(features, str) else features
        return store.get_online_features(
            features=asked if isinstance(features, str) else list(features),
            entity_rows=list(rows),
        ).to_dict()

    def windows(self, view: str) -> list[str]:
        """The windows that the registry says are online."""
        from feature_platform.registry.windows_on_record import materialized_windows

        return [str(window) for window in materialized_windows(self.project.store(), view)]

    def materializations(self, name: str, partition: str) -> list[dg.AssetMaterialization]:
        """Of one partition, the newest first."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=self.key(name), asset_partitions=[partition]),
            limit=100,
        ).records
        return [record.asset_materialization for record in records]

    def promise_old_rows(self, file: str, source: str) -> None:
        """Let the view of a source promise no more than its rows of March, so that it is fresh."""
        path = self.repo / file
        text = path.read_text()
        path.write_text(text.replace(source, f"{source} tags={{'dagster/freshness': '9000d'}},"))

    def files(self) -> set[str]:
        """Everything below the repo but Python's caches."""
        return {
            str(path.relative_to(self.repo))
            for path in self.repo.rglob("*")
            if "__pycache__" not in path.parts
        }


@dg.logger
def _quiet(_context: dg.InitLoggerContext) -> Any:
    import logging

    logger = logging.Logger("quiet")  # noqa: LOG001  of this run alone
    logger.addHandler(logging.NullHandler())
    return logger


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """What each check of a run said, by its name."""
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


@pytest.fixture(scope="session")
def make_sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Sample]:
    """Copy a sample repo to a folder of its own, with its tables."""

    def make(shape: str, *, tables: bool = True) -> Sample:
        repo = copied(SAMPLE_REPOS / shape, tmp_path_factory.mktemp(shape) / shape)
        if tables and shape in sample_tables.TABLES:
            sample_tables.TABLES[shape](repo)
        return Sample(repo)

    return make


@pytest.fixture(scope="session")
def make_repo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str]], Sample]:
    """A repo from the text of its files; ``feature_store.yaml`` is an embedded one if left out."""

    def make(files: Mapping[str, str]) -> Sample:
        repo = tmp_path_factory.mktemp("repo") / "repo"
        embedded = (SAMPLE_REPOS / "no_entities" / "feature_store.yaml").read_text()
        for name, text in {"feature_store.yaml": embedded, **files}.items():
            path = repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Sample(repo)

    return make


@pytest.fixture(scope="session")
def feast_init(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """The repo that ``feast init -t local`` writes, as shipped."""

    def init() -> Path:
        from feast.repo_operations import init_repo

        folder, before = tmp_path_factory.mktemp("feast-init"), Path.cwd()
        os.chdir(folder)
        try:
            init_repo("my_project", "local")
        finally:
            os.chdir(before)
        return folder / "my_project" / "feature_repo"

    return init


@pytest.fixture
def translator() -> DagsterFeastTranslator:
    return DagsterFeastTranslator()
