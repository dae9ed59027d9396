"""Every incident has an end: also of what is not defined any more, or serves nothing any more."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest
from worlds import repos
from worlds.repos import write_table
from worlds.times import march

from feature_platform.alerts.incident_ledger import IncidentLedger, open_ledger
from feature_platform.alerts.messages.incidents import Condition, Evidence, Incident
from feature_platform.orchestration.alerting.alert_sensor import state_file
from feature_platform.orchestration.alerting.ended_incidents import Lives
from feature_platform.orchestration.graph.gave_up import report_gave_up
from feature_platform.orchestration.graph.partitions import partitions_of

if TYPE_CHECKING:
    from worlds.samples import Sample
    from worlds.stand_ins.alert_receiver import Receiver

NOW = datetime(2026, 3, 10, tzinfo=UTC)
VIEW, SOURCE, DRIFT = "p/feature_views/v", "p/sources/s", "p/drift/v"
LIVES = Lives(
    kinds={VIEW: "feature_view", SOURCE: "source", DRIFT: "drift"},
    checks={(VIEW, "online_equals_offline"), (VIEW, "mine"), (DRIFT, "amount")},
    promised={VIEW},
    partitions={
        VIEW: partitions_of("daily", "2026-03-01"),
        SOURCE: partitions_of("hourly", "2026-03-01"),
    },
    ttls={VIEW: timedelta(days=2)},
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of its own for Dagster: the routes lie beside it."""
    found = tmp_path / "home"
    found.mkdir()
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[IncidentLedger]:
    with open_ledger(tmp_path / "alerts.sqlite") as found:
        yield found


def incident(asset: str, condition: str) -> Incident:
    found = Condition.parse(condition)
    return Incident("1", asset, found, "error", NOW, None, ("",), Evidence("bad"))


@pytest.mark.parametrize(
    ("asset", "condition", "scope", "why"),
    [
        (VIEW, "check:online_equals_offline", "", ""),
        (VIEW, "check:fresh_by_event_time", "", "check 'fresh_by_event_time' is gone"),
        (SOURCE, "check:suite", "2026-03-02-04:00", "check 'suite' is gone"),
        (DRIFT, "check:amount", "", ""),
        (DRIFT, "check:visits", "", "check 'visits' is gone"),
        (VIEW, "check:mine", "", ""),
        (VIEW, "check:theirs", "", ""),  # perhaps of another code location
        (VIEW, "freshness", "", ""),
        (SOURCE, "freshness", "", "its freshness policy is gone"),
        (VIEW, "run", "", ""),
        (VIEW, "run", "2026-03-09", ""),
        (VIEW, "run", "2026-03-07", "2026-03-07 is older than the TTL of 48 h"),
        (VIEW, "gave_up", "2026-03-07", "2026-03-07 is older than the TTL of 48 h"),
        # Its rows are history still, which training sets read.
        (SOURCE, "run", "2026-03-02-04:00", ""),
        (VIEW, "check:online_equals_offline", "2026-03-02", ""),
        (VIEW, "gave_up", "2026-02-27", "2026-02-27 is no partition any more"),
        (VIEW, "run", "2026-03-09-05:00", "2026-03-09-05:00 is no partition any more"),
        (SOURCE, "run", "2026-03-09", "2026-03-09 is no partition any more"),
        ("p/training_sets/t", "run", "2026-03-09", ""),
        (VIEW, "rebuild", "", ""),
        ("p/automation/p_gap", "tick", "", ""),
    ],
)
def test_what_no_event_will_end_is_over_and_nothing_else_is(
    ledger: IncidentLedger, asset: str, condition: str, scope: str, why: str
):
    said = LIVES.over(ledger, incident(asset, condition), scope, NOW)
    assert said.startswith(why)
    assert bool(said) == bool(why)


TWO = (
    repos.VIEWS
    + """
sales, visits = table("sales"), table("visits")
kept = view("kept", sales, 9000)
old = view("old", visits, 9000)
"""
)


class Tick:
    """Ticks of a repo's alert sensor, as its code location defines it each time."""

    def __init__(self, sample: "Sample", routes: Path) -> None:
        self.sample, self.routes = sample, routes
        self.mine: list[dg.AssetChecksDefinition] = []

    def __call__(self) -> None:
        definitions = dg.Definitions.merge(
            self.sample.definitions(alerts=self.routes), dg.Definitions(asset_checks=self.mine)
        )
        repository: Any = definitions.get_repository_def()
        [sensor] = [each for each in repository.sensor_defs if each.name.endswith("_alerts")]
        with dg.build_sensor_context(
            instance=self.sample.instance, repository_def=repository, sensor_name=sensor.name
        ) as context:
            sensor.evaluate_tick(context)


def fail(sample: "Sample", asset: str, check: str) -> None:
    evaluation = dg.AssetCheckEvaluation(sample.key(asset), check, passed=False, metadata={})
    sample.instance.report_runless_asset_event(evaluation)


def test_source_view_and_check_that_are_gone_from_the_code_leave_no_incident_open(
    make_repo: Callable[..., "Sample"],
    write_routes: Callable[[str], Path],
    receiver: "Receiver",
    home: Path,
):
    sample = make_repo({"views.py": TWO})
    rows = {"orders": [1], "ts": [march(0, 12)]}
    write_table(sample.repo / "data/sales/0.parquet", {"customer": [1], **rows})
    bad = {"customer": [None], **rows}
    write_table(sample.repo / "data/visits/0.parquet", bad, {"customer": pa.int64()})

    @dg.asset_check(asset=sample.key("feature_views/kept"))
    def mine() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    with dg.instance_for_test(temp_dir=str(home)) as sample.instance:
        tick = Tick(sample, write_routes("to: hook"))
        tick.mine = [mine]
        assert sample.run("registry").success
        tick()
        names = ("sources/visits", "feature_views/old")
        assert not sample.run(*names, partition="2026-03-01").success
        report_gave_up(sample.instance, sample.key("feature_views/kept"), ("2026-02-01",), "tried")
        fail(sample, "feature_views/kept", "mine")
        fail(sample, "feature_views/kept", "theirs")
        tick()
        tick()
        opened = {key for kind, key in receiver.told() if kind == "open"}
        assert {
            "weather/sources/visits#keys",
            "weather/feature_views/kept#mine",
            "weather/feature_views/kept#theirs",
            "weather/feature_views/kept#gave-up",
        } <= opened
        (sample.repo / "views.py").write_text(TWO.replace('old = view("old", visits, 9000)', ""))
        tick.mine = []
        for _ in range(3):
            tick()
        ended = {key for kind, key in receiver.told() if kind == "resolve"}
        # The check of another code location alone is not ours to end.
        assert opened - ended == {"weather/feature_views/kept#theirs"}
        with open_ledger(state_file(home, "weather")) as ledger:
            [left] = ledger.open_incidents()
            assert left.key == "weather/feature_views/kept#theirs"


@pytest.mark.parametrize("first", [False, True])
def test_an_event_that_cannot_be_understood_holds_up_no_other(
    make_sample: Callable[..., "Sample"],
    write_routes: Callable[[str], Path],
    receiver: "Receiver",
    home: Path,
    *,
    first: bool,
):
    sample = make_sample("field_mappings")
    with dg.instance_for_test(temp_dir=str(home)) as sample.instance:
        tick = Tick(sample, write_routes("to: hook"))
        if not first:  # the first tick tells what is wrong by then
            tick()
        odd = {"feature_platform/verdicts": {"2026-03-01": "no mapping"}}
        evaluation = dg.AssetCheckEvaluation(
            sample.key("sources/voorraad"), "keys", passed=False, metadata=odd
        )
        sample.instance.report_runless_asset_event(evaluation)
        fail(sample, "sources/voorraad", "schema")
        tick()
        tick()
        assert receiver.told() == [("open", "warehouse_stock/sources/voorraad#schema")]
