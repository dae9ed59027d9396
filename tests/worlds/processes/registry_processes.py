"""Processes that write a registry at the same time, and what they and the tests apply to it."""

import json
import subprocess
import sys

from feast.repo_contents import RepoContents
from worlds.places import environment
from worlds.repos import contents
from worlds.sample_repos import SampleRepo

from feature_platform.core.windows import Window


def contents_of(repo: SampleRepo) -> RepoContents:
    """What the repo defines."""
    return contents(*repo.objects())


def start_writers(
    repo: SampleRepo,
    *processes: list[tuple[str, Window]],
    materialize: bool = False,
    apart: bool = False,
) -> subprocess.Popen[bytes]:
    """Start processes that each write some windows, all at once.

    Args:
        repo: Whose registry.
        processes: Views and windows of each.
        materialize: Materialize them; else they are only recorded.
        apart: As if on machines of their own, where no lock of one holds for the others.
    """
    asked = {
        "folder": str(repo.folder),
        "online": dict(repo.online),
        "registry": repo.registry,
        "views": list(repo.views),
        "processes": [
            [(view, w.start.isoformat(), w.end.isoformat()) for view, w in windows]
            for windows in processes
        ],
        "materialize": materialize,
        "apart": apart,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "worlds.processes.registry_writer", json.dumps(asked)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def join_writers(writers: subprocess.Popen[bytes]) -> None:
    """Wait until they have ended, all well."""
    _, errors = writers.communicate(timeout=250)
    assert writers.returncode == 0, errors.decode()[-3000:]
