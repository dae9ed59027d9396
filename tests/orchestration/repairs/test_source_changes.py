"""Late and corrected data starts a run for exactly the windows it changes."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from worlds.automation.late_chargebacks import charge_back, fraud_repo, undisputed
from worlds.automation.shop import LONG_AND_SHORT, ONE, VIEWS, Shop, asked, day
from worlds.repos import write_table

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.content_hashes import hashed_columns
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.repair_plans import plan_repairs
from feature_platform.orchestration.repairs.source_changes import SOURCE_CHANGED
from feature_platform.orchestration.status.window_status import view_status
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import due_windows
from feature_platform.orchestration.watch.observed_events import Underway
from feature_platform.registry.registry_apply import apply
from feature_platform.registry.windows_on_record import record_window, registered_views
from feature_platform.sources.window_digests import window_digests

if TYPE_CHECKING:
    from worlds.samples import Sample

NOW = day(12.5)
# Served today, too.
LONG_LIVED = ONE.replace("orders, 10)", "orders, 1100)")


def online(shop: Shop, view: str = "only") -> list[int]:
    features = [f"{view}:orders"]
    return shop.sample.online(features, [{"customer": 1}])["orders"]


def test_nothing_starts_while_sources_are_as_they_were(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    shop.materialize(2, 11, "only")
    found = shop.look("source_changed", NOW)
    assert found.requests == []
    assert found.plan.notes == []


def test_corrected_days_are_materialized_again_in_ranges_and_no_others(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(LONG_AND_SHORT)
    shop.materialize(2, 11, "long", "short")
    for number in (3, 4, 5, 9):
        shop.write(number, orders=50)
    found = shop.look("source_changed", NOW)
    # The newest first; 'short' expires before the older ones.
    assert asked(found) == [
        (
            "2026-03-10",
            "2026-03-10",
            ["feature_views/long", "feature_views/short", "sources/orders"],
        ),
        ("2026-03-04", "2026-03-06", ["feature_views/long", "sources/orders"]),
    ]
    assert shop.start(found.requests) == [True, True]
    assert shop.look("source_changed", NOW).requests == []


def test_what_was_corrected_is_served(make_shop: Callable[..., Shop]):
    shop = make_shop(LONG_LIVED, 3)
    shop.materialize(0, 2, "only")
    shop.write(2, orders=77)
    shop.start(shop.look("source_changed", day(3.5)).requests)
    assert online(shop) == [77]


def test_a_window_that_was_there_before_it_was_due_is_looked_after_too(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    shop.materialize(2, 11, "only")
    # The schedule has just run; its window counts from half an hour later on.
    assert shop.look("source_changed", day(12.25)).requests == []
    shop.write(11, orders=50)
    found = shop.look("source_changed", NOW)
    assert [(first, last) for first, last, _ in asked(found)] == [("2026-03-12", "2026-03-12")]


def test_the_same_rows_in_other_files_start_nothing(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE, 3)
    shop.materialize(0, 2, "only")
    folder = shop.sample.repo / "data/orders"
    (folder / "002.parquet").rename(folder / "renamed.parquet")
    assert shop.look("source_changed", day(3.5)).requests == []


def test_a_restart_before_the_cursor_is_stored_asks_for_the_same_run(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    shop.materialize(2, 11, "only")
    shop.write(6, orders=50)
    first = shop.look("source_changed", NOW)
    shop.cursors.clear()
    second = shop.look("source_changed", NOW)
    assert [each.run_key for each in first.requests] == [each.run_key for each in second.requests]
    assert len(first.requests) == 1


def test_a_window_that_stays_wrong_is_tried_three_times_and_then_somebody_is_told(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE, tries=3, wait=timedelta(minutes=10))
    shop.materialize(2, 11, "only")
    shop.write(6, orders=50)  # and no run of it will ever succeed
    requests: list[dg.RunRequest] = []
    moments = []
    for minutes in range(0, 300, 5):
        found = shop.look("source_changed", NOW + timedelta(minutes=minutes))
        requests += found.requests
        moments += [minutes] * len(found.requests)
    assert moments == [0, 10, 30]
    assert len({each.run_key for each in requests}) == 3
    [record] = shop.instance.fetch_observations(
        shop.sample.key("feature_views/only"), limit=10
    ).records
    observation = record.asset_observation
    assert observation is not None
    assert observation.metadata["feature_platform/partitions"].value == ["2026-03-07"]
    assert "tried 3 times" in (observation.description or "")
    # Another correction is another chance.
    shop.write(6, orders=60)
    assert len(shop.look("source_changed", NOW + timedelta(minutes=301)).requests) == 1


def test_what_is_under_way_is_not_started_again(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    shop.materialize(2, 11, "only")
    shop.write(6, orders=50)
    run = dg.DagsterRun(
        job_name="somebody_elses",
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset([shop.sample.key("feature_views/only")]),
        tags={"dagster/partition": "2026-03-07"},
    )
    shop.instance.add_run(run)
    found = shop.look("source_changed", NOW)
    assert found.requests == []
    assert found.plan.underway == 1


def test_a_source_that_cannot_be_read_is_named_and_holds_nobody_up(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE + 'other = table("other")\nbroken = view("broken", other, 10)\n')
    shop.materialize(2, 11, "only")
    shop.write(6, orders=50)
    (shop.sample.repo / "data/other").mkdir()
    (shop.sample.repo / "data/other/000.parquet").write_bytes(b"not Parquet")
    found = shop.look("source_changed", NOW)
    assert len(found.requests) == 1
    assert "source 'other'" in found.plan.notes[0]


def test_a_thousand_late_windows_are_a_few_runs(make_shop: Callable[..., Shop]):
    shop = make_shop(LONG_LIVED, 0, runs_a_tick=20, windows_a_run=400)
    shop.sample.start_date = "2023-01-01"
    automated = shop.automated
    due = due_windows(
        automated.graph.views["only"],
        datetime(2026, 3, 1, 7, tzinfo=UTC),
        grace=timedelta(0),
        lookback=timedelta(0),
    )
    late = list(due)[-1000:]
    plan = plan_repairs(
        SOURCE_CHANGED,
        {"only": dict.fromkeys(late, "another content")},
        automated,
        AttemptLog(),
        Underway(),
        now=datetime.now(UTC),
    )
    assert [each.windows for each in plan.repairs] == [400, 400, 200]
    assert plan.repairs[0].last == late[-1]
    assert plan.repairs[-1].first == late[0]


def test_another_set_of_columns_is_another_content_at_once(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE, 3)
    shop.materialize(0, 2, "only")
    now = day(3.5)
    assert shop.look("source_changed", now).requests == []
    shop.edit('("only", orders, 10)', '("only", orders, 10, ("orders", "returns"))')
    shop.materialize(0, 2, "only")
    # What was read for the columns of before is not compared with what is online now.
    assert shop.look("source_changed", now).requests == []


def hours(shop: Shop, count: int, *, more: int, but: int | None = None) -> None:
    """That many hours of orders, in one file; `more` in every hour but one."""
    orders = [hour + (more if hour != but else 0) for hour in range(count)]
    columns = {"customer": [1] * count, "orders": orders}
    columns["ts"] = [day(0, hour) for hour in range(count)]
    write_table(shop.sample.repo / "data/orders/all.parquet", columns)


def put_online(shop: Shop, count: int, names: list[str]) -> None:
    """On record, as a run of all hours leaves it."""
    store, source = shop.sample.project.store(), shop.sample.graph.sources["orders"]
    apply(store, shop.sample.project.contents)
    spans = [Window(day(hour / 24), day((hour + 1) / 24)) for hour in range(count)]
    for digest in window_digests(store, source.obj, spans, hashed_columns(source)):
        for name in names:
            shop.put_on_record(name, {f"{digest.window.start:%Y-%m-%d-%H:%M}": digest.content_hash})
    record_window(store, "only", Window(spans[0].start, spans[-1].end))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_late_hours_are_mended_by_four_runs_two_a_look(make_shop: Callable[..., Shop]):
    count, same = 1001, 450
    views = LONG_LIVED.replace("1100)", '1100, partitions="hourly")')
    shop = make_shop(views, 0, runs_a_tick=2)
    now = day(0, count) + timedelta(minutes=50)
    key = [f"{day(0, hour):%Y-%m-%d-%H:%M}" for hour in range(count)]
    hours(shop, count, more=0)
    names = ["sources/orders", "feature_views/only"]
    put_online(shop, count, names)
    assert shop.look("source_changed", now).requests == []
    hours(shop, count, more=5000, but=same)

    first = shop.look("source_changed", now)
    # The newest first, 400 at most in a run, and nothing of the hour that is as it was.
    assert [each[:2] for each in asked(first)] == [(key[601], key[1000]), (key[451], key[600])]
    assert len(first.plan.later) == 2
    assert shop.start(first.requests) == [True, True]
    second = shop.look("source_changed", now + timedelta(minutes=1))
    assert [each[:2] for each in asked(second)] == [(key[50], key[449]), (key[0], key[49])]
    assert shop.start(second.requests) == [True, True]

    assert shop.look("source_changed", now + timedelta(minutes=2)).requests == []
    for name in names:
        records = shop.instance.fetch_materializations(shop.sample.key(name), limit=5000).records
        times = Counter(record.partition_key for record in records)
        assert times == {each: 1 if each == key[same] else 2 for each in key}
    assert online(shop) == [5000 + count - 1]


def test_one_bad_day_among_late_ones_is_given_up_and_the_others_are_served(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    shop.materialize(2, 11, "only")
    for number in range(4, 9):
        shop.write(number, orders=50 + number)
    bad = shop.sample.repo / "data/orders"
    # Every row of the seventh is there twice: the check on keys fails.
    (bad / "006-again.parquet").write_bytes((bad / "006.parquet").read_bytes())
    outcomes = []
    for minutes in range(0, 120, 10):
        found = shop.look("source_changed", NOW + timedelta(minutes=minutes))
        done = shop.start(found.requests)
        outcomes += [(*each[:2], well) for each, well in zip(asked(found), done, strict=True)]
    assert outcomes == [
        ("2026-03-05", "2026-03-09", False),
        # A run serves all of its windows or none, so the bad one is on its own from now on.
        ("2026-03-08", "2026-03-09", True),
        ("2026-03-07", "2026-03-07", False),
        ("2026-03-05", "2026-03-06", True),
        ("2026-03-07", "2026-03-07", False),
    ]
    [record] = shop.instance.fetch_observations(
        shop.sample.key("feature_views/only"), limit=10
    ).records
    observation = record.asset_observation
    assert observation is not None
    assert observation.metadata["feature_platform/partitions"].value == ["2026-03-07"]


BOTH = (
    VIEWS
    + """
import warnings

from feast import BatchFeatureView

warnings.simplefilter("ignore")
sent = view("sent", orders, 10)
back = view("back", table("refunds"), 10, ("returns",))
both = BatchFeatureView(
    name="both",
    entities=[customer],
    schema=[*sent.schema, Field(name="returns", dtype=Int64)],
    source=[sent, back],
    sink_source=FileSource(name="joined", path="data/joined.parquet", timestamp_field="ts"),
    ttl=timedelta(days=10),
    online=True,
)
"""
)


def states(shop: Shop, view: str, now: datetime) -> dict[str, str]:
    """What `status` says of each of the newest windows."""
    sample = shop.sample
    registered = registered_views(sample.project.store())[view]
    found = view_status(sample.graph.views[view], registered, shop.instance, now=now, count=8)
    return {each.key: each.state for each in found.windows}


def test_a_late_row_in_any_table_of_a_view_of_two_parents_starts_a_run_for_its_windows(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(BOTH)
    for number in range(12):
        shop.write(number, table="refunds")
    tables = ["sources/orders", "sources/refunds"]
    views = [f"feature_views/{name}" for name in ("sent", "back", "both")]
    span = ("2026-03-03", "2026-03-12")
    assert shop.sample.run("registry", *tables, *views, span=span).success
    assert shop.look("source_changed", NOW).requests == []
    assert set(states(shop, "both", NOW).values()) == {"complete"}

    # In the table of the second parent; nobody reads what changes on the day before.
    shop.write(6, table="refunds", orders=5)
    late = {"customer": [2], "orders": [0], "returns": [9], "ts": [day(7, 13)]}
    write_table(shop.sample.repo / "data/refunds/late.parquet", late)
    found = shop.look("source_changed", NOW)
    assert asked(found) == [
        (
            "2026-03-08",
            "2026-03-08",
            ["feature_views/back", "feature_views/both", *tables],
        )
    ]
    # Somebody brings the table and its own view up to date; what is joined from it is stale.
    names = ("sources/refunds", "feature_views/back")
    assert shop.sample.run(*names, partition="2026-03-08").success
    assert [key for key, state in states(shop, "both", NOW).items() if state != "complete"] == [
        "2026-03-08"
    ]
    assert shop.start(found.requests) == [True]
    assert set(states(shop, "both", NOW).values()) == {"complete"}
    assert shop.look("source_changed", NOW).requests == []

    # And in that of the first.
    shop.write(4, orders=50)
    [(first, last, assets)] = asked(shop.look("source_changed", NOW))
    assert (first, last) == ("2026-03-05", "2026-03-05")
    assert assets == ["feature_views/both", "feature_views/sent", *tables]


@pytest.mark.slow
def test_a_chargeback_twenty_days_late_touches_the_days_whose_thirty_days_cover_it(
    tmp_path: Path, make_repo: Callable[..., "Sample"]
):
    repo = fraud_repo(tmp_path)
    now = datetime(2026, 11, 24, 7, tzinfo=UTC)
    shop = Shop(make_repo({}), AutomationSettings())
    shop.sample.repo, shop.sample.start_date = repo, "2026-10-20"
    shop.sample.run(
        "registry",
        "sources/merchant_stats",
        "feature_views/merchant_risk_features",
        span=("2026-10-25", "2026-11-23"),
    )
    assert shop.look("source_changed", now).requests == []
    bought = datetime(2026, 10, 28, tzinfo=UTC)
    charge_back(
        repo,
        undisputed(repo, bought, bought + timedelta(days=1)),
        bought + timedelta(days=20, hours=12),
    )
    found = shop.look("source_changed", now)
    # Reported on 17 November; the thirty days of a window cover 28 October up to the 26th.
    assert [(first, last) for first, last, _ in asked(found)] == [("2026-11-17", "2026-11-23")]
