"""Where a command's settings are: in the user's definitions, or a Feast repo and flags."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_platform.orchestration.code_location import FeastCodeLocation

DEFAULT_REPO = "feature_repo"
DEFAULT_START_DATE = "2026-01-01"


@dataclass(frozen=True)
class SettingsPlace:
    """A file, a module or a ``dg`` project with definitions, or a Feast repo without any.

    Attributes:
        called: What messages call it.
        root: Where the definitions' modules are imported from; None for a repo without definitions.
        file: The Python file with definitions.
        module: The Python module with definitions; of a ``dg`` project its target module.
        dg: Whether `root` is a ``dg`` project.
        project: Which Feast project of the definitions.
        repo: The repo without definitions.
        profile: The profile of the repo; None is the one in the definitions, or the default one.
        start_date: First day of the partitions of a repo without definitions.
        note: What is printed about it, if the command line does not name it.
        folders: Folders of the user's own code; grows when definitions are loaded.
    """

    called: str
    root: Path | None = None
    file: Path | None = None
    module: str | None = None
    dg: bool = False
    project: str | None = None
    repo: Path = Path(DEFAULT_REPO)
    profile: str | None = None
    start_date: str = DEFAULT_START_DATE
    note: str | None = None
    folders: list[Path] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.folders.append(self.root or self.repo.expanduser().resolve())

    def load(self) -> "FeastCodeLocation":
        """Load the settings; call it inside of `importable`.

        Raises:
            FeaturePlatformError: The place does not exist, cannot be loaded, or has not exactly
                one project to choose.
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
