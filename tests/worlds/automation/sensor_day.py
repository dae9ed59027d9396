"""Dagster's sensor daemon on a repo, a step at a time: ``python -m worlds.automation.sensor_day``.

For each line ``start`` it forks a daemon that is as new as one that was just started, but for what
it has imported; the daemon says its process id, then for each line with a moment runs what the
daemon of Dagster runs at that moment, and says so. It may be killed; its parent says that it died.
With ``between`` after the moment it dies by itself, as soon as a tick has ended and before the
tick's cursor is stored.
"""

import logging
import os
import signal
import sys
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import feature_platform.orchestration.repairs.project_sensor as sensors

_MOMENT: list[float] = [0.0]


class Clock(datetime):
    """The time of day that the sensors go by."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        return cls.fromtimestamp(_MOMENT[0], tz)


def line() -> str:
    """One line, and not a byte more: the rest is for the next daemon."""
    said = b""
    while not said.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit()
        said += byte
    return said.decode().strip()


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def daemon(location: Path) -> None:
    """Load the repo as it is now, and evaluate its sensors whenever told."""
    from dagster import DagsterInstance
    from dagster._core.remote_origin import InProcessCodeLocationOrigin
    from dagster._core.test_utils import freeze_time
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
    from dagster._daemon.sensor import execute_sensor_iteration

    sensors.datetime = Clock  # type: ignore[misc]
    target: Any = LoadableTargetOrigin(
        executable_path=sys.executable, python_file=str(location), working_directory=None
    )
    origin = InProcessCodeLocationOrigin(target, location_name="shop")
    logger = logging.getLogger("day")
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as context,
    ):
        for entry in context.create_request_context().get_code_location_entries().values():
            if entry.load_error:
                say(f"error {entry.load_error.to_string()!r}")
        say(f"{os.getpid()}")
        while True:
            moment, *where = line().split()
            _MOMENT[0] = float(moment)
            if where == ["between"]:
                die_between_commits()
            with freeze_time(datetime.fromtimestamp(_MOMENT[0], UTC)):
                for error in execute_sensor_iteration(context, logger, None, None):
                    if error:
                        say(f"error {error.to_string()!r}")
            say("done")


def die_between_commits() -> None:
    """At the first tick of this moment that has ended."""
    from dagster import DagsterInstance

    def store(instance: DagsterInstance, state: Any) -> Any:
        if state.instigator_data.last_tick_timestamp == _MOMENT[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return before(instance, state)

    before = DagsterInstance.update_instigator_state
    DagsterInstance.update_instigator_state = store  # type: ignore[method-assign]


def main() -> None:
    import feast
    import feast.infra.offline_stores.duckdb  # noqa: F401
    import great_expectations  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    say("ready")
    while True:
        if line() != "start":
            continue
        child = os.fork()
        if child == 0:
            try:
                daemon(Path(sys.argv[1]))
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        say("died")


if __name__ == "__main__":
    main()
