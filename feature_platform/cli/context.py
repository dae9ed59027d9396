"""What commands share: the project, its definitions, and the Dagster instance they record in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from yaml import YAMLError

from feature_platform.errors import RepoError


def use_dagster_home() -> Path:
    """``DAGSTER_HOME``, or the folder ``dagster_home`` here.

    The event log then is the one that the UI shows.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or Path.cwd() / "dagster_home").resolve()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of :func:`use_dagster_home`."""
    try:
        use_dagster_home()
        instance = dg.DagsterInstance.get()
    except OSError as error:
        raise _not_a_home(error.strerror or str(error)) from error
    except (dg.DagsterError, YAMLError, ValueError) as error:
        raise _not_a_home(" ".join(str(error).split())[:300]) from error
    with instance:
        yield instance


def _not_a_home(why: str) -> RepoError:
    home = os.environ.get("DAGSTER_HOME") or Path.cwd() / "dagster_home"
    return RepoError(
        f"DAGSTER_HOME '{home}'",
        f"Dagster cannot keep its event log there: {why}",
        "point DAGSTER_HOME to a folder that can be written, and correct its dagster.yaml",
    )
