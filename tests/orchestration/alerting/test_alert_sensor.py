"""The sensor, on what Dagster really records."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from sqlalchemy import event
from sqlalchemy.engine import Engine
from worlds.repos import change_rows

from feature_platform.core.windows import Window
from feature_platform.errors import AlertError
from feature_platform.orchestration.graph.gave_up import report_gave_up
from feature_platform.orchestration.graph.rebuild_due import rebuild_due_observation, report_rebuilt
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS
from feature_platform.orchestration.status.window_status import view_status
from feature_platform.registry.windows_on_record import registered_views

if TYPE_CHECKING:
    from worlds.samples import Sample
    from worlds.stand_ins.alert_receiver import Receiver

VIEW, SOURCE = "feature_views/stock", "sources/voorraad"
KEYS = f"warehouse_stock/{SOURCE}#keys"
RUN = f"warehouse_stock/{VIEW}#run-failure"


@dataclass
class Watch:
    """A sample repo whose code location has the sensor, and a real event log."""

    sample: "Sample"
    routes: Path
    cursor: str | None = None
    ticks: list[str] = field(default_factory=list)

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.sample.instance

    def tick(self, sensor: dg.SensorDefinition | None = None) -> str:
        """One tick as the daemon gives it; what the tick said."""
        sensor = sensor or self.sensor()
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        data = sensor.evaluate_tick(context)
        assert not data.run_requests
        self.cursor = data.cursor
        return data.skip_message or ""

    def sensor(self) -> dg.SensorDefinition:
        [sensor] = self.sample.definitions(alerts=self.routes).sensors
        return sensor

    def report(self, asset: str, check: str, *, passed: bool, **more: Any) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(self.sample.key(asset), check, passed=passed, **more)
        )

    def freshness(self, asset: str, state: FreshnessState) -> None:
        """As the freshness daemon reports it."""
        self.instance._report_runless_asset_event(
            FreshnessStateChange(
                key=self.sample.key(asset),
                previous_state=FreshnessState.UNKNOWN,
                new_state=state,
                state_change_timestamp=time.time(),
            )
        )

    def change_rows(self, change: Callable[[dict[str, Any]], None]) -> None:
        def each(rows: list[dict[str, Any]]) -> None:
            for row in rows:
                change(row)

        change_rows(self.sample.repo / "data/voorraad.parquet", each)


@pytest.fixture
def watch(
    make_sample: Callable[..., "Sample"], write_routes: Callable[[str], Path], tmp_path: Path
) -> Iterator[Watch]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        sample = make_sample("field_mappings")
        sample.promise_old_rows("stock.py", "source=voorraad,")
        sample.instance = instance
        yield Watch(sample, write_routes("to: hook"))


def lose_keys(row: dict[str, Any]) -> None:
    if row["tijdstip"].day == 2:
        row["artikel"] = None


def find_keys(row: dict[str, Any]) -> None:
    row["artikel"] = f"sku-{row['reserved']}"


def test_a_bad_window_is_told_when_it_fails_and_when_it_is_repaired(
    watch: Watch, receiver: "Receiver"
):
    assert watch.tick() == "0 incidents open, 0 messages sent, 0 waiting"
    watch.change_rows(lose_keys)
    assert watch.sample.run("registry").success
    assert not watch.sample.run(SOURCE, VIEW, partition="2026-03-02").success
    assert watch.tick() == "1 incidents open, 1 messages sent, 0 waiting"
    [opened] = receiver.hooks()
    [message] = opened["messages"]
    assert (message["kind"], message["key"]) == ("open", KEYS)
    assert "artikel" in message["what"]
    assert message["value"]
    assert message["threshold"]
    assert message["windows"] == "2026-03-02"
    assert message["effect"].startswith("blocked")
    assert message["link"] == (
        "https://dagster.example.com/assets/warehouse_stock/sources/voorraad"
        "?view=checks&checkDetail=keys"
    )
    assert message["run"].startswith("https://dagster.example.com/runs/")
    assert "--view stock --start 2026-03-02 --end 2026-03-03" in message["command"]

    # Another day is fine: that repairs nothing.
    assert watch.sample.run(SOURCE, VIEW, partition="2026-03-03").success
    watch.tick()
    assert receiver.told() == [("open", KEYS)]

    watch.change_rows(find_keys)
    assert watch.sample.run(SOURCE, VIEW, partition="2026-03-02").success
    watch.tick()
    watch.tick()
    assert receiver.told() == [("open", KEYS), ("resolve", KEYS)]


def test_what_the_gate_stops_is_told_once_as_the_check_it_is(watch: Watch, receiver: "Receiver"):
    assert watch.sample.run("registry").success
    watch.tick()
    watch.change_rows(lose_keys)
    # The view alone: its gate runs the checks, records them outside of the run, and fails the run.
    assert not watch.sample.run(VIEW, partition="2026-03-02").success
    watch.tick()
    assert receiver.told() == [("open", KEYS)]


def test_a_failed_run_is_over_when_each_of_its_windows_is_materialized(
    watch: Watch, receiver: "Receiver"
):
    watch.tick()
    path = watch.sample.repo / "data/voorraad.parquet"
    hidden = path.rename(path.with_suffix(".away"))
    assert not watch.sample.run(VIEW, span=("2026-03-01", "2026-03-02")).success
    watch.tick()
    [message] = receiver.hooks()[0]["messages"]
    assert (message["key"], message["windows"]) == (RUN, "2026-03-01, 2026-03-02")
    assert "voorraad" in message["what"]
    assert "--start 2026-03-01 --end 2026-03-03" in message["command"]
    hidden.rename(path)
    for day, told in (("2026-03-03", 1), ("2026-03-01", 1), ("2026-03-02", 2)):
        assert watch.sample.run(SOURCE, VIEW, partition=day).success
        watch.tick()
        assert len(receiver.told()) == told
    assert receiver.told()[-1] == ("resolve", RUN)


def test_a_check_that_broke_off_gave_no_verdict_and_that_is_told(
    watch: Watch, receiver: "Receiver", monkeypatch: pytest.MonkeyPatch
):
    def broken(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("no such host")

    watch.tick()
    with monkeypatch.context() as patched:
        patched.setattr("feature_platform.materialize.read_back.compare_online", broken)
        assert not watch.sample.run("registry", SOURCE, VIEW, partition="2026-03-01").success
    watch.tick()
    [message] = receiver.hooks()[0]["messages"]
    assert message["key"] == f"warehouse_stock/{VIEW}#online_equals_offline"
    assert message["what"].startswith("it gave no verdict: ")
    assert "no such host" in message["what"]
    assert watch.sample.run(VIEW, partition="2026-03-01").success
    watch.tick()
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve"]


def test_a_warning_that_leaves_the_run_green_is_told(watch: Watch, receiver: "Receiver"):
    watch.tick()
    watch.report(
        VIEW,
        "drift",
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description="on_hand drifted",
        metadata={"feature_platform/observed": 0.4, "feature_platform/threshold": 0.2},
    )
    watch.tick()
    [message] = receiver.hooks()[0]["messages"]
    assert message["severity"] == "warn"
    assert (message["value"], message["threshold"]) == ("0.4", "0.2")
    assert message["effect"] == "served: the check does not block"


def test_drift_is_told_by_feature_in_one_message_and_is_over_with_the_next_window(
    watch: Watch, receiver: "Receiver"
):
    drift, key = "drift/stock", "warehouse_stock/drift/stock"
    watch.tick()
    for day, passed in (("2026-03-01", False), ("2026-03-02", True)):
        for check in ("drift", "on_hand", "reserved"):
            metadata = {VERDICTS: {day: {"passed": passed}}}
            watch.report(drift, check, passed=passed, metadata=metadata)
        watch.tick()
    told = [sorted((m["kind"], m["key"]) for m in each["messages"]) for each in receiver.hooks()]
    assert told == [
        [("open", f"{key}#on_hand"), ("open", f"{key}#reserved")],
        [("resolve", f"{key}#on_hand"), ("resolve", f"{key}#reserved")],
    ]
    [message, _] = receiver.hooks()[0]["messages"]
    assert "feature-platform drift --repo" in message["command"]
    assert message["effect"] == "served: the check does not block"


def test_a_stale_view_is_told_until_it_is_fresh(watch: Watch, receiver: "Receiver"):
    watch.tick()
    states = FreshnessState
    for state in (states.UNKNOWN, states.WARN, states.FAIL, states.FAIL, states.PASS):
        watch.freshness(VIEW, state)
        watch.tick()
    key = f"warehouse_stock/{VIEW}#stale-asset"
    assert receiver.told() == [("open", key), ("resolve", key)]
    assert "served: online values are older" in receiver.hooks()[0]["messages"][0]["effect"]


def test_automation_that_gave_up_is_told_until_somebody_has_materialized(
    watch: Watch, receiver: "Receiver"
):
    watch.tick()
    report_gave_up(watch.instance, watch.sample.key(VIEW), ["2026-03-01"], "tried 3 times")
    watch.tick()
    key = f"warehouse_stock/{VIEW}#gave-up"
    assert receiver.told() == [("open", key)]
    assert receiver.hooks()[0]["messages"][0]["what"] == "tried 3 times"
    assert watch.sample.run("registry", SOURCE, VIEW, partition="2026-03-01").success
    watch.tick()
    assert receiver.told() == [("open", key), ("resolve", key)]


def test_a_rebuild_that_is_due_is_told_until_somebody_has_rebuilt(
    watch: Watch, receiver: "Receiver"
):
    watch.tick()
    view = watch.sample.key(VIEW)
    window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    for _ in range(2):
        watch.instance.report_runless_asset_event(rebuild_due_observation(view, window))
        watch.tick()
    [message] = receiver.hooks()[0]["messages"]
    key = f"warehouse_stock/{VIEW}#rebuild-due"
    assert (message["key"], message["severity"]) == (key, "warn")
    assert message["title"] == "[warn] warehouse_stock: feature view 'stock': rebuild due"
    assert "2026-03-01" in message["what"]
    assert message["effect"].startswith(
        "served: rows that have left the source may still be online"
    )
    assert message["command"].startswith("feature-platform rebuild-online --empty-first --repo ")
    assert message["command"].endswith(" --view stock")
    assert message["runbook"] == "docs/runbooks/rebuild-due.md"
    # Another window that is put online for the first time changes nothing.
    assert watch.sample.run("registry", SOURCE, VIEW, partition="2026-03-02").success
    watch.tick()
    assert receiver.told() == [("open", key)]
    report_rebuilt(watch.instance, view, 4)
    watch.tick()
    assert receiver.told() == [("open", key), ("resolve", key)]


def test_the_first_tick_tells_of_rebuilds_that_are_still_due(watch: Watch, receiver: "Receiver"):
    window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    view, source = watch.sample.key(VIEW), watch.sample.key(SOURCE)
    watch.instance.report_runless_asset_event(rebuild_due_observation(source, window))
    watch.instance.report_runless_asset_event(rebuild_due_observation(view, window))
    report_rebuilt(watch.instance, source, 1)
    watch.tick()
    assert receiver.told() == [("open", f"warehouse_stock/{VIEW}#rebuild-due")]


def test_a_store_that_cannot_name_keys_asks_for_a_rebuild_when_a_window_comes_again(
    watch: Watch, receiver: "Receiver", monkeypatch: pytest.MonkeyPatch
):
    # As with every store that is written through Feast's own interface.
    monkeypatch.setattr("feature_platform.materialize.online_view.writer_for", lambda *_: None)
    watch.tick()
    for _ in range(2):
        assert watch.sample.run("registry", SOURCE, VIEW, partition="2026-03-01").success
        watch.tick()
    assert receiver.told() == [("open", f"warehouse_stock/{VIEW}#rebuild-due")]
    graph, store = watch.sample.graph, watch.sample.project.store()
    now = datetime(2026, 3, 3, tzinfo=UTC)
    asked = (graph.views["stock"], registered_views(store)["stock"], watch.instance)
    assert view_status(*asked, now=now, count=2).rebuild_due


def test_automation_that_gave_up_on_a_source_that_fails_its_check_is_no_second_alert(
    watch: Watch, receiver: "Receiver"
):
    watch.tick()
    watch.report(SOURCE, "keys", passed=False)
    report_gave_up(watch.instance, watch.sample.key(VIEW), ["2026-03-01"], "tried 3 times")
    watch.tick()
    assert receiver.told() == [("open", KEYS)]


def test_the_first_tick_tells_what_is_wrong_already(watch: Watch, receiver: "Receiver"):
    watch.report(SOURCE, "keys", passed=False)
    watch.report(SOURCE, "schema", passed=False)
    watch.report(SOURCE, "schema", passed=True)
    watch.freshness(VIEW, FreshnessState.FAIL)
    watch.tick()
    assert sorted(receiver.told()) == [
        ("open", f"warehouse_stock/{VIEW}#stale-asset"),
        ("open", KEYS),
    ]
    watch.report(SOURCE, "keys", passed=True)
    watch.tick()
    assert receiver.told()[-1] == ("resolve", KEYS)


def test_what_failed_and_passed_between_two_ticks_is_told_all_the_same(
    watch: Watch, receiver: "Receiver"
):
    watch.tick()
    watch.report(SOURCE, "keys", passed=False)
    watch.report(SOURCE, "keys", passed=True)
    watch.tick()
    assert receiver.told() == [("open", KEYS), ("resolve", KEYS)]


def test_other_peoples_assets_are_left_alone(watch: Watch, receiver: "Receiver"):
    watch.tick()
    watch.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(dg.AssetKey(["other", "x"]), "keys", passed=False)
    )
    watch.tick()
    assert receiver.told() == []


def test_an_event_log_that_is_begun_anew_is_noticed(
    watch: Watch, receiver: "Receiver", tmp_path: Path
):
    watch.report(SOURCE, "keys", passed=True)
    watch.report(SOURCE, "keys", passed=False)
    watch.tick()
    state = next((tmp_path / "alerts").glob("*.sqlite"))
    (tmp_path / "second" / "alerts").mkdir(parents=True)
    for file in state.parent.iterdir():
        (tmp_path / "second" / "alerts" / file.name).write_bytes(file.read_bytes())
    with dg.instance_for_test(temp_dir=str(tmp_path / "second")) as instance:
        watch.sample.instance = instance
        watch.tick()
        assert receiver.told() == [("open", KEYS), ("resolve", KEYS)]
        watch.report(SOURCE, "keys", passed=False)
        watch.tick()
        assert receiver.told()[2:] == [("open", KEYS)]


def test_a_log_whose_numbers_may_come_late_is_read_with_the_same_result(
    watch: Watch, receiver: "Receiver"
):
    watch.sample.instance = dg.DagsterInstance.ephemeral()
    assert not watch.instance.event_log_storage.is_run_sharded
    sensor = watch.sensor()
    watch.tick(sensor)
    for passed in (False, False, True, False, True):
        watch.report(SOURCE, "keys", passed=passed)
        watch.tick(sensor)
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve"] * 2


def test_a_tick_asks_the_same_number_of_questions_however_much_there_is(
    watch: Watch, receiver: "Receiver"
):
    sensor = watch.sensor()
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            asked.append(statement)

    def questions() -> int:
        asked.clear()
        watch.tick(sensor)
        return len(asked)

    watch.tick(sensor)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        idle = questions()
        counts = []
        for size in (3, 30):
            for number in range(size):
                watch.report(SOURCE, "keys", passed=bool(number % 2))
            counts.append(questions())
        report_gave_up(watch.instance, watch.sample.key(VIEW), ["2026-03-01"], "tried")
        watch.tick(sensor)
        open_for_long = questions()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert idle <= 2
    assert counts[0] == counts[1] <= 8
    assert open_for_long <= 8
    assert len(receiver.told()) > 15


def test_the_state_may_be_kept_elsewhere(watch: Watch, tmp_path: Path):
    watch.routes.write_text(watch.routes.read_text() + "state: here/state.sqlite\n")
    watch.tick()
    assert (tmp_path / "here" / "state.sqlite").is_file()


def test_a_channel_that_is_down_shows_in_the_tick_and_its_secret_nowhere(
    watch: Watch, receiver: "Receiver", tmp_path: Path
):
    receiver.behave = lambda _request: "500"
    watch.tick()
    watch.report(SOURCE, "keys", passed=False)
    said = watch.tick()
    assert said.startswith("1 incidents open, 0 messages sent, 1 waiting; channel 'hook' answered")
    # All that Dagster and the alerts keep, and none of it holds the channel's secret.
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(kept) > 3
    assert not any(b"hook-key-5f0c1d" in file.read_bytes() for file in kept)


def test_the_sensor_runs_from_the_start_and_belongs_to_its_project(watch: Watch):
    sensor = watch.sensor()
    assert sensor.name == "warehouse_stock_alerts"
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert not list(watch.sample.definitions().sensors or [])


def test_a_wrong_route_file_keeps_the_code_location_from_loading(watch: Watch):
    watch.routes.write_text("routes:\n  - to: nobody\n")
    with pytest.raises(AlertError, match=r"alerts\.yaml:2: routes\[0\]\.to is 'nobody'"):
        watch.sensor()


def test_owners_and_tags_come_from_the_assets(make_sample: Callable[..., "Sample"]):
    from feature_platform import DagsterFeastTranslator
    from feature_platform.orchestration.alerting.alert_sensor import watch as watch_assets

    sample = make_sample("field_mappings")

    class Ours(DagsterFeastTranslator):
        def get_asset_spec(self, data: Any) -> dg.AssetSpec:
            spec = super().get_asset_spec(data)
            if data.kind != "feature_view":
                return spec
            return spec.replace_attributes(owners=["team:stock"], tags={"tier": "gold"})

    translator = Ours()
    assets = sample.definitions(translator=translator).resolve_all_asset_specs()
    subjects = watch_assets(sample.graph, translator, assets, []).subjects
    view, source = subjects[f"warehouse_stock/{VIEW}"], subjects[f"warehouse_stock/{SOURCE}"]
    assert (view.owners, dict(view.tags)["tier"]) == (("team:stock",), "gold")
    # A source without an owner belongs to those who read it.
    assert source.owners == ("team:stock",)
    assert source.views == ("stock",)
