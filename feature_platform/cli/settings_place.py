"""Where a command takes its settings from: the user's definitions, or a Feast repo and flags."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from feature_platform.cli.pyproject_settings import PyprojectSettings, nearest_settings
from feature_platform.errors import RepoError

if TYPE_CHECKING:
    from feature_platform.orchestration.code_location import FeastCodeLocation

DEFAULT_REPO = "feature_repo"
DEFAULT_START_DATE = "2026-01-01"
_FLAGS = {
    "python_file": "-f",
    "module_name": "-m",
    "working_directory": "--working-directory",
    "project": "--project",
    "repo": "--repo",
    "start_date": "--start-date",
}
_LEAVE_REPO = "leave --repo out: the definitions name their repo"
_LEAVE_START_DATE = "leave --start-date out: the definitions have their own"
_EXCLUDE_EACH_OTHER = (
    ("python_file", "module_name", "name the definitions by one of them"),
    ("python_file", "repo", _LEAVE_REPO),
    ("module_name", "repo", _LEAVE_REPO),
    ("python_file", "start_date", _LEAVE_START_DATE),
    ("module_name", "start_date", _LEAVE_START_DATE),
    ("repo", "project", "leave --project out: it chooses among definitions"),
    (
        "repo",
        "working_directory",
        "leave --working-directory out: it is for -f and -m",
    ),
)


@dataclass(frozen=True)
class SettingsPlace:
    """The definitions (a file, a module, or a dg project), or a repo, that a command is about.

    Attributes:
        called: What messages call it.
        note: One line on why it is this place, where the command line does not name it.
        folders: Where the user's own files are; grows when definitions are loaded.
        file: A Python file with definitions.
        module: A Python module with definitions.
        dg: Whether `root` is a ``dg`` project.
        root: Where modules are imported from; None for a repo without definitions.
        project: Which Feast project of the definitions.
        repo: A Feast repo without definitions.
        profile: Of the repo; None takes the one in the definitions.
        start_date: First day of the partitions of a repo without definitions.
    """

    called: str
    note: str | None = None
    folders: list[Path] = field(default_factory=list)
    file: Path | None = None
    module: str | None = None
    dg: bool = False
    root: Path | None = None
    project: str | None = None
    repo: str = DEFAULT_REPO
    profile: str | None = None
    start_date: str = DEFAULT_START_DATE

    @property
    def has_definitions(self) -> bool:
        """Whether the settings are in the user's code."""
        return self.root is not None

    def load(self) -> "FeastCodeLocation":
        """Load the settings; run it inside of `importable`.

        Raises:
            FeaturePlatformError: The place is not there, cannot be loaded, or has not exactly the
                project that is asked for.
        """
        from feature_platform.orchestration.code_location import FeastCodeLocation
        from feature_platform.orchestration.runs import load_location as loading
        from feature_platform.repo.project import FeastProject

        if self.root is None:
            return FeastCodeLocation(FeastProject(self.repo, self.profile), self.start_date)
        if self.dg:
            loaded = loading.load_dg_project(self.module, self.called, self.root)
        elif self.file is not None:
            loaded = loading.load_file(self.file, self.called, self.root)
        else:
            loaded = loading.load_module(str(self.module), self.called, self.root)
        location = loading.choose_location(loaded, self.called, self.project, self.profile)
        self.folders.append(location.project.repo_dir)
        return location

    @classmethod
    def of_repo(cls, flags: Mapping[str, str], note: str | None = None) -> "SettingsPlace":
        """A repo without definitions, and the flags that stand in for them."""
        repo = flags.get("repo", DEFAULT_REPO)
        return cls(
            called=f"repo '{repo}'",
            note=note,
            folders=[Path(repo).expanduser().resolve()],
            repo=repo,
            profile=flags.get("profile"),
            start_date=flags.get("start_date", DEFAULT_START_DATE),
        )

    @contextmanager
    def importable(self) -> Iterator[None]:
        """While a command runs, let the user's code import its neighbours, as in Dagster."""
        before = list(sys.path)
        if self.root is not None:
            sys.path[:0] = [str(self.root), *([str(self.root / "src")] if self.dg else [])]
        try:
            yield
        finally:
            sys.path[:] = before


def find_place(
    typed: Mapping[str, str], environment: Mapping[str, str], here: Path
) -> SettingsPlace:
    """Where the settings are: as typed, else by the environment, else by ``pyproject.toml``.

    Args:
        typed: Options on the command line, by name.
        environment: Options that environment variables give.
        here: The working directory.

    Raises:
        RepoError: Two options exclude each other, or the ``pyproject.toml`` is wrong.
    """
    for one, other, remedy in _EXCLUDE_EACH_OTHER:
        if one in typed and other in typed:
            raise RepoError(
                f"options {_FLAGS[one]} and {_FLAGS[other]}", "exclude each other", remedy
            )
    if "python_file" in typed or "module_name" in typed:
        return _typed_code(typed, here)
    configured = nearest_settings(here)
    flags = {**environment, **typed}
    if "repo" in flags or configured is None or configured.repo is not None:
        _refuse_definitions_options(typed)
    if "repo" in flags or configured is None:
        note = None
        if configured is not None:
            note = f"settings: --repo {flags['repo']}, not {configured.source}"
        return SettingsPlace.of_repo(flags, note)
    if configured.repo is not None:
        own = {"profile": configured.profile, "start_date": configured.start_date}
        given = {name: value for name, value in own.items() if value is not None}
        repo = {"repo": str(configured.repo)}
        return SettingsPlace.of_repo({**given, **flags, **repo}, f"settings: {configured.source}")
    return _configured_code(configured, typed)


def _refuse_definitions_options(typed: Mapping[str, str]) -> None:
    for name in ("project", "working_directory"):
        if name in typed:
            raise RepoError(
                f"option {_FLAGS[name]}",
                "is about definitions, and neither an option nor a pyproject.toml names any",
                "name them with -f or -m, or leave it out",
            )


def _typed_code(typed: Mapping[str, str], here: Path) -> SettingsPlace:
    root = here / typed.get("working_directory", ".")
    file = typed.get("python_file")
    return SettingsPlace(
        called=f"file '{file}'" if file else f"module '{typed['module_name']}'",
        folders=[root],
        file=here / file if file else None,
        module=typed.get("module_name"),
        root=root,
        project=typed.get("project"),
        profile=typed.get("profile"),
    )


def _configured_code(configured: PyprojectSettings, typed: Mapping[str, str]) -> SettingsPlace:
    if "start_date" in typed:
        raise RepoError(
            "option --start-date",
            f"does not go with the definitions of {configured.source}, which have their own",
            "leave it out, or add --repo for the repo without its definitions",
        )
    return SettingsPlace(
        called=configured.source,
        note=f"settings: {configured.source}",
        folders=[configured.root],
        file=configured.file,
        module=configured.module,
        dg=configured.dg,
        root=configured.root,
        project=typed.get("project", configured.project),
        profile=typed.get("profile"),
    )
