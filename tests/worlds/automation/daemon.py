"""Dagster's daemon as a process of its own, which can be killed and started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dagster import DagsterInstance
from worlds.places import ROOT


def location(repo: Path, arguments: str, start: str = "2026-03-01") -> str:
    """A code location of a repo; the arguments of its definitions as Python."""
    return f"""
from datetime import timedelta

from dagster import DefaultScheduleStatus

from feature_platform import AutomationSettings, FeastProject, build_feast_definitions

defs = build_feast_definitions(FeastProject({str(repo)!r}), {start!r}, {arguments})
"""


class Daemon:
    """``dagster-daemon run`` on a code location; it dies with all that it started.

    Args:
        folder: Where its Dagster home and its log are.
        module: The text of the code location.
        settings: More lines of ``dagster.yaml``.
        variables: Of its environment.
    """

    def __init__(self, folder: Path, module: str, settings: str = "", **variables: str) -> None:
        self.home, self._log = folder / "home", folder / "daemon.log"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{settings}")
        # Two processes that make the tables of one home at the same time break them (Dagster then
        # finds two heads in them), and every test looks at the home while its daemon starts.
        DagsterInstance.from_config(str(self.home)).dispose()
        file = folder / "location.py"
        file.write_text(module)
        program = str(Path(sys.executable).parent / "dagster-daemon")
        self._command = [program, "run", "-f", str(file)]
        own = {"DAGSTER_HOME": str(self.home), "DAGSTER_DISABLE_TELEMETRY": "1"}
        self._environment = os.environ | own | variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self, met: Callable[[], object], what: str = "it", seconds: float = 300) -> None:
        """Until that is met, while the daemon lives."""
        deadline = time.monotonic() + seconds
        while not met():
            assert self._process is not None
            in_vain = f"waited in vain for {what}: {self._log.read_text()[-5000:]}"
            assert self._process.poll() is None, in_vain
            assert time.monotonic() < deadline, in_vain
            time.sleep(0.2)
