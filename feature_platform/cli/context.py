"""What commands share: the project, its definitions, and the Dagster instance they record in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg


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
    use_dagster_home()
    with dg.DagsterInstance.get() as instance:
        yield instance
