"""Where the nearest ``pyproject.toml`` says that the definitions, or the Feast repo, are."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from feature_platform.errors import RepoError

_OURS = "tool.feature_platform"
_PLACES = ("file", "module", "repo")
# Beside each place; code has a profile and a start date of its own.
_BESIDE = {"file": ("project",), "module": ("project",), "repo": ("profile", "start_date")}
_KEYS = (*_PLACES, "project", "profile", "start_date")


@dataclass(frozen=True)
class PyprojectSettings:
    """One of file, module, dg project, or repo; relative paths start at the configuration file.

    Attributes:
        source: The file and table that say so.
        root: The folder of the file.
        file: A Python file with definitions.
        module: A Python module with definitions; of a dg project its target module.
        dg: Whether it is a ``dg`` project, whose ``defs`` folder is loaded if it has no module.
        repo: A Feast repo without code.
        project: Which Feast project of the definitions.
        profile: Of the repo.
        start_date: First day of the repo's partitions.
    """

    source: str
    root: Path
    file: Path | None = None
    module: str | None = None
    dg: bool = False
    repo: Path | None = None
    project: str | None = None
    profile: str | None = None
    start_date: str | None = None


def nearest_settings(here: Path) -> PyprojectSettings | None:
    """The settings of the first folder, from `here` upwards, that has any.

    A table ``[tool.feature_platform]`` is asked first; then what Dagster reads: ``[tool.dagster]``
    and ``[tool.dg.project]``, or ``[project]`` of a ``dg.toml``.

    Raises:
        RepoError: A file is not TOML, or a key of our own table is not what it should be.
    """
    for folder in (here, *here.parents):
        tool = _read(folder / "pyproject.toml").get("tool", {})
        dg = _read(folder / "dg.toml").get("project") or tool.get("dg", {}).get("project")
        if ours := tool.get("feature_platform"):
            return _of_our_table(ours, folder / "pyproject.toml")
        if module := tool.get("dagster", {}).get("module_name"):
            return PyprojectSettings(
                f"{folder / 'pyproject.toml'} [tool.dagster]", folder, module=module
            )
        if dg:
            return _of_dg_project(dg, folder)
    return None


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RepoError(f"'{file}'", f"is not TOML ({error})", "correct it there") from error


def _of_our_table(table: Mapping[str, Any], file: Path) -> PyprojectSettings:
    source = f"{file} [{_OURS}]"
    for key, value in table.items():
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            raise RepoError(
                source,
                f"has the unknown key '{key}'",
                f"did you mean '{near[0]}'?" if near else f"known: {', '.join(_KEYS)}",
            )
        if not isinstance(value, str) and not (key == "start_date" and isinstance(value, date)):
            raise RepoError(source, f"{key} is {value!r}", "write it as text, in quotes")
    places = [key for key in _PLACES if key in table]
    if len(places) != 1:
        raise RepoError(
            source,
            f"names {' and '.join(places) or 'no place'}",
            "name exactly one of file, module and repo",
        )
    [place] = places
    for key in table.keys() - {place, *_BESIDE[place]}:
        raise RepoError(
            source,
            f"{key} does not go with {place}",
            "leave it out: the code says it" if place != "repo" else "leave it out",
        )
    start_date = str(table["start_date"]) if "start_date" in table else None
    if start_date is not None and not _is_day(start_date):
        raise RepoError(source, f"start_date '{start_date}' is not a day", "write it as YYYY-MM-DD")
    folder = file.parent
    return PyprojectSettings(
        source,
        folder,
        file=folder / table["file"] if "file" in table else None,
        module=table.get("module"),
        repo=folder / table["repo"] if "repo" in table else None,
        project=table.get("project"),
        profile=table.get("profile"),
        start_date=start_date,
    )


def _of_dg_project(table: Mapping[str, Any], root: Path) -> PyprojectSettings:
    """As Dagster's own command line reads it."""
    module = table.get("code_location_target_module", f"{table.get('root_module')}.definitions")
    return PyprojectSettings(
        f"dg project {root}",
        root,
        module=None if table.get("autoload_defs") else module,
        dg=True,
    )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
