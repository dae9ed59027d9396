"""Where the nearest ``pyproject.toml`` says that the settings are."""

import tomllib
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from feature_platform.cli.settings_place import DEFAULT_START_DATE, SettingsPlace
from feature_platform.errors import RepoError

# Each place, and the keys that go with it; definitions have a profile and a start date themselves.
_PLACES = {"file": ("project",), "module": ("project",), "repo": ("profile", "start_date")}
_KEYS = (*_PLACES, "project", "profile", "start_date")


def nearest_place(here: Path) -> SettingsPlace | None:
    """The place that is named in the first folder, from `here` upwards, that names any.

    Our own table ``[tool.feature_platform]`` comes first, then what Dagster reads:
    ``[tool.dagster]`` and ``[tool.dg.project]``, or ``[project]`` of a ``dg.toml``.

    Raises:
        RepoError: A file is not TOML, or our own table is wrong.
    """
    for root in (here, *here.parents):
        file = root / "pyproject.toml"
        tool = _read(file).get("tool", {})
        if ours := tool.get("feature_platform"):
            return _of_our_table(ours, file)
        if module := tool.get("dagster", {}).get("module_name"):
            called = f"{file} [tool.dagster]"
            return SettingsPlace(called, root, module=module, note=f"settings: {called}")
        if dg := _read(root / "dg.toml").get("project") or tool.get("dg", {}).get("project"):
            return _of_dg_project(dg, root)
    return None


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RepoError(f"'{file}'", f"is not TOML ({error})", "correct it there") from error


def _of_our_table(table: Mapping[str, Any], file: Path) -> SettingsPlace:
    called = f"{file} [tool.feature_platform]"
    for key, value in table.items():
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            raise RepoError(
                called,
                f"has the unknown key '{key}'",
                f"did you mean '{near[0]}'?" if near else f"known: {', '.join(_KEYS)}",
            )
        if not isinstance(value, str) and not (key == "start_date" and isinstance(value, date)):
            raise RepoError(called, f"{key} is {value!r}", "write it as text, in quotes")
    places = [key for key in _PLACES if key in table]
    if len(places) != 1:
        raise RepoError(
            called,
            f"names {' and '.join(places) or 'no place'}",
            "name exactly one of file, module and repo",
        )
    for key in table.keys() - {*places, *_PLACES[places[0]]}:
        raise RepoError(called, f"{key} does not go with {places[0]}", "leave it out")
    start_date = str(table.get("start_date", DEFAULT_START_DATE))
    if not _is_day(start_date):
        raise RepoError(called, f"start_date '{start_date}' is not a day", "write it as YYYY-MM-DD")
    root = file.parent
    return SettingsPlace(
        called,
        None if "repo" in table else root,
        file=root / table["file"] if "file" in table else None,
        module=table.get("module"),
        project=table.get("project"),
        repo=root / table.get("repo", ""),
        profile=table.get("profile"),
        start_date=start_date,
        note=f"settings: {called}",
    )


def _of_dg_project(table: Mapping[str, Any], root: Path) -> SettingsPlace:
    """As Dagster's own command line reads it."""
    module = table.get("code_location_target_module", f"{table.get('root_module')}.definitions")
    return SettingsPlace(
        f"dg project {root}",
        root,
        module=None if table.get("autoload_defs") else module,
        dg=True,
        note=f"settings: dg project {root}",
    )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
