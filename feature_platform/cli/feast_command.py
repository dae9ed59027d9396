"""What all commands share: options, errors as one line, and exit codes."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from feature_platform.cli.find_place import find_place, repo_place
from feature_platform.cli.quiet_libraries import only_about
from feature_platform.cli.settings_place import DEFAULT_REPO, DEFAULT_START_DATE
from feature_platform.errors import FeaturePlatformError

VIEWS = click.option(
    "--view", "views", multiple=True, help="Feature view; repeatable; all if left out."
)
ALLOW_FAILED_CHECKS = click.option(
    "--allow-failed-checks", is_flag=True, help="Serve windows that failed their checks."
)
CAUSES = click.option(
    "--cause",
    "causes",
    multiple=True,
    type=click.Choice(["source_changed", "definition_changed", "gap"]),
    help="Only repairs for this cause; repeatable; all if left out.",
)
_DEFINITIONS = (
    click.option("-f", "--python-file", help="Python file with your definitions, as for dagster."),
    click.option("-m", "--module-name", help="Python module with your definitions."),
    click.option(
        "-d", "--working-directory", help="Where they import from; the current folder if left out."
    ),
    click.option("--project", help="Which Feast project, where the definitions have several."),
)
_REPO = (
    click.option(
        "--repo",
        envvar="FEATURE_PLATFORM_REPO",
        help=f"Folder of a Feast repo without definitions.  [default: {DEFAULT_REPO}]",
    ),
    click.option(
        "--profile",
        envvar="FEATURE_PLATFORM_PROFILE",
        help="Read feature_store.PROFILE.yaml instead of feature_store.yaml.",
    ),
    click.option(
        "--start-date",
        envvar="FEATURE_PLATFORM_START_DATE",
        help=f"With --repo: first day of the partitions, UTC.  [default: {DEFAULT_START_DATE}]",
    ),
)
_PLACES = (
    *("python_file", "module_name", "working_directory", "project"),
    *("repo", "profile", "start_date"),
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def feast_command(
    name: str, *options: Callable[..., Any], definitions: bool = True
) -> Callable[[Callable[..., int]], click.Command]:
    """Make a command of a function that gets its settings' place and its options.

    The function returns the exit code. A `FeaturePlatformError` becomes one line, or an object
    ``error`` with ``--json``, and exit code 2.

    Args:
        name: What is typed.
        options: The command's own.
        definitions: Whether it can read the user's definitions; False takes a repo alone.
    """
    places = (*_DEFINITIONS, *_REPO) if definitions else _REPO

    def decorate(function: Callable[..., int]) -> click.Command:
        @wraps(function)
        def run(**arguments: Any) -> None:
            context = click.get_current_context()
            typed = _given(context, arguments, ParameterSource.COMMANDLINE)
            environment = _given(context, arguments, ParameterSource.ENVIRONMENT)
            try:
                place = (
                    find_place(typed, environment, Path.cwd())
                    if definitions
                    else repo_place({**environment, **typed})
                )
                own = {key: value for key, value in arguments.items() if key not in _PLACES}
                if place.note and not own["as_json"]:
                    click.secho(place.note, dim=True, err=True)
                with only_about(place.folders), place.importable():
                    code = function(place, **own)
            except FeaturePlatformError as error:
                _print_error(error, as_json=arguments["as_json"])
                code = 2
            context.exit(code)

        command: Any = run
        for option in reversed((*options, *places, _JSON)):
            command = option(command)
        return click.command(name)(command)

    return decorate


def _given(
    context: click.Context, arguments: Mapping[str, Any], source: ParameterSource
) -> dict[str, str]:
    """The options that say where settings are and that come from `source`."""
    return {
        name: value
        for name, value in arguments.items()
        if name in _PLACES and context.get_parameter_source(name) == source
    }


def plain_error(error: FeaturePlatformError) -> dict[str, str]:
    """An error for machines."""
    return {"subject": error.subject, "problem": error.problem, "remedy": error.remedy}


def _print_error(error: FeaturePlatformError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": plain_error(error)}))
    else:
        click.secho(f"error: {error}", fg="red", err=True)
