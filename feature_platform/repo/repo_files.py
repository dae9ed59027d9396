"""The Python files of a feature repo: its own, and those of them that define its objects.

A virtual environment in the folder is not the repo's: Feast leaves out ``.venv`` alone, and would
import every package of any other.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_FOREIGN = frozenset(
    {
        "site-packages",
        "dist-packages",
        "node_modules",
        "__pypackages__",
        "__pycache__",
        ".git",
        ".ipynb_checkpoints",
        ".pytest_cache",
    }
)
# What the root of a virtual environment holds: of venv and virtualenv, of conda.
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
IGNORE_FILE = ".feastignore"


def own_files(repo_dir: Path) -> list[Path]:
    """The Python files below a folder, sorted; none of an environment or a package installed there.

    Args:
        repo_dir: The folder, resolved.
    """
    return sorted(_walk(repo_dir))


def definition_files(repo_dir: Path) -> list[Path]:
    """The files that Feast imports for the objects they define, in its order, resolved.

    As Feast, without those that ``.feastignore`` names and without ``__init__.py``; and without
    those that are not the repo's own.
    """
    from feast.repo_operations import get_ignore_files, read_feastignore

    ignored = get_ignore_files(repo_dir, read_feastignore(repo_dir))
    own = {path.resolve() for path in _walk(repo_dir) if path.name != "__init__.py"}
    return sorted(own - ignored)


def is_own(path: Path, repo_dir: Path) -> bool:
    """Whether a file lies below the folder, and in no environment there."""
    if not path.is_relative_to(repo_dir):
        return False
    folders = path.relative_to(repo_dir).parts[:-1]
    below = [repo_dir.joinpath(*folders[: depth + 1]) for depth in range(len(folders))]
    return not any(_is_foreign(folder) for folder in below)


def _walk(repo_dir: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(repo_dir):
        here = Path(root)
        folders[:] = [name for name in folders if not _is_foreign(here / name)]
        # A link may lead nowhere.
        yield from (
            path for name in files if name.endswith(".py") and (path := here / name).is_file()
        )


def _is_foreign(folder: Path) -> bool:
    if folder.name in _FOREIGN:
        return True
    return any((folder / each).exists() for each in _ENVIRONMENTS)
