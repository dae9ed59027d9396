"""Windows that are missing are filled: newest first, in ranges, within a budget, not for ever."""

from collections.abc import Callable
from datetime import timedelta

import dagster as dg
from worlds.automation.shop import LONG_AND_SHORT, ONE, Shop, asked, day

NOW = day(12.5)


def test_the_days_a_dead_daemon_missed_are_one_run_for_every_view_that_lacks_them(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(LONG_AND_SHORT)
    shop.record(0, 9, "long", "short")
    found = shop.look("gap", NOW)
    everything = ["feature_views/long", "feature_views/short", "sources/orders"]
    assert asked(found) == [("2026-03-11", "2026-03-12", everything)]
    assert shop.start(found.requests) == [True]
    assert shop.sample.windows("long") == ["2026-03-01..2026-03-13"]
    assert shop.look("gap", NOW).requests == []


def test_gaps_are_filled_newest_first_and_nothing_older_than_the_ttl(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE, runs_a_tick=2)
    for number in (0, 4, 7, 8, 10):
        shop.record(number, number, "only")
    found = shop.look("gap", NOW)
    spans = [(first, last) for first, last, _ in asked(found)]
    assert spans == [("2026-03-12", "2026-03-12"), ("2026-03-10", "2026-03-10")]
    # The TTL of ten days reaches back to the third; what is older is served to nobody.
    assert [(each.first, each.last) for each in found.plan.later] == [
        ("2026-03-06", "2026-03-07"),
        ("2026-03-03", "2026-03-04"),
    ]


def test_a_window_is_missing_only_once_its_schedule_has_come_past_it(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    shop.record(2, 10, "only")
    midnight, six, later = day(12), day(12.25), day(12.25) + timedelta(minutes=30)
    assert shop.look("gap", midnight).requests == []
    assert shop.look("gap", six).requests == []
    assert len(shop.look("gap", later).requests) == 1


def test_runs_of_all_repairs_together_stay_within_their_number(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE, runs_at_once=3)
    for number in (2, 4, 6, 8, 10):
        shop.record(number, number, "only")
    for number in range(2):
        shop.instance.add_run(
            dg.DagsterRun(
                job_name="repair",
                status=dg.DagsterRunStatus.STARTED,
                tags={
                    "feature_platform/automation": "source_changed",
                    "feature_platform/project": shop.automated.name,
                    "dagster/partition": f"2025-01-0{number + 1}",
                },
            )
        )
    found = shop.look("gap", NOW)
    assert len(found.requests) == 1
    assert len(found.plan.later) == 4


def test_a_day_whose_checks_fail_is_tried_three_times_and_again_when_it_is_corrected(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE, wait=timedelta(minutes=10))
    shop.record(2, 10, "only")
    broken = shop.sample.repo / "data/orders/011.parquet"
    good = broken.read_bytes()
    twice = shop.sample.repo / "data/orders/011-again.parquet"
    twice.write_bytes(good)  # every row is there twice: the check on keys fails
    outcomes = []
    for minutes in range(0, 120, 10):
        outcomes += shop.start(shop.look("gap", NOW + timedelta(minutes=minutes)).requests)
    assert outcomes == [False, False, False]
    assert shop.sample.windows("only") == ["2026-03-03..2026-03-12"]
    observed = shop.instance.fetch_observations(shop.sample.key("feature_views/only"), limit=10)
    assert len(observed.records) == 1
    twice.unlink()
    later = NOW + timedelta(minutes=130)
    assert shop.look("gap", later).requests == []
    # What was checked and what is there differ now: the source has changed.
    assert shop.start(shop.look("source_changed", later).requests) == [True]
    assert shop.sample.windows("only") == ["2026-03-03..2026-03-13"]


def test_a_new_view_is_left_to_the_sensor_that_applies_it(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    assert shop.look("gap", NOW).requests == []
    assert not (shop.sample.repo / "data/registry.db").exists()


def test_a_gap_that_was_filled_and_opens_again_is_a_run_that_dagster_has_not_seen(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    shop.record(2, 10, "only")
    keys = []
    for minutes in (0, 60):
        now = NOW + timedelta(minutes=minutes)
        [request] = shop.look("gap", now).requests
        keys.append(request.run_key)
        shop.record(11, 11, "only")
        assert shop.look("gap", now).requests == []
        shop.forget("only", 11)
    assert len(set(keys)) == 2
