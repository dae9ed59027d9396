"""Load the definitions of a user's own code, and find what they were built with."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import dagster as dg
from dagster.components.definitions import LazyDefinitions

from feature_platform.errors import FeaturePlatformError, RepoError, type_and_line
from feature_platform.orchestration.code_location import FeastCodeLocation, feast_code_locations


def load_file(file: Path, called: str, folder: Path) -> list[dg.Definitions]:
    """The definitions in the scope of a Python file.

    Args:
        file: The file.
        called: What errors call it.
        folder: Where the user's code is.

    Raises:
        RepoError: It is not there, or cannot be imported.
    """
    if not file.is_file():
        raise RepoError(
            called, f"there is no file {file}", "give the file that `dagster dev -f` is given"
        )
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise RepoError(called, "is not a Python file", "give one that ends in .py")
    with _one_line_errors(called, folder):
        module = module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and pickle look for it there
        spec.loader.exec_module(module)
        return _definitions_in(module)


def load_module(name: str, called: str, folder: Path) -> list[dg.Definitions]:
    """The definitions in the scope of a Python module; see `load_file`."""
    with _one_line_errors(called, folder):
        return _definitions_in(import_module(name))


def load_dg_project(module: str | None, called: str, root: Path) -> list[dg.Definitions]:
    """The definitions of a ``dg`` project.

    Args:
        module: Its target module; its ``defs`` folder is loaded where there is none.
        called: What errors call it.
        root: The folder of its configuration.

    Raises:
        RepoError: Something in it cannot be imported or built.
    """
    with _one_line_errors(called, root):
        if module is not None and _exists(module):
            return _definitions_in(import_module(module))
        return [dg.load_from_defs_folder(path_within_project=root)]


def choose_location(
    loaded: Sequence[dg.Definitions], called: str, project: str | None, profile: str | None
) -> FeastCodeLocation:
    """The settings of one Feast project in the definitions.

    Args:
        loaded: The definitions.
        called: What errors call the place they were loaded from.
        project: Feast's name of the project; None where there is only one.
        profile: The profile to use instead of the one in the code.

    Raises:
        RepoError: There is no such project, none at all, or more than one to choose from.
    """
    found = {id(each): each for every in loaded for each in feast_code_locations(every)}
    locations = list(found.values())
    names = sorted({each.project.name for each in locations})
    if not locations:
        raise RepoError(
            called,
            "has no Feast project in its definitions",
            "build one with build_feast_definitions, and merge it with dagster.Definitions.merge",
        )
    if project is not None:
        locations = [each for each in locations if each.project.name == project]
        if not locations:
            near = get_close_matches(project, names, n=3) or names
            raise RepoError(
                f"Feast project '{project}'",
                f"{called} does not define it",
                f"choose one of: {', '.join(near)}",
            )
    # Two profiles of a project may be in one code location.
    same = [each for each in locations if each.project.profile == profile]
    if len(locations) > 1 and len(same) == 1:
        locations = same
    if len(locations) > 1:
        shown = [
            each.project.name + (f" (profile {each.project.profile})" if len(names) == 1 else "")
            for each in locations
        ]
        option = "--project NAME" if len(names) > 1 else "--profile NAME"
        raise RepoError(
            called,
            f"has {len(locations)} Feast projects: {', '.join(sorted(shown))}",
            f"choose one with {option}",
        )
    [location] = locations
    if profile is not None and profile != location.project.profile:
        return location.on_profile(profile)
    return location


def _definitions_in(module: ModuleType) -> list[dg.Definitions]:
    """Those that Dagster would find, and any others in the module's scope."""
    found = []
    for value in list(vars(module).values()):
        if isinstance(value, LazyDefinitions) and not value.has_context_arg:
            value = value()  # noqa: PLW2901 - what it stands for
        if isinstance(value, dg.Definitions):
            found.append(value)
    return found


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError as error:
        # The package itself may be missing; what it imports may not.
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return False
        raise


@contextmanager
def _one_line_errors(called: str, folder: Path) -> Iterator[None]:
    """Turn whatever the user's code raises into one line that names its file and line."""
    try:
        yield
    except Exception as raised:  # noqa: BLE001 - the user's code raises anything
        error: BaseException = raised
        while error.__cause__ is not None and type(error).__module__.startswith("dagster"):
            error = error.__cause__  # what a component raised
        if isinstance(error, FeaturePlatformError):
            raise error from None
        raise RepoError(
            called,
            f"cannot be loaded: {type_and_line(error)}{_where(error, folder)}",
            "correct it; `dagster definitions validate` shows the whole traceback",
        ) from error


def _where(error: BaseException, folder: Path) -> str:
    """The innermost line of the user's own code that an error came through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        each
        for each in frames
        if Path(each.filename).is_relative_to(folder)
        and "site-packages" not in Path(each.filename).parts
    ]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
