"""The objects that a feature repo defines, imported as Feast's command line imports them."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import parse_files
from feature_platform.errors import RepoError, type_and_line
from feature_platform.repo.missing_packages import how_to_install, missing_package
from feature_platform.repo.repo_files import IGNORE_FILE, definition_files, is_own

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents


def import_repo(repo_dir: Path, config_path: Path, project: str) -> "RepoContents":
    """Import the Python files of a repo with a profile's configuration.

    Raises:
        RepoError: A file cannot be imported, or two objects of a kind share a name.
    """
    reading = _Reading(definition_files(repo_dir))
    try:
        with as_feast_would(repo_dir, config_path), _own_modules(repo_dir):
            contents = parse_files(repo_dir, reading)
    except (Exception, SystemExit) as error:  # a script may end by sys.exit
        raise _not_importable(error, reading.file, repo_dir) from error
    _refuse_duplicates(project, contents)
    return contents


class _Reading:
    """Files, one after the other; `file` is the one that was asked for last."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self.file: Path | None = None

    def __iter__(self) -> Iterator[Path]:
        for file in self._files:
            self.file = file
            yield file


def _not_importable(error: BaseException, file: Path | None, repo_dir: Path) -> RepoError:
    """The error for a file that raised `error`, with the line of the repo's own code."""
    name = _relative(file, repo_dir) if file else ""
    where = _where(error, repo_dir)
    said = f"{where}{type_and_line(error)}" if where else f"{name}: {type_and_line(error)}"
    if where and name and not where.startswith(f"{name}:"):
        said += f" (imported by {name})"
    install = ""
    if package := missing_package(error):
        install = f"{how_to_install(package, error)}, or "
    return RepoError(
        f"feature repo '{repo_dir.name}'",
        f"its definitions cannot be imported: {said}",
        f"{install}correct the file; if {name or 'it'} defines nothing for Feast, such as a "
        f"notebook or a script, name it in {repo_dir / IGNORE_FILE}",
    )


def _relative(path: Path, repo_dir: Path) -> str:
    # A link may lead out of the repo.
    return str(path.relative_to(repo_dir)) if path.is_relative_to(repo_dir) else str(path)


@contextmanager
def as_feast_would(repo_dir: Path, config_path: Path) -> Iterator[None]:
    """Set the working directory and environment in which the ``feast`` command reads a repo.

    Feast imports modules relative to the working directory, and a repo may read
    ``FEAST_FS_YAML_FILE_PATH`` to learn the profile.
    """
    variable = "FEAST_FS_YAML_FILE_PATH"
    before, cwd = os.environ.get(variable), Path.cwd()
    os.environ[variable] = str(config_path)
    os.chdir(repo_dir)
    try:
        yield
    finally:
        os.chdir(cwd)
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Make a repo's top-level modules importable, and unload them afterwards.

    Two repos in one process may both have a ``features.py``.
    """
    before = dict(sys.modules)
    for name, module in before.items():
        path = folder / f"{name}.py"
        if path.is_file() and getattr(module, "__file__", None) != str(path):
            del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and name not in before and is_own(Path(file), folder):
                del sys.modules[name]
        sys.modules.update(before)


def _refuse_duplicates(project: str, contents: "RepoContents") -> None:
    kinds: tuple[tuple[str, Sequence[Any]], ...] = (
        (
            "feature view",
            [
                *contents.feature_views,
                *contents.stream_feature_views,
                *contents.on_demand_feature_views,
                *contents.label_views,
            ],
        ),
        ("entity", contents.entities),
        ("feature service", contents.feature_services),
    )
    for kind, objects in kinds:
        seen: set[str] = set()
        for each in objects:
            # Feast compares view names case-insensitively, as some stores do.
            name = each.name.lower() if kind == "feature view" else each.name
            if name in seen:
                raise RepoError(
                    f"{kind} '{each.name}'",
                    f"project '{project}' defines it more than once",
                    "rename one of them (feature view names differ by more than case)",
                )
            seen.add(name)


def _where(error: BaseException, folder: Path) -> str:
    """``file:line: `` of the innermost frame of the repo's own code; empty if there is none."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if is_own(path, folder):
            found = f"{path.relative_to(folder)}:{trace.tb_lineno}: "
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename and is_own(Path(error.filename), folder):
        return f"{_relative(Path(error.filename), folder)}:{error.lineno}: "
    return found
