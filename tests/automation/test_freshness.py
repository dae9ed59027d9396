"""Freshness is about the rows that are served, not about when something was materialized."""

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg
import pytest
from shop import ONE, VIEWS, Shop, day

from feature_platform.orchestration.checks.freshness_checks import freshness
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.sensors.freshness_sensor import Watch, watch_freshness
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import Memory
from feature_platform.registry.registry_apply import apply

FRESH, TTL = "fresh_by_event_time", "ttl_outlives_a_late_run"


def watch(shop: Shop, now: datetime) -> Watch:
    found = watch_freshness(
        shop.sample.graph,
        DagsterFeastTranslator(),
        shop.settings,
        shop.instance,
        shop.cursors.get("freshness"),
        now,
    )
    shop.cursors["freshness"] = found.cursor
    return found


def verdicts(shop: Shop, check: str = FRESH, view: str = "only") -> list[tuple[bool, str]]:
    """Whether each evaluation passed and what it said, the newest first."""
    key = dg.AssetCheckKey(shop.sample.key(f"feature_views/{view}"), check)
    records = shop.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    evaluations = [record.evaluation for record in records]
    return [(each.passed, each.description) for each in evaluations]  # type: ignore[union-attr]


def test_a_view_is_stale_when_its_newest_row_is_older_than_twice_the_cadence(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    shop.record(0, 9, "only")
    assert watch(shop, day(11)).stale == ()
    assert watch(shop, day(11.6)).stale == ("only",)
    passed, said = verdicts(shop)[0]
    assert not passed
    assert said == (
        "the newest row served is of 2026-03-10 12:00 UTC, 50.4 h old; no more than 48 h are "
        "promised; no run was started for 2026-03-11: schedule 'weather_daily_schedule' is off, or "
        "no daemon has run"
    )


def test_an_old_backfill_does_not_make_a_stale_view_fresh(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    shop.record(5, 7, "only")
    assert watch(shop, day(11)).stale == ("only",)
    shop.record(0, 4, "only")
    assert watch(shop, day(11.1)).stale == ("only",)
    shop.record(8, 10, "only")
    assert watch(shop, day(11.2)).stale == ()
    assert [passed for passed, _ in verdicts(shop)] == [True, False]


def test_a_view_that_was_never_materialized_is_stale_and_not_silent(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    assert watch(shop, day(0.5)).stale == ()
    assert watch(shop, day(1.5)).stale == ("only",)
    assert "never materialized" in verdicts(shop)[0][1]


def test_rows_that_have_outlived_the_ttl_are_served_to_nobody(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE.replace("orders, 10)", 'orders, 2, freshness="30d")'))
    shop.record(0, 2, "only")
    assert watch(shop, day(4)).stale == ()
    assert watch(shop, day(5)).stale == ("only",)
    assert "outlived the TTL" in verdicts(shop)[0][1]


def test_the_newest_row_counts_and_not_the_end_of_an_empty_window(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE, 3)
    shop.record(0, 2, "only")
    # The days after it are online too, and nothing happened in them.
    shop.record(3, 5, "only")
    assert watch(shop, day(6)).stale == ("only",)


JOINED = (
    VIEWS
    + """
from feast import BatchFeatureView


def parent(name, source, feature):
    schema = [Field(name="customer", dtype=Int64), Field(name=feature, dtype=Int64)]
    return BatchFeatureView(
        name=name, entities=[customer], schema=schema, source=source, online=True
    )


paid, seen = parent("paid", orders, "orders"), parent("seen", table("visits"), "returns")
only = BatchFeatureView(
    name="only", entities=[customer], source=[paid, seen], online=True, ttl=timedelta(days=9),
    schema=[Field(name=each, dtype=Int64) for each in ("customer", "orders", "returns")],
    sink_source=FileSource(name="joined", path="data/joined.parquet", timestamp_field="ts"),
)
"""
)


def test_of_a_joined_view_a_row_that_one_of_its_sources_lacks_does_not_count(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(JOINED, 9)
    for number in range(4):
        shop.write(number, table="visits", hour=13)
    shop.record(0, 8, "only")
    assert "only" in watch(shop, day(9)).stale
    assert "the newest row served is of 2026-03-04 13:00 UTC" in verdicts(shop)[0][1]
    shop.write(8, table="visits", hour=14)
    shop.record(9, 9, "only")
    assert "only" not in watch(shop, day(10)).stale


def test_a_verdict_is_put_on_record_when_it_changes_or_a_day_begins(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    shop.record(0, 9, "only")
    for hour in range(0, 48, 2):
        watch(shop, day(10) + timedelta(hours=hour))
    # Fresh on the eleventh; on the twelfth still, and then stale.
    assert [passed for passed, _ in verdicts(shop)] == [False, True, True]


@pytest.mark.parametrize(("days", "passes"), [(1, False), (2, True), (0, True)])
def test_a_ttl_shorter_than_twice_the_cadence_warns_with_the_reason(
    make_shop: Callable[..., Shop],
    days: int,
    passes: bool,  # noqa: FBT001
):
    shop = make_shop(ONE.replace("orders, 10)", f"orders, {days})"))
    watch(shop, day(1.5))
    [(passed, said)] = verdicts(shop, TTL)
    assert passed == passes
    assert passes or "nulls are served" in said


def test_a_weekly_view_promises_a_week_and_a_day(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE.replace("orders, 10)", 'orders, 20, cron="0 6 * * 1")'), 20)
    shop.record(0, 0, "only")
    assert watch(shop, day(8)).stale == ()
    assert watch(shop, day(9)).stale == ("only",)


def test_both_checks_are_run_with_the_view_too(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE.replace("orders, 10)", 'orders, 1000, freshness="900d")'), 2)
    defs = shop.sample.definitions(automation=shop.settings, schedules=False, retry_policy=None)
    selection = dg.AssetSelection.assets(
        *map(shop.sample.key, ("registry", "sources/orders", "feature_views/only"))
    )
    job = dg.define_asset_job("picked", selection)
    result = (
        dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
        .resolve_job_def("picked")
        .execute_in_process(
            instance=shop.instance, tags={"dagster/partition": "2026-03-02"}, raise_on_error=True
        )
    )
    said = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert said[FRESH]
    assert said[TTL]


def test_dagsters_policy_and_the_check_promise_the_same_for_every_view(
    make_shop: Callable[..., Shop],
):
    hour, day_ = timedelta(hours=1), timedelta(days=1)
    promised = {
        "plain": 2 * day_,
        "hourly": 2 * hour,
        "hourly_at_noon": day_ + hour,
        "weekly": 8 * day_,
        "weekdays": 4 * day_,
        "tagged": 26 * hour,
        "tagged_weekly": 90 * timedelta(minutes=1),
    }
    shop = make_shop(
        VIEWS
        + """
from feast.on_demand_feature_view import on_demand_feature_view

plain = view("plain", orders, 10)
hourly = view("hourly", orders, 10, partitions="hourly")
hourly_at_noon = view("hourly_at_noon", orders, 10, partitions="hourly", cron="0 12 * * *")
weekly = view("weekly", orders, 20, cron="0 6 * * 1")
weekdays = view("weekdays", orders, 20, cron="0  6 * * 1-5")
tagged = view("tagged", orders, 10, freshness="26h")
tagged_weekly = view("tagged_weekly", orders, 20, cron="0 6 * * 1", freshness="90m")


@on_demand_feature_view(sources=[plain], schema=[Field(name="more", dtype=Int64)])
def at_request_time(inputs):
    return inputs.assign(more=inputs["orders"] + 1)[["more"]]
"""
    )
    specs = shop.sample.specs(automation=shop.settings)
    policies = {
        name: spec.freshness_policy.fail_window.to_timedelta()
        for name, spec in specs.items()
        if spec.freshness_policy is not None
    }
    assert policies == {f"feature_views/{name}": each for name, each in promised.items()}
    graph = shop.sample.graph
    store = shop.sample.project.store()
    apply(store, shop.sample.project.contents)
    translator = DagsterFeastTranslator()
    look = SensorContext(graph, translator, shop.instance, store, shop.settings, Memory(), day(1))
    assert {name: each.promise for name, each in freshness(look).views.items()} == promised
