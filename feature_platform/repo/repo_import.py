"""The objects that a feature repo defines, imported as Feast's command line imports them."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.errors import RepoError, first_line

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents


def import_repo(repo_dir: Path, config_path: Path, project: str) -> "RepoContents":
    """Import the Python files of a repo with a profile's configuration.

    Raises:
        RepoError: A file cannot be imported, or two objects of a kind share a name.
    """
    from feast.repo_operations import parse_repo

    try:
        with as_feast_would(repo_dir, config_path), _own_modules(repo_dir):
            contents = parse_repo(repo_dir)
    except Exception as error:
        raise RepoError(
            f"feature repo '{repo_dir.name}'",
            f"its definitions cannot be imported: {_where(error, repo_dir)}"
            f"{type(error).__name__}: {first_line(error)}",
            "correct the file; `feast plan` shows the same error",
        ) from error
    _refuse_duplicates(project, contents)
    return contents


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
            if file and Path(file).is_relative_to(folder) and name not in before:
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
    """``file:line: `` of the innermost frame inside `folder`; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}: "
    found = ""
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(folder):
            found = f"{path.relative_to(folder)}:{trace.tb_lineno}: "
        trace = trace.tb_next
    return found
