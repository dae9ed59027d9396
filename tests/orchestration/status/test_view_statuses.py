"""`status`, `plan` and the metrics have one voice, and one view's trouble is not another's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds.automation.shop import LONG_AND_SHORT, Shop, asked
from worlds.times import march as day
from worlds.times import window

from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.status.live_metrics import LiveMetrics
from feature_platform.orchestration.status.platform_metrics import (
    PlatformMetrics,
    platform_metrics,
)
from feature_platform.orchestration.status.view_statuses import ViewStatuses
from feature_platform.orchestration.status.window_status import ViewStatus
from feature_platform.registry.windows_on_record import change_windows

if TYPE_CHECKING:
    from worlds.samples import Sample

NOON = day(12, 12)


@pytest.fixture(scope="module")
def shop(make_repo: Callable[..., "Sample"]) -> Shop:
    """Views with a TTL of ten days and of four, both applied."""
    from feature_platform.orchestration.watch.automation_settings import AutomationSettings

    found = Shop(make_repo({"views.py": LONG_AND_SHORT}), AutomationSettings(windows_a_run=1))
    found.write(0)
    found.record(0, 0, "long", "short")
    return found


def statuses(shop: Shop, now: datetime = NOON, windows: int = 30) -> dict[str, ViewStatus]:
    told = ViewStatuses(shop.sample.graph, shop.instance, settings=shop.settings)
    return {each.view: each for each in told.of({"long": windows, "short": windows}, now)}


def gaps_metric(shop: Shop, now: datetime = NOON) -> tuple[dict[str, float], dict[str, float]]:
    """`view_gaps` and `view_up`, by view."""
    metrics = PlatformMetrics(shop.sample.graph, shop.instance, (), settings=shop.settings)
    found: dict[str, dict[str, float]] = {"view_gaps": {}, "view_up": {}}
    for metric in metrics.collect(now):
        for each in metric.samples:
            name = each.name.removeprefix("feature_platform_")
            if name in found:
                found[name][each.labels["view"]] = each.value
    return found["view_gaps"], found["view_up"]


@contextmanager
def without(shop: Shop, view: str) -> Iterator[None]:
    """The registry loses a view, as by a delete by hand, and has it again."""
    from feature_platform.registry.registry_apply import apply

    shop.sample.project.store().delete_feature_view(view)
    try:
        yield
    finally:
        apply(shop.sample.project.store(), shop.sample.project.contents)


@given(
    online=st.sets(st.integers(0, 12), max_size=13),
    hours=st.integers(0, 60),
    shown=st.sampled_from([1, 3, 30]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_status_calls_missing_is_what_plan_fills_whatever_is_online_and_shown(
    shop: Shop, online: set[int], hours: int, shown: int
):
    now = day(11) + timedelta(hours=hours)
    store = shop.sample.project.store()
    there = [window(day(number)) for number in online if day(number + 1) <= now]
    for view in ("long", "short"):
        change_windows(store, view, lambda _: there)
    shop.cursors.clear()
    plan = shop.look("gap", now).plan
    wanted: dict[str, set[str]] = {"long": set(), "short": set()}
    for repair in (*plan.repairs, *plan.later):
        for view in repair.views:
            wanted[view].add(repair.first)
    told = statuses(shop, now, shown)
    for view, keys in wanted.items():
        windows = (*told[view].earlier, *told[view].windows)
        if not there:  # a view of which nothing is online is for the other sensor
            assert keys == set()
            assert not told[view].well
            continue
        assert {each.key for each in windows if each.is_gap} == keys
        assert told[view].gaps == len(keys)
        assert told[view].well == (not keys and not told[view].outlived)
        # What is not filled has a reason, and plan says the same one.
        excused = [each for each in windows if not each.online and each.excused]
        said = " ".join(told[view].beyond_repair)
        assert all(each.excused in said for each in excused)


def test_windows_that_have_outlived_the_ttl_are_said_to_have(shop: Shop):
    store = shop.sample.project.store()
    change_windows(store, "short", lambda _: [window(day(8), 4)])
    told = statuses(shop)["short"]
    assert told.well
    assert told.gaps == 0
    [remark] = told.remarks
    assert remark.startswith("missing: 8 windows, 2026-03-01 to 2026-03-08 (older than the TTL")
    assert told.beyond_repair == (remark,)


def test_nothing_is_served_once_the_newest_window_has_outlived_the_ttl(shop: Shop):
    change_windows(shop.sample.project.store(), "short", lambda _: [window(day(1))])
    told = statuses(shop)["short"]
    assert not told.well
    assert any(remark.startswith("nothing is served: ") for remark in told.beyond_repair)


def test_a_view_that_left_the_registry_takes_no_status_and_no_metric_of_another(shop: Shop):
    for view in ("long", "short"):
        change_windows(shop.sample.project.store(), view, lambda _: [window(day(0), 12)])
    assert statuses(shop)["long"].well
    with without(shop, "short"):
        told = statuses(shop)
        assert told["long"].well
        assert not told["short"].well
        assert not told["short"].registered
        assert any("not in the registry" in remark for remark in told["short"].remarks)
        gaps, up = gaps_metric(shop)
        assert gaps == {"long": 0, "short": 4}
        assert up == {"long": 1, "short": 1}


def test_what_past_runs_said_of_a_view_is_no_metric_once_the_registry_lacks_it(shop: Shop):
    import dagster as dg

    key = shop.sample.key("feature_views/short")
    shop.instance.report_runless_asset_event(
        dg.AssetMaterialization(key, metadata={"feature_platform/rows_read": 3})
    )
    verdict = dg.AssetCheckEvaluation(key, "online_equals_offline", passed=True, metadata={})
    shop.instance.report_runless_asset_event(verdict)
    check = dg.AssetCheckKey(key, "online_equals_offline")

    def series() -> set[str]:
        metrics = PlatformMetrics(shop.sample.graph, shop.instance, (check,))
        return {
            each.name.removeprefix("feature_platform_")
            for metric in metrics.collect(NOON)
            for each in metric.samples
            if each.labels.get("view") == "short"
            or each.labels.get("asset", "").endswith("feature_views/short")
        }

    facts = {"materialization_rows", "materialization_timestamp_seconds", "check_passed"}
    assert facts < series()
    with without(shop, "short"):
        assert not facts & series()
        assert "view_registered" in series()


def test_a_view_whose_status_cannot_be_told_is_named_and_the_others_are_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.orchestration.status import window_status

    for view in ("long", "short"):
        change_windows(shop.sample.project.store(), view, lambda _: [window(day(0), 12)])
    before = window_status.changes_data

    def broken(registered: Any, defined: Any) -> bool:
        if defined.name == "short":
            raise OSError("postgresql://me:pa55word@registry is down")
        return before(registered, defined)

    monkeypatch.setattr(window_status, "changes_data", broken)
    told = statuses(shop)
    assert told["long"].well
    assert not told["short"].well
    assert told["short"].remarks == ("its status cannot be told: OSError",)
    shop.instance.wipe_assets([shop.sample.key("feature_views/short")])
    gaps, up = gaps_metric(shop)
    assert gaps == {"long": 0}
    assert up == {"long": 1, "short": 0}


def test_another_definition_than_the_registered_one_is_not_well(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(LONG_AND_SHORT)
    shop.record(0, 11, "long", "short")
    assert statuses(shop)["short"].well
    shop.edit('short = view("short", orders, 4', 'short = view("short", table("others"), 4')
    told = statuses(shop)
    assert told["long"].well
    assert not told["short"].well
    assert any("another definition" in remark for remark in told["short"].remarks)
    assert asked(shop.look("definition_changed", NOON))  # as plan says


def test_an_exporter_follows_the_repo_and_series_of_a_view_that_was_removed_go(
    make_repo: Callable[..., "Sample"],
):
    sample = make_repo({"views.py": LONG_AND_SHORT})
    location = FeastCodeLocation(sample.project, "2026-03-01")
    live = LiveMetrics(location, lambda found: platform_metrics(found, sample.instance))

    def views() -> set[str]:
        return {
            each.labels["view"]
            for metric in live.collect()
            for each in metric.samples
            if "view" in each.labels
        }

    assert views() == {"long", "short"}
    file, text = sample.repo / "views.py", (sample.repo / "views.py").read_text()
    file.write_text("this is no Python")
    assert views() == {"long", "short"}
    file.write_text(text.replace('short = view("short"', 'new = view("new"'))
    assert views() == {"long", "new"}
    file.unlink()
    (sample.repo / "others.py").write_text(text)
    assert views() == {"long", "short"}
