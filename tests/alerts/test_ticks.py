"""A sensor or a schedule that raises is told, and its next good tick ends that."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._utils.error import SerializableErrorInfo
from sqlalchemy import event
from sqlalchemy.engine import Engine

from feature_platform.automation.conditions import follow_upstream
from feature_platform.automation.settings import AutomationSettings
from feature_platform.automation.tick_failures import CONDITIONS

if TYPE_CHECKING:
    from conftest import Receiver, Sample

LOCATION, REPOSITORY = "features", "__repository__"
GAP, SCHEDULE = "warehouse_stock_gap", "warehouse_stock_daily_schedule"
GAP_KEY = f"warehouse_stock/automation/{GAP}#failed-tick"
DAY_KEY = f"warehouse_stock/automation/{SCHEDULE}#failed-tick"


@dataclass
class Daemon:
    """What a daemon records of the sensors and schedules of one code location."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    clock: float = field(default_factory=lambda: time.time() - 300)  # each tick is half a minute

    def look(self, *, location: bool = True) -> str:
        """One tick of the alert sensor as the daemon gives it; what it said."""
        sensor = next(s for s in self.definitions.sensors or () if s.name.endswith("_alerts"))
        context = dg.SensorEvaluationContext(
            None,
            instance=self.instance,
            repository_name=REPOSITORY,
            code_location_origin=RegisteredCodeLocationOrigin(LOCATION) if location else None,
        )
        return sensor.evaluate_tick(context).skip_message or ""

    def tick(
        self, name: str, status: TickStatus, said: str = "registry is gone", in_a_row: int = 1
    ) -> InstigatorTick:
        """A tick of another one."""
        self.clock += 30
        if status != TickStatus.STARTED:
            self.keep(name)
        # As Dagster keeps it: what was raised is the cause of an error of its own.
        cause = SerializableErrorInfo(f"RegistryError: {said}\n", [], "RegistryError")
        error = SerializableErrorInfo("SensorExecutionError\n", [], "SensorExecutionError", cause)
        failed = status == TickStatus.FAILURE
        return self.instance.create_tick(
            TickData(
                instigator_origin_id="any",
                instigator_name=name,
                instigator_type=_type(name),
                status=status,
                timestamp=self.clock,
                end_timestamp=None if status == TickStatus.STARTED else self.clock + 1,
                error=error if failed else None,
                selector_id=_origin(name).get_selector().get_id(),
                run_ids=[],
                consecutive_failure_count=in_a_row if failed else 0,
            )
        )

    def keep(self, name: str, status: InstigatorStatus = InstigatorStatus.RUNNING) -> None:
        """What Dagster keeps of it beside its ticks: of a sensor when the newest was."""
        sensor = _type(name) == InstigatorType.SENSOR
        state = InstigatorState(
            _origin(name),
            _type(name),
            status,
            SensorInstigatorData(last_tick_timestamp=self.clock)
            if sensor
            else ScheduleInstigatorData("0 0 * * *"),
        )
        known = {each.selector_id for each in self.instance.all_instigator_state()}
        if state.selector_id in known:
            self.instance.update_instigator_state(state)
        else:
            self.instance.add_instigator_state(state)


def _origin(name: str) -> RemoteInstigatorOrigin:
    location = RegisteredCodeLocationOrigin(LOCATION)
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, REPOSITORY), name)


def _type(name: str) -> InstigatorType:
    return InstigatorType.SCHEDULE if name == SCHEDULE else InstigatorType.SENSOR


@pytest.fixture
def daemon(
    make_sample: Callable[..., "Sample"],
    receiver: "Receiver",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Daemon]:
    monkeypatch.setenv("HOOK_KEY", "hook-key-5f0c1d")
    routes = tmp_path / "alerts.yaml"
    routes.write_text(
        "ui: https://dagster.example.com\n"
        "channels:\n"
        f"  hook: {{type: webhook, url: '{receiver.url}/hook', secret_env: HOOK_KEY}}\n"
        "routes:\n  - {match: {kind: tick}, to: hook}\n"
    )
    (tmp_path / "home").mkdir()
    definitions = make_sample("field_mappings").definitions(
        alerts=routes, automation=AutomationSettings()
    )
    with dg.instance_for_test(temp_dir=str(tmp_path / "home")) as instance:
        yield Daemon(definitions, instance)


def test_a_sensor_that_raises_is_one_incident_until_its_next_good_tick(
    daemon: Daemon, receiver: "Receiver"
):
    daemon.tick(GAP, TickStatus.SKIPPED)
    assert daemon.look() == "0 incidents open, 0 messages sent, 0 waiting"
    daemon.tick(GAP, TickStatus.FAILURE)
    daemon.look()
    [message] = receiver.hooks()[0]["messages"]
    assert (message["kind"], message["key"], message["severity"]) == ("open", GAP_KEY, "warn")
    assert message["title"] == f"[warn] warehouse_stock: sensor '{GAP}': ticks fail"
    assert message["what"] == "its tick raised: RegistryError: registry is gone"
    assert message["link"] == "https://dagster.example.com/automation"
    assert message["owner"] == "everybody whose views it looks after"
    assert message["command"].startswith("feature-platform doctor --repo ")
    assert message["runbook"].endswith("failed-tick.md")
    # What is under way says nothing; and it stays one incident however often it fails.
    daemon.tick(GAP, TickStatus.STARTED)
    daemon.look()
    for failures in (2, 3):
        daemon.tick(GAP, TickStatus.FAILURE, in_a_row=failures)
        daemon.look()
    assert receiver.told() == [("open", GAP_KEY)]
    daemon.tick(GAP, TickStatus.SKIPPED)
    daemon.look()
    daemon.look()
    assert receiver.told() == [("open", GAP_KEY), ("resolve", GAP_KEY)]
    daemon.tick(GAP, TickStatus.FAILURE)
    daemon.look()
    assert receiver.told()[2:] == [("open", GAP_KEY)]


def test_a_second_failure_in_a_row_makes_a_warning_an_error(daemon: Daemon, receiver: "Receiver"):
    daemon.tick(GAP, TickStatus.FAILURE, in_a_row=2)
    daemon.look()
    [message] = receiver.hooks()[0]["messages"]
    assert message["severity"] == "error"


def test_a_schedules_first_failure_is_an_error_and_the_same_tick_tried_again_ends_it(
    daemon: Daemon, receiver: "Receiver"
):
    tick = daemon.tick(SCHEDULE, TickStatus.FAILURE)
    daemon.look()
    [message] = receiver.hooks()[0]["messages"]
    assert (message["key"], message["severity"]) == (DAY_KEY, "error")
    assert f"schedule '{SCHEDULE}'" in message["title"]
    daemon.instance.update_tick(tick.with_status(TickStatus.SUCCESS, error=None))
    daemon.look()
    assert receiver.told() == [("open", DAY_KEY), ("resolve", DAY_KEY)]


def test_a_tick_that_repeats_a_channels_secret_does_not_spread_it(
    daemon: Daemon, receiver: "Receiver", tmp_path: Path
):
    daemon.tick(GAP, TickStatus.FAILURE, said="cannot sign with hook-key-5f0c1d")
    daemon.look()
    [message] = receiver.hooks()[0]["messages"]
    assert message["what"] == "its tick raised: RegistryError: cannot sign with ***"
    kept = [file for file in (tmp_path / "home" / "alerts").iterdir() if file.is_file()]
    assert len(kept) > 1
    assert not any(b"hook-key-5f0c1d" in file.read_bytes() for file in kept)


def test_whoever_switches_a_failing_sensor_off_has_seen_to_it(daemon: Daemon, receiver: "Receiver"):
    daemon.tick(GAP, TickStatus.FAILURE)
    daemon.look()
    # By hand, or, where nobody has switched it by hand, in the definitions.
    for status in (InstigatorStatus.STOPPED, InstigatorStatus.DECLARED_IN_CODE):
        daemon.keep(GAP, status)
        daemon.look()
        assert receiver.told() == [("open", GAP_KEY), ("resolve", GAP_KEY)]
    daemon.clock = time.time()
    daemon.tick(GAP, TickStatus.FAILURE)
    daemon.look()
    assert receiver.told()[2:] == [("open", GAP_KEY)]


def test_a_clock_that_ran_ahead_and_was_put_right_hides_no_tick(
    daemon: Daemon, receiver: "Receiver"
):
    right = daemon.clock
    daemon.clock += 3 * 3600
    tick = daemon.tick(SCHEDULE, TickStatus.FAILURE)
    daemon.tick(GAP, TickStatus.FAILURE)
    daemon.look()
    assert sorted(receiver.told()) == [("open", DAY_KEY), ("open", GAP_KEY)]
    daemon.clock = right
    # The schedule's tick is tried again, under its number; the sensor's next one has an earlier
    # time than the one before.
    daemon.instance.update_tick(tick.with_status(TickStatus.SUCCESS, error=None))
    daemon.tick(GAP, TickStatus.SKIPPED)
    daemon.look()
    assert sorted(receiver.told()[2:]) == [("resolve", DAY_KEY), ("resolve", GAP_KEY)]
    # What ended in the future, well this time, hides no failure of now.
    daemon.clock += 3 * 3600
    for status in (TickStatus.FAILURE, TickStatus.SUCCESS):
        daemon.tick(GAP, status)
        daemon.look()
    daemon.clock = right + 60
    daemon.tick(GAP, TickStatus.FAILURE)
    daemon.look()
    daemon.look()
    assert receiver.told()[4:] == [("open", GAP_KEY), ("resolve", GAP_KEY), ("open", GAP_KEY)]


def test_other_peoples_sensors_are_left_alone(daemon: Daemon, receiver: "Receiver"):
    daemon.tick("somebody_elses", TickStatus.FAILURE)
    daemon.look()
    assert receiver.told() == []
    daemon.tick(GAP, TickStatus.FAILURE)
    daemon.look(location=False)  # not the daemon's tick: whose it is cannot be known
    assert receiver.told() == []


def test_the_sensor_of_automation_conditions_is_relied_on_where_there_are_some(
    daemon: Daemon, receiver: "Receiver", make_sample: Callable[..., "Sample"], tmp_path: Path
):
    daemon.tick(CONDITIONS.name, TickStatus.FAILURE)
    daemon.look()
    assert receiver.told() == []  # this code location has none
    automation = AutomationSettings(source_changed=False, condition=follow_upstream())
    daemon.definitions = make_sample("field_mappings").definitions(
        alerts=tmp_path / "alerts.yaml", automation=automation
    )
    assert CONDITIONS.name in {
        each.name for each in daemon.definitions.get_repository_def().sensor_defs
    }
    daemon.look()
    key = f"warehouse_stock/automation/{CONDITIONS.name}#failed-tick"
    assert receiver.told() == [("open", key)]


def test_each_sensor_and_schedule_is_asked_for_once_however_often_they_ticked(
    daemon: Daemon, receiver: "Receiver"
):
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "FROM job_ticks" in statement:
            asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        counts = []
        for times in (1, 40):
            for _ in range(times):
                daemon.tick(GAP, TickStatus.FAILURE)
                daemon.tick(SCHEDULE, TickStatus.SUCCESS)
            asked.clear()
            daemon.look()
            counts.append(len(asked))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    # Three repair sensors, that of freshness, and the schedule of the daily job and of skew.
    assert counts[0] == counts[1] <= 6
    assert receiver.told() == [("open", GAP_KEY)]
