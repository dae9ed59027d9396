"""``training_sets/<service>.yaml``: where the entity rows of a service's training set come from."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from feature_platform.core.config_files import read_config
from feature_platform.errors import RepoError
from feature_platform.training.entity_rows import EntityRows

if TYPE_CHECKING:
    from feature_platform.repo.project import FeastProject

FOLDER = "training_sets"


def load_training_sets(project: "FeastProject") -> Mapping[str, EntityRows]:
    """Read the entity rows of every service that has such a file.

    A file holds the attributes of `EntityRows`; ``lookahead`` is written ``30d``, ``12h`` or
    ``90m``, and ``path`` and ``sql`` are relative to the repo.
    """
    found = {}
    for path in sorted((project.repo_dir / FOLDER).glob("*")):
        if path.suffix not in (".yaml", ".yml"):
            continue
        if path.stem not in project.services:
            near = get_close_matches(path.stem, project.services, n=1) or sorted(project.services)
            raise RepoError(
                f"training set '{path.relative_to(project.repo_dir)}'",
                f"project '{project.name}' has no feature service '{path.stem}'",
                f"name it after one of: {', '.join(near) or '(the repo has none)'}",
            )
        found[path.stem] = read_config(path, RepoError).check(EntityRows)
    return found
