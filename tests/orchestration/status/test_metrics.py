"""What Prometheus is told is what happened."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from dagster._core.test_utils import freeze_time
from worlds.automation.kept_ticks import Ticks

from feature_platform.alerts.desk import LOOKED_AT
from feature_platform.alerts.incident_ledger import open_ledger
from feature_platform.alerts.messages.incidents import Condition, Evidence, Finding, utc
from feature_platform.cli import main
from feature_platform.orchestration.graph.rebuild_due import REBUILD_DUE, report_rebuilt
from feature_platform.orchestration.graph.size_metadata import (
    ONLINE_BYTES,
    ONLINE_KEYS,
    STORE_BYTES,
    STORE_KEYS,
)
from feature_platform.orchestration.status.platform_metrics import PlatformMetrics
from feature_platform.orchestration.status.window_status import view_status
from feature_platform.orchestration.watch.ticking import Ticking

if TYPE_CHECKING:
    from worlds.local_servers import RedisServer
    from worlds.samples import Sample

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
VIEW = "stock"
UNCHECKED = {
    "warehouse_stock__feature_views__stock": {"config": {"allow_failed_checks": True}},
}
VIEW_KEY = "feature_views/stock"
Told = dict[tuple[str, ...], float]


def tell(sample: "Sample", now: datetime = NOON, alerts: Path | None = None) -> dict[str, Told]:
    """Metric to the values of its labels (but the project) to the value."""
    repository = sample.definitions(schedules=False).get_repository_def()
    metrics = PlatformMetrics(
        sample.graph,
        sample.instance,
        tuple(repository.asset_graph.asset_check_keys),
        alerts,
        ticking=(Ticking("p_gap", "sensor"), Ticking("p_daily_schedule", "schedule")),
    )
    found: dict[str, Told] = {}
    for metric in metrics.collect(now):
        for each in metric.samples:
            labels = tuple(value for name, value in each.labels.items() if name != "project")
            found.setdefault(each.name.removeprefix("feature_platform_"), {})[labels] = each.value
    return found


@pytest.fixture(scope="module")
def sample(make_sample: Callable[..., "Sample"]) -> "Sample":
    """Three days of data; the first and the third are online."""
    found = make_sample("field_mappings")
    assert found.run("registry").success
    for day in ("2026-03-01", "2026-03-03"):
        assert found.run("sources/voorraad", "feature_views/stock", partition=day).success
    return found


@pytest.fixture(scope="module")
def told(sample: "Sample") -> dict[str, Told]:
    return tell(sample)


def test_freshness_is_the_age_of_the_newest_row_and_not_that_of_the_newest_window_or_run(
    told: dict[str, Told],
):
    # The newest row is of seven in the morning; its window ended with the day.
    assert told["view_freshness_seconds"] == {(VIEW,): (3 * DAY + 5 * HOUR).total_seconds()}
    assert told["view_lag_seconds"] == {(VIEW,): (2 * DAY).total_seconds()}
    assert told["view_promise_seconds"] == {(VIEW,): (2 * DAY).total_seconds()}


def test_each_window_is_counted_by_its_state_and_gaps_are_those_to_be_filled(
    told: dict[str, Told],
):
    windows = {state: count for (_, state), count in told["view_windows"].items()}
    assert windows == {"complete": 2, "missing": 3, "failed": 0, "stale": 0, "running": 0}
    assert told["view_gaps"] == {(VIEW,): 3}


def test_the_newest_materialization_is_told_with_its_rows_and_seconds(
    sample: "Sample", told: dict[str, Told]
):
    assert told["materialization_rows"] == {(VIEW,): 4}
    assert told["materialization_keys_written"] == {(VIEW,): 4}
    assert told["materialization_seconds"][VIEW,] > 0
    [newest] = sample.materializations("feature_views/stock", "2026-03-03")
    assert newest is not None
    assert told["materialization_timestamp_seconds"][VIEW,] > NOON.timestamp() - 365 * 86400


def test_every_check_that_ran_is_told(told: dict[str, Told]):
    source = {
        check: passed
        for (asset, kind, check, severity), passed in told["check_passed"].items()
        if asset == "warehouse_stock/sources/voorraad" and (kind, severity) == ("source", "error")
    }
    assert source == dict.fromkeys(("schema", "keys", "event_time", "numbers", "row_count"), 1)
    asset = "warehouse_stock/feature_views/stock"
    assert told["check_passed"][asset, "feature_view", "online_equals_offline", "error"] == 1
    assert (asset, "online_equals_offline") in told["check_timestamp_seconds"]


def test_failed_ticks_are_counted_until_one_is_well(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    with dg.instance_for_test() as sample.instance:
        ticks = Ticks(sample.instance, (NOON - HOUR).timestamp())
        assert tell(sample).get("failed_ticks") is None
        ticks.tick("somebody_elses", TickStatus.FAILURE)
        ticks.tick("p_daily_schedule", TickStatus.SUCCESS)
        for failures in (1, 2, 3):
            ticks.tick("p_gap", TickStatus.FAILURE, in_a_row=failures)
        gap, schedule = ("p_gap", "sensor"), ("p_daily_schedule", "schedule")
        assert tell(sample)["failed_ticks"] == {gap: 3, schedule: 0}
        ticks.tick("p_gap", TickStatus.STARTED)
        ticks.tick("p_daily_schedule", TickStatus.FAILURE)
        assert tell(sample)["failed_ticks"] == {gap: 3, schedule: 1}
        assert tell(sample, NOON + DAY)["failed_ticks"] == {schedule: 1}
        ticks.tick("p_gap", TickStatus.SKIPPED)
        assert tell(sample)["failed_ticks"] == {gap: 0, schedule: 1}
        ticks.keep("p_daily_schedule", InstigatorStatus.STOPPED)
        assert tell(sample)["failed_ticks"] == {gap: 0}


def test_a_window_without_rows_makes_nothing_fresher(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    for day in ("2026-03-03", "2026-03-04"):
        assert sample.run("registry", VIEW_KEY, partition=day, config=UNCHECKED).success
    assert len(sample.windows("stock")) == 1  # the empty day is online too, right behind the other
    found = tell(sample)
    assert found["view_lag_seconds"] == {(VIEW,): DAY.total_seconds()}
    assert found["view_freshness_seconds"] == {(VIEW,): (3 * DAY + 5 * HOUR).total_seconds()}


def test_what_was_read_for_freshness_is_not_read_again(
    sample: "Sample", monkeypatch: pytest.MonkeyPatch
):
    before = tell(sample)["view_freshness_seconds"]
    read: list[Any] = []
    monkeypatch.setattr(
        "feature_platform.orchestration.checks.freshness_checks.newest_event", read.append
    )
    after = tell(sample, NOON + HOUR)["view_freshness_seconds"]
    assert after == {(VIEW,): before[VIEW,] + HOUR.total_seconds()}
    assert read == []


def test_keys_and_bytes_online_are_counted(told: dict[str, Told]):
    assert told["online_keys"] == {(VIEW,): 4}
    assert told["online_bytes"][VIEW,] > 4 * 3 * 50
    assert told["online_store_bytes"][()] > 1000
    assert told["online_store_limit_bytes"][()] > told["online_store_bytes"][()]


def test_a_run_records_what_is_online_after_it(sample: "Sample", told: dict[str, Told]):
    [newest] = sample.materializations("feature_views/stock", "2026-03-03")
    assert newest.metadata["feature_platform/online_keys"].value == 4
    assert newest.metadata["feature_platform/online_bytes"].value == told["online_bytes"][VIEW,]
    # Both days were put online today: there is no second day to draw a line through.
    assert "online_keys_per_day" not in told


def test_growth_is_told_from_what_runs_recorded(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    assert sample.run("registry").success
    key = sample.key(VIEW_KEY)
    started = datetime(2026, 3, 1, 6, tzinfo=UTC)
    for day, (keys, size) in enumerate([(1000, 90_000), (1100, 99_000), (1200, 108_000)]):
        counted = dg.AssetMaterialization(key, metadata={ONLINE_KEYS: keys, ONLINE_BYTES: size})
        with freeze_time(started + day * DAY):
            sample.instance.report_runless_asset_event(counted)
    found = tell(sample)
    assert found["online_keys_per_day"] == {(VIEW,): 100}
    assert found["online_bytes_per_day"] == {(VIEW,): 9000}
    assert set(found["part_up"].values()) == {1}


def test_runs_that_ended_are_counted(told: dict[str, Told]):
    assert told["runs"] == {("success",): 3, ("failure",): 0}


def test_what_is_pruned_is_no_counter(sample: "Sample"):
    """A counter must not fall: Prometheus takes all of it for new then."""
    metrics = PlatformMetrics(sample.graph, sample.instance, (), channels=frozenset())
    counters = {each.name for each in metrics.collect(NOON) if each.type == "counter"}
    # Messages that are sent are counted in the ledger, which prunes messages and keeps the count.
    assert counters <= {"feature_platform_alerts_sent"}


def test_every_part_is_there(told: dict[str, Told]):
    assert set(told["part_up"].values()) == {1}
    assert told["collected_timestamp_seconds"] == {(): NOON.timestamp()}


def test_a_view_that_was_never_materialized_is_infinitely_stale(
    make_sample: Callable[..., "Sample"],
):
    found = tell(make_sample("field_mappings"))
    assert found["view_freshness_seconds"] == {(VIEW,): math.inf}
    assert found["view_lag_seconds"] == {(VIEW,): math.inf}
    assert "online_keys" not in found
    assert set(found["part_up"].values()) == {1}


def test_only_what_something_happened_to_is_looked_at_again(
    make_sample: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    def noted(view: Any, *arguments: Any, **more: Any) -> Any:
        asked.append(view.name)
        return view_status(view, *arguments, **more)

    monkeypatch.setattr("feature_platform.orchestration.status.status_cache.view_status", noted)
    sample = make_sample("field_mappings")
    metrics = PlatformMetrics(sample.graph, sample.instance, ())

    def look(now: datetime = NOON) -> tuple[float, float, int]:
        """Gaps, whether a rebuild is due, and how many views were looked at."""
        asked.clear()
        found = {
            each.name: each.value for metric in metrics.collect(now) for each in metric.samples
        }
        prefix = "feature_platform_view_"
        return found[f"{prefix}gaps"], found[f"{prefix}rebuild_due"], len(asked)

    assert look() == (5, 0, 0)  # nothing has ever happened
    assert sample.run("registry", "sources/voorraad", VIEW_KEY, partition="2026-03-01").success
    assert look() == (4, 0, 1)
    assert look() == (4, 0, 0)
    assert look(NOON + DAY) == (5, 0, 1)  # another day is complete
    path = sample.repo / "data/voorraad.parquet"
    path.rename(path.with_suffix(".away"))
    assert not sample.run(VIEW_KEY, partition="2026-03-01").success
    assert look(NOON + DAY) == (6, 0, 1)
    sample.instance.report_runless_asset_event(
        dg.AssetMaterialization(sample.key(VIEW_KEY), metadata={REBUILD_DUE: True})
    )
    assert look(NOON + DAY)[1:] == (1, 1)
    report_rebuilt(sample.instance, sample.key(VIEW_KEY), 1)
    assert look(NOON + DAY)[1:] == (0, 1)
    assert look(NOON + DAY)[1:] == (0, 0)


def test_drift_is_told_by_feature(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    sample.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            sample.key("drift/stock"),
            "on_hand",
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"feature_platform/distance": 1.75},
        )
    )
    found = tell(sample)
    asset = "warehouse_stock/drift/stock"
    assert found["drift_distance"] == {(asset, "on_hand"): 1.75}
    assert found["check_passed"][asset, "drift", "on_hand", "warn"] == 0


def test_what_waits_in_the_outbox_is_told(make_sample: Callable[..., "Sample"], tmp_path: Path):
    from feature_platform.alerts.messages.incidents import Subject
    from feature_platform.alerts.messages.message import Places, compose
    from feature_platform.alerts.outbox import Outbox
    from feature_platform.alerts.routes import Target

    state = tmp_path / "alerts.sqlite"
    with open_ledger(state) as ledger:
        ledger.move(LOOKED_AT, 1_700_000_000)
        outbox = Outbox(ledger)
        for number, channel in enumerate(("chat", "page")):
            condition = Condition("check", f"c{number}")
            seen = Evidence("x")
            finding = Finding("p/a", condition, number, utc(0), {"": True}, "error", seen)
            _, incident = ledger.apply(finding)
            assert incident is not None
            message = compose(incident, Subject("p/a", "p", "source", "a"), "open", Places())
            outbox.announce(incident, message, Target(channel), utc(0))
        delivery = outbox.next_delivery("page", utc(10))
        assert delivery is not None
        outbox.sent(delivery, utc(10))
        waiting = outbox.next_delivery("chat", utc(10))
        assert waiting is not None
        outbox.refused(waiting, "answered with status 500", utc(10), outage=True)
    found = tell(make_sample("field_mappings"), alerts=state)
    assert found["alerts_pending"] == {("chat",): 1, ("page",): 0}
    assert found["alerts_sent_total"] == {("page", "open"): 1}
    assert found["alert_channel_failing"] == {("chat",): 1, ("page",): 0}
    assert found["incidents_open"] == {("check", "error"): 2}
    assert found["alerts_looked_timestamp_seconds"] == {(): 1_700_000_000}
    # A channel that left the route file is told while messages wait for it, and then no more.
    sample = make_sample("field_mappings")
    metrics = PlatformMetrics(
        sample.graph, sample.instance, (), alerts=state, channels=frozenset({"mail"})
    )
    channels = {
        each.labels["channel"]
        for metric in metrics.collect(NOON)
        for each in metric.samples
        if "channel" in each.labels
    }
    assert channels == {"chat"}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("said", "size"), [("40GB", 40e9), ("1.5 kB", 1500), ("7B", 7)])
def test_the_size_that_a_store_can_take_may_be_given(said: str, size: float, sample: "Sample"):
    options = ["metrics", "--repo", str(sample.repo), "--start-date", "2026-03-01", "--json"]
    printed = CliRunner().invoke(main, [*options, "--online-limit", said])
    told = {each["name"]: each["value"] for each in json.loads(printed.stdout)}
    assert told["feature_platform_online_store_limit_bytes"] == size


@pytest.mark.usefixtures("home")
def test_a_state_of_alerts_that_is_named_and_not_there_is_a_part_that_is_missing(
    sample: "Sample", tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    options = ["metrics", "--repo", str(sample.repo), "--start-date", "2026-03-01"]
    up = 'feature_platform_part_up{part="alerts",project="warehouse_stock"}'
    named = CliRunner().invoke(main, [*options, "--alerts-state", str(tmp_path / "typo.sqlite")])
    assert f"{up} 0.0" in named.stdout.splitlines()
    assert f"--alerts-state '{tmp_path / 'typo.sqlite'}': is not there" in caplog.text
    # Where nobody named one, there may be no alerts at all.
    assert f"{up} 1.0" in CliRunner().invoke(main, options).stdout.splitlines()


def test_what_is_online_is_not_counted_where_the_store_will_not_say_and_its_address_stays_secret(
    make_sample: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    def unreachable(*_args: Any) -> None:
        raise OSError("redis://me:pa55word@store is down")

    monkeypatch.setattr("feature_platform.online.sqlite.backend.SqliteBackend.size", unreachable)
    sample = make_sample("field_mappings")
    result = sample.run("registry", "sources/voorraad", VIEW_KEY, partition="2026-03-01")
    assert result.success  # what was written is online all the same
    [newest] = sample.materializations(VIEW_KEY, "2026-03-01")
    assert "feature_platform/keys_written" in newest.metadata
    assert ONLINE_KEYS not in newest.metadata
    kept = [repr(entry) for entry in sample.instance.all_logs(result.run_id)]
    assert any("the keys online were not counted: online store of" in entry for entry in kept)
    assert "pa55word" not in "".join(kept)


def test_a_part_that_cannot_be_computed_does_not_take_the_others_along(
    make_sample: Callable[..., "Sample"],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    sample = make_sample("field_mappings")

    def unreachable(*_args: Any) -> None:
        raise OSError("redis://me:pa55word@store is down")

    monkeypatch.setattr(
        "feature_platform.orchestration.status.online_metrics.online_size", unreachable
    )
    found = tell(sample)
    assert found["part_up"]["online_store",] == 0
    assert found["part_up"]["views",] == 1
    assert "online_keys" not in found
    assert "metrics of online_store are missing: OSError" in caplog.text
    assert "pa55word" not in caplog.text


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.usefixtures("home")
def test_the_command_prints_what_prometheus_reads(sample: "Sample"):
    options = ["metrics", "--repo", str(sample.repo), "--start-date", "2026-03-01"]
    printed = CliRunner().invoke(main, options)
    assert printed.exit_code == 0, printed.output
    assert "# TYPE feature_platform_view_freshness_seconds gauge" in printed.stdout
    line = 'feature_platform_online_keys{project="warehouse_stock",view="stock"} 4.0'
    assert line in printed.stdout.splitlines()
    as_json = CliRunner().invoke(main, [*options, "--json"])
    names = {each["name"] for each in json.loads(as_json.stdout)}
    assert "feature_platform_view_gaps" in names


@pytest.mark.usefixtures("home")
def test_status_says_how_much_is_online_and_how_it_grows(make_sample: Callable[..., "Sample"]):
    from feature_platform.orchestration.runs.instance import dagster_instance

    sample = make_sample("field_mappings")
    options = ["status", "--repo", str(sample.repo), "--start-date", "2026-03-01"]
    with dagster_instance() as instance:
        sample.instance = instance
        yesterday = {ONLINE_KEYS: 1204, ONLINE_BYTES: 480_000}
        with freeze_time(datetime.now(UTC) - 2 * DAY):
            instance.report_runless_asset_event(
                dg.AssetMaterialization(sample.key(VIEW_KEY), metadata=yesterday)
            )
        assert sample.run("registry", VIEW_KEY, partition="2026-03-01").success
    printed = CliRunner().invoke(main, [*options, "--windows", "3"]).stdout
    [line] = [each for each in printed.splitlines() if " online; " in each]
    assert line.startswith("stock: 4 keys, ")
    assert "online; -600 keys, -23" in line  # from 480 kB, within two days
    assert " kB a day (counted 20" in line
    [found] = json.loads(CliRunner().invoke(main, [*options, "--json"]).stdout)
    assert found["online"]["keys"] == 4
    assert found["online"]["keys_per_day"] == -600


@pytest.mark.server
@pytest.mark.usefixtures("home")
def test_redis_is_counted_as_a_whole(
    make_sample: Callable[..., "Sample"], redis_server: "RedisServer"
):
    sample = make_sample("field_mappings")
    config = sample.repo / "feature_store.yaml"
    sqlite = "type: sqlite\n  path: data/online_store.db"
    redis = f"type: redis\n  connection_string: {redis_server.address}"
    assert sqlite in config.read_text()
    config.write_text(config.read_text().replace(sqlite, redis))
    from feature_platform.orchestration.runs.instance import dagster_instance

    with dagster_instance() as instance:
        sample.instance = instance
        yesterday = {STORE_KEYS: 1, STORE_BYTES: 1}
        with freeze_time(datetime.now(UTC) - DAY):
            instance.report_runless_asset_event(
                dg.AssetMaterialization(sample.key(VIEW_KEY), metadata=yesterday)
            )
        assert sample.run("registry", VIEW_KEY, partition="2026-03-01").success
        found = tell(sample)
    assert found["online_keys"] == {("",): 4}
    assert found["online_bytes"] == {("",): found["online_store_bytes"][()]}
    assert found["online_keys_per_day"] == {("",): 3}
    options = ["status", "--repo", str(sample.repo), "--start-date", "2026-03-01"]
    assert "the online store: 4 keys, " in CliRunner().invoke(main, options).stdout
