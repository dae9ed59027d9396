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

_NEW_HOME = """\
# Written by feature-platform; yours to change.

# One feature view never writes twice at once, while others go on: each has a pool of its own.
concurrency:
  pools:
    default_limit: 1

telemetry:
  enabled: false
"""


def use_dagster_home() -> Path:
    """``DAGSTER_HOME``, or the folder ``dagster_home`` here.

    The event log then is the one that the UI shows. A folder that is not there yet is made, with
    the setting that a feature view needs and no word to anybody outside.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or Path.cwd() / "dagster_home").resolve()
    if not home.exists():
        _make_home(home)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _make_home(home: Path) -> None:
    """Make it with its settings in one move: another command may be about to make it too."""
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
