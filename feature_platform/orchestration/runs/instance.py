"""The Dagster instance that the command line records its runs in."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from yaml import YAMLError

from feature_platform.errors import RepoError

RUN_MONITORING = "run_monitoring: {enabled: true, free_slots_after_run_end_seconds: 60}"
"""What a ``dagster.yaml`` needs for killed runs to give back the pools of their views."""
_NEW_HOME = f"""\
# Written by feature-platform; yours to change.

# Each feature view has a pool of its own: it is never written twice at once, while others go on.
concurrency:
  pools:
    default_limit: 1

# A run that was killed keeps the pool of its view, and no other run writes it, until the daemon
# gives the pool back: this long after the run was marked as failed.
{RUN_MONITORING}

telemetry:
  enabled: false
"""


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """The instance of ``DAGSTER_HOME``, or of the folder ``dagster_home`` here.

    It is the one that Dagster's UI shows. A folder that does not exist is created, with the
    concurrency limit that feature views need, and without telemetry.

    Raises:
        RepoError: The folder cannot be written, or its dagster.yaml is wrong.
    """
    home = dagster_home()
    try:
        if not home.exists():
            _create(home)
        instance = dg.DagsterInstance.from_config(str(home))
    except OSError as error:
        raise _not_a_home(home, error.strerror or str(error)) from error
    except (dg.DagsterError, YAMLError, ValueError) as error:
        raise _not_a_home(home, " ".join(str(error).split())[:300]) from error
    with instance:
        yield instance


def dagster_home() -> Path:
    """The folder of ``DAGSTER_HOME``, or ``dagster_home`` here."""
    return Path(os.environ.get("DAGSTER_HOME") or Path.cwd() / "dagster_home").resolve()


def _create(home: Path) -> None:
    """Create it with its settings in one move: another command may be creating it too."""
    home.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        (made / "dagster.yaml").write_text(_NEW_HOME)
        made.chmod(0o755)
        made.rename(home)
    except OSError:
        if not home.is_dir():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _not_a_home(home: Path, why: str) -> RepoError:
    return RepoError(
        f"DAGSTER_HOME '{home}'",
        f"Dagster cannot keep its event log there: {why}",
        "point DAGSTER_HOME to a folder that can be written, and correct its dagster.yaml",
    )
