"""Late and corrected data starts a run for exactly the windows it changes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from late_chargebacks import charge_back, fraud_repo, undisputed
from shop import LONG_AND_SHORT, ONE, Shop, asked, day

from feature_platform.automation.due import due_windows
from feature_platform.automation.ledger import Ledger
from feature_platform.automation.observed import Underway
from feature_platform.automation.plans import plan_repairs
from feature_platform.automation.settings import AutomationSettings

if TYPE_CHECKING:
    from conftest import Sample

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
        "source_changed",
        {"only": dict.fromkeys(late, "another content")},
        automated.graph,
        automated.translator,
        automated.settings,
        Ledger(),
        Underway(),
        datetime.now(UTC),
    )
    assert [each.windows for each in plan.repairs] == [400, 400, 200]
    assert plan.repairs[0].last == late[-1]
    assert plan.repairs[-1].first == late[0]


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
