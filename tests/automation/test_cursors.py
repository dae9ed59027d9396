"""A sensor goes on where its newest tick left off, though its daemon died before storing that."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from kept_ticks import Ticks
from shop import VIEWS

from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.registry.registry_apply import apply
from feature_platform.training.entity_rows import EntityRows

if TYPE_CHECKING:
    from conftest import Sample

ROOT = Path(__file__).resolve().parents[2]
MINUTE, NOON = timedelta(minutes=1), datetime(2026, 3, 11, 12, tzinfo=UTC)
LOCATION = """
from pathlib import Path

import dagster as dg

from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.newest_ticks import cursor_of
from feature_platform.orchestration.watch.watching_sensor import build_watching_sensor

def look(instance, cursor):
    if Path(__file__).with_name("broken").exists():
        raise RuntimeError("broken")
    number = int(cursor or 0) + 1
    return str(number), f"look {number}"

@dg.job
def nothing(): ...

@dg.sensor(job=nothing, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def asks(context):
    cursor, said = look(context.instance, cursor_of(context))
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=said)], cursor=cursor)

watches = build_watching_sensor("p", "watches", "", AutomationSettings(running=True), look)
defs = dg.Definitions(sensors=[%s])
"""


class Killed(BaseException):
    """Nothing of the daemon runs after it."""


@dataclass
class Daemon:
    """The sensor daemon on one sensor, which counts its looks in its cursor."""

    context: WorkspaceProcessContext
    instance: dg.DagsterInstance
    folder: Path
    now: datetime = NOON

    def tick(self) -> bool:
        """A minute later; whether it went well."""
        self.now += MINUTE
        logger = logging.getLogger("tests.automation")
        with freeze_time(self.now):
            return not any(execute_sensor_iteration(self.context, logger, None, None))

    def fails(self) -> None:
        """A tick that raises."""
        broken = self.folder / "broken"
        broken.touch()
        assert not self.tick()
        broken.unlink()

    def look(self) -> int:
        """A tick; which look it was."""
        assert self.tick()
        [state] = self.instance.all_instigator_state()
        ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        newest = max(ticks, key=lambda tick: tick.tick_id)
        return int(newest.cursor or 0)

    def dies(self, at: str, when: Callable[[Any], bool] = lambda _: True) -> None:
        """In a tick, when it is about to store something."""

        def killed(_instance: dg.DagsterInstance, stored: Any) -> None:
            if when(stored):
                raise Killed
            before(_instance, stored)

        before = getattr(dg.DagsterInstance, at)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(dg.DagsterInstance, at, killed)
            with pytest.raises(Killed):
                self.look()

    def dies_between_the_commits(self) -> None:
        """Its tick has ended, and its cursor is not stored."""
        moment = (self.now + MINUTE).timestamp()
        self.dies(
            "update_instigator_state",
            lambda state: state.instigator_data.last_tick_timestamp == moment,
        )


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    queue = {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}
    contexts = []
    with dg.instance_for_test(overrides={"run_coordinator": queue}) as instance:

        def make(sensor: str = "watches") -> Daemon:
            file = tmp_path / "location.py"
            file.write_text(LOCATION % sensor)
            target = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(file))
            load = InProcessWorkspaceLoadTarget(
                InProcessCodeLocationOrigin(target, location_name="counts")
            )
            contexts.append(WorkspaceProcessContext(instance, load))
            return Daemon(contexts[-1], instance, tmp_path)

        yield make
        for context in contexts:
            context.__exit__(None, None, None)


MakeDaemon = Callable[..., Daemon]


@pytest.mark.parametrize("sensor", ["watches", "asks"])
def test_a_daemon_that_dies_between_ending_a_tick_and_storing_its_cursor_loses_neither(
    sensor: str, make_daemon: MakeDaemon
):
    daemon = make_daemon(sensor)
    daemon.dies_between_the_commits()  # at the first of all
    assert [daemon.look(), daemon.look()] == [2, 3]
    daemon.dies_between_the_commits()
    daemon.dies_between_the_commits()
    assert [daemon.look(), daemon.look()] == [6, 7]
    runs = [run.tags["dagster/run_key"] for run in daemon.instance.get_runs()]
    asked = [f"look {number}" for number in range(7, 0, -1)]
    assert runs == (asked if sensor == "asks" else [])


def test_what_was_broken_off_before_its_tick_ended_is_done_again(make_daemon: MakeDaemon):
    daemon = make_daemon()
    assert daemon.look() == 1
    daemon.dies_between_the_commits()
    daemon.dies("update_tick")
    assert daemon.look() == 3


def test_runs_that_were_started_by_a_tick_that_did_not_end_are_not_started_again(
    make_daemon: MakeDaemon,
):
    daemon = make_daemon("asks")
    daemon.dies("update_tick", lambda tick: tick.status == TickStatus.SUCCESS)
    assert [daemon.look() for _ in range(3)][-1] in (2, 3, 4)
    runs = [run.tags["dagster/run_key"] for run in daemon.instance.get_runs()]
    assert sorted(runs) == sorted(set(runs))


@pytest.mark.parametrize("sensor", ["watches", "asks"])
def test_a_cursor_that_was_not_stored_is_not_lost_when_the_ticks_after_it_fail(
    sensor: str, make_daemon: MakeDaemon
):
    daemon = make_daemon(sensor)
    daemon.dies_between_the_commits()  # at the first of all
    daemon.fails()
    assert [daemon.look(), daemon.look()] == [2, 3]
    daemon.dies_between_the_commits()
    daemon.dies("update_tick")  # and one that is broken off
    for _ in range(3):
        daemon.fails()
    assert [daemon.look(), daemon.look()] == [5, 6]
    daemon.fails()  # nothing was lost
    assert daemon.look() == 7


@pytest.mark.parametrize("fails", [False, True])
def test_a_cursor_that_was_set_by_hand_counts(fails: bool, make_daemon: MakeDaemon):  # noqa: FBT001
    daemon = make_daemon()
    assert [daemon.look() for _ in range(3)] == [1, 2, 3]
    if fails:
        daemon.fails()
    [state] = daemon.instance.all_instigator_state()
    data = state.instigator_data
    daemon.instance.update_instigator_state(state.with_data(data._replace(cursor="10")))
    if fails:
        daemon.fails()
    assert daemon.look() == 11


def test_a_cursor_that_was_typed_in_to_try_a_sensor_out_counts(make_daemon: MakeDaemon):
    daemon = make_daemon()
    assert [daemon.look(), daemon.look()] == [1, 2]
    request = daemon.context.create_request_context()
    [location] = request.code_locations
    [repository] = location.get_repositories().values()

    def tried(cursor: str | None) -> str | None:
        return location.get_sensor_execution_data(
            daemon.instance, repository.handle, "p_watches", None, None, cursor, None, None
        ).cursor

    assert [tried("40"), tried(None)] == ["41", "3"]


def test_after_a_clock_was_set_back_nothing_ticks_until_it_has_caught_up_or_what_the_runbook_says(
    make_daemon: MakeDaemon,
):
    daemon = make_daemon()
    assert daemon.look() == 1
    daemon.now += 180 * MINUTE
    assert [daemon.look() for _ in range(2)] == [2, 3]
    daemon.now = NOON + MINUTE
    assert daemon.look() == 3  # Dagster waits for the sensor's interval to be over, by that clock
    page = (ROOT / "docs/runbooks/alerts-not-delivered.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("time.time", daemon.now.timestamp)
        patched.setattr(dg.DagsterInstance, "get", lambda: nullcontext(daemon.instance))
        exec(program, {})  # noqa: S102 - what people are told to run
    assert [daemon.look() for _ in range(3)] == [4, 5, 6]
    daemon.dies_between_the_commits()
    assert daemon.look() == 8


def test_each_sensor_that_starts_runs_goes_on_from_the_newest_cursor(
    make_repo: Callable[..., "Sample"], tmp_path: Path
):
    repo = VIEWS.replace("import Entity,", "import Entity, FeatureService,") + (
        'a = view("a", orders, 10)\nserved = FeatureService(name="served", features=[a])\n'
    )
    sample = make_repo({"views.py": repo})
    apply(sample.project.store(), sample.project.contents)
    definitions = sample.definitions(
        automation=AutomationSettings(freshness=False, online=False),
        training_sets={"served": EntityRows(path="labels.parquet")},
        schedules=False,
    )
    serials = {}
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        for sensor in definitions.sensors or ():
            ticks = Ticks(instance)
            stored = ticks.tick(sensor.name, TickStatus.SKIPPED, cursor='{"serial": 7}')
            ticks.tick(sensor.name, TickStatus.SKIPPED, cursor='{"serial": 8}')
            context = ticks.context(
                sensor.name, last_tick_completion_time=stored.timestamp, cursor=stored.cursor
            )
            data = sensor.evaluate_tick(context)  # type: ignore[union-attr]
            serials[sensor.name.removeprefix("weather_")] = json.loads(data.cursor or "")["serial"]
    # One more where it has started a run.
    assert serials == {"source_changed": 8, "definition_changed": 9, "gap": 8, "drift": 8}
