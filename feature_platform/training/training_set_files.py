"""``training_sets/<service>.yaml``: where the entity rows of a service's training set come from."""

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.errors import RepoError
from feature_platform.training.entity_rows import EntityRows

if TYPE_CHECKING:
    from feature_platform.repo.project import FeastProject

FOLDER = "training_sets"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def load_training_sets(project: "FeastProject") -> Mapping[str, EntityRows]:
    """The entity rows of every service that has such a file, by service.

    A file holds the attributes of `EntityRows`; ``lookahead`` is written ``30d``, ``12h`` or
    ``90m``, and ``path`` and ``sql`` start at the repo.

    Raises:
        RepoError: A file is broken, or named after no service.
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
        found[path.stem] = _read(path, f"training set '{path.relative_to(project.repo_dir)}'")
    return found


def _read(path: Path, subject: str) -> EntityRows:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise RepoError(subject, f"cannot be read: {said}", "correct it there") from error
    known = [each.name for each in fields(EntityRows)]
    if not isinstance(content, dict):
        raise RepoError(subject, "holds no settings", f"use some of {', '.join(known)}")
    for key in content:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            raise RepoError(
                subject,
                f"has an unknown setting '{key}'",
                f"did you mean '{near[0]}'?" if near else f"use some of {', '.join(known)}",
            )
    return EntityRows(**{key: _value(subject, key, value) for key, value in content.items()})


def _value(subject: str, key: str, value: Any) -> Any:
    if key == "lookahead":
        match = re.fullmatch(r"(\d+)([mhd])", str(value).strip())
        if not match:
            raise RepoError(
                subject,
                f"{key} is '{value}'",
                "use minutes, hours or days, such as 90m, 12h, 30d",
            )
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    if key == "partitions" and value not in ("daily", "hourly", None):
        raise RepoError(subject, f"{key} is '{value}'", "use daily or hourly, or leave it out")
    if value is not None and not isinstance(value, str):
        raise RepoError(subject, f"{key} is {value!r}", "make it text")
    return value
