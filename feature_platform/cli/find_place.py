"""Which place a command takes its settings from, by its options, environment and folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from feature_platform.cli.pyproject_settings import nearest_place
from feature_platform.cli.settings_place import DEFAULT_REPO, DEFAULT_START_DATE, SettingsPlace
from feature_platform.errors import RepoError

_DEFINITIONS = {"python_file": "-f", "module_name": "-m"}
_NOT_WITH_DEFINITIONS = {
    "repo": "leave --repo out: the definitions name their repo",
    "start_date": "leave --start-date out: the definitions have their own",
}


def find_place(
    typed: Mapping[str, str], environment: Mapping[str, str], here: Path
) -> SettingsPlace:
    """The place that is typed, else the environment's, else that of the ``pyproject.toml``.

    Args:
        typed: Options on the command line, by parameter name.
        environment: Options that environment variables give.
        here: The working directory.

    Raises:
        RepoError: Two options exclude each other, or the ``pyproject.toml`` is wrong.
    """
    named = [flag for name, flag in _DEFINITIONS.items() if name in typed]
    if len(named) > 1:
        raise _exclude("-f", "-m", "name the definitions by one of them")
    if "working_directory" in typed and not named:
        raise RepoError("option --working-directory", "is for -f and -m alone", "leave it out")
    if named:
        for name, remedy in _NOT_WITH_DEFINITIONS.items():
            if name in typed:
                raise _exclude(named[0], f"--{name.replace('_', '-')}", remedy)
        return _typed_definitions(typed, here)
    place = _untyped_place(typed, {**environment, **typed}, nearest_place(here))
    if "project" in typed and place.root is None:
        raise RepoError(
            "option --project",
            f"chooses among definitions, and {place.called} has none",
            "name them with -f or -m, or leave it out",
        )
    return place


def _untyped_place(
    typed: Mapping[str, str], flags: Mapping[str, str], configured: SettingsPlace | None
) -> SettingsPlace:
    """The place where neither -f nor -m names it."""
    if configured is None:
        return repo_place(flags)
    if "repo" in flags:
        note = f"settings: --repo {flags['repo']}, not {configured.called}"
        return replace(repo_place(flags), note=note)
    if configured.root is None:
        return replace(
            configured,
            profile=flags.get("profile", configured.profile),
            start_date=flags.get("start_date", configured.start_date),
        )
    if "start_date" in typed:
        raise RepoError(
            "option --start-date",
            f"does not go with the definitions of {configured.called}, which have their own",
            "leave it out, or add --repo for the repo without its definitions",
        )
    # Variables of the environment do not change what is in the code.
    return replace(
        configured,
        project=typed.get("project", configured.project),
        profile=typed.get("profile"),
    )


def repo_place(flags: Mapping[str, str]) -> SettingsPlace:
    """A repo without definitions, with the flags that stand in for them."""
    repo = flags.get("repo", DEFAULT_REPO)
    return SettingsPlace(
        called=f"repo '{repo}'",
        repo=Path(repo),
        profile=flags.get("profile"),
        start_date=flags.get("start_date", DEFAULT_START_DATE),
    )


def _typed_definitions(typed: Mapping[str, str], here: Path) -> SettingsPlace:
    file = typed.get("python_file")
    return SettingsPlace(
        called=f"file '{file}'" if file else f"module '{typed['module_name']}'",
        root=here / typed.get("working_directory", ""),
        file=here / file if file else None,
        module=typed.get("module_name"),
        project=typed.get("project"),
        profile=typed.get("profile"),
    )


def _exclude(one: str, other: str, remedy: str) -> RepoError:
    return RepoError(f"options {one} and {other}", "exclude each other", remedy)
