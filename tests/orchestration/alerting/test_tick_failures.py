"""A sensor or a schedule that raises is told, and its next good tick ends that."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from sqlalchemy import event
from sqlalchemy.engine import Engine
from worlds.automation.kept_ticks import Ticks

from feature_platform.orchestration.repairs.conditions import follow_upstream
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.ticking import CONDITIONS

if TYPE_CHECKING:
    from worlds.samples import Sample
    from worlds.stand_ins.alert_receiver import Receiver

GAP, SCHEDULE = "warehouse_stock_gap", "warehouse_stock_daily_schedule"
GAP_KEY = f"warehouse_stock/automation/{GAP}#failed-tick"
DAY_KEY = f"warehouse_stock/automation/{SCHEDULE}#failed-tick"


class Daemon(Ticks):
    """A daemon that ticks the alert sensor of the code location."""

    definitions: dg.Definitions

    def look(self) -> str:
        """One tick of the alert sensor; what it said."""
        return self._look(self.context("warehouse_stock_alerts"))

    def look_by_hand(self) -> str:
        """As people do it who try a sensor out."""
        return self._look(dg.build_sensor_context(instance=self.instance))

    def _look(self, context: dg.SensorEvaluationContext) -> str:
        sensor = next(s for s in self.definitions.sensors or () if s.name.endswith("_alerts"))
        return sensor.evaluate_tick(context).skip_message or ""


@pytest.fixture
def daemon(
    make_sample: Callable[..., "Sample"], write_routes: Callable[[str], Path], tmp_path: Path
) -> Iterator[Daemon]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        daemon = Daemon(instance)
        daemon.definitions = make_sample("field_mappings").definitions(
            alerts=write_routes("{match: {kind: tick}, to: hook}"), automation=AutomationSettings()
        )
        yield daemon


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
    assert message["owner"] == "everybody whose views it maintains"
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
    kept = [file for file in (tmp_path / "alerts").iterdir() if file.is_file()]
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


def test_a_failing_schedule_that_is_switched_off_in_code_leaves_no_incident_open(
    daemon: Daemon, receiver: "Receiver"
):
    tick = daemon.tick(SCHEDULE, TickStatus.FAILURE)
    daemon.look()
    # Dagster's scheduler deletes its state then.
    daemon.instance.delete_instigator_state(tick.instigator_origin_id, tick.selector_id)
    daemon.look()
    daemon.look()
    assert receiver.told() == [("open", DAY_KEY), ("resolve", DAY_KEY)]


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
    daemon.look_by_hand()  # whose sensors they are cannot be known
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
