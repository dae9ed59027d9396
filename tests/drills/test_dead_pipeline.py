"""A pipeline is dead for two days: told in time, with the cause, mended, and over once."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)
from worlds.automation.scene import Scene, said_by
from worlds.repos import VIEWS
from worlds.runbook import Runbook

from feature_platform.orchestration.watch.automation_settings import AutomationSettings

if TYPE_CHECKING:
    from datetime import datetime

DAYS = 7
PROMISE, HOUR = timedelta(hours=48), timedelta(hours=1)
COUNTED = (
    VIEWS
    + """
payments = view("payments", table("payments_rows", "payments"), 30, ("count",))
shipments = view("shipments", table("shipments_rows", "shipments"), 30, ("count",))
"""
)
ASSETS = [
    f"{kind}{each}{end}"
    for each in ("payments", "shipments")
    for kind, end in (("sources/", "_rows"), ("feature_views/", ""))
]
STALE = "feature_views/{}#fresh_by_event_time"
SCHEDULE = "weather_daily_schedule"


def write_day(scene: Scene, table: str, number: int, *, keys: bool = True) -> None:
    """A day as the owner of the table delivers it: perhaps without its keys."""
    scene.write(table, number, customer=[1, 2, 3 if keys else None], count=[number + 100] * 3)


def served(scene: Scene, view: str) -> int:
    [count] = scene.sample.online([f"{view}:count"], [{"customer": 1}])["count"]
    return int(count)


def first_stale(scene: Scene, since: "datetime", until: "datetime") -> "datetime":
    """Look every hour; when it was found first that a view is stale."""
    now = since
    while not scene.watch_freshness(now).stale:
        now += HOUR
        assert now < until, "nothing is stale"
    return now


def bad_morning(scene: Scene, number: int) -> None:
    """The schedule comes, and automation tries once more and gives up."""
    scene.scheduled(SCHEDULE, at=scene.day(number) + 6 * HOUR)
    for minutes in (40, 60):
        now = scene.day(number) + 6 * HOUR + timedelta(minutes=minutes)
        scene.start(scene.look("gap", now).requests)


@pytest.mark.slow
def test_a_view_whose_upstream_is_dead_is_told_with_the_check_that_stops_it(
    make_scene: Callable[..., Scene],
):
    page = Runbook("stale-view.md")
    scene = make_scene({"views.py": COUNTED}, DAYS, settings=AutomationSettings(tries=1))
    for number in range(-DAYS, 0):
        write_day(scene, "shipments", number)
        write_day(scene, "payments", number, keys=number not in (-3, -2))
    scene.materialize(-DAYS, -4, *ASSETS)
    scene.tell()
    assert scene.told() == []

    # Payments come without keys; shipments are as ever.
    keys = "sources/payments_rows#keys"
    bad_morning(scene, -2)
    scene.tell()
    assert scene.told() == [("open", keys)]
    assert (served(scene, "payments"), served(scene, "shipments")) == (96, 97)

    # The newest row served is of noon four days ago: its promise ends at noon two days later.
    ends = scene.day(-3.5) + PROMISE
    found = first_stale(scene, ends - 5 * HOUR, ends + 5 * HOUR)
    assert ends < found <= ends + HOUR
    scene.tell()
    assert scene.told() == [("open", keys), ("open", STALE.format("payments"))]
    message = scene.page(STALE.format("payments"))
    assert "check 'keys' of source 'payments_rows' fails: " in message["what"]
    assert f"{scene.key(-3)} failed: " in message["what"]
    assert message["title"].endswith("feature view 'payments': stale")
    assert message["effect"] == "served: online values are older than promised"
    assert message["runbook"] == f"docs/runbooks/{page.page}"
    assert " backfill --repo " in message["command"]

    # The second morning is no better, and nobody is told the same again.
    bad_morning(scene, -1)
    scene.watch_freshness(scene.day(-1) + 8 * HOUR)
    scene.tell()
    assert len(scene.told()) == 2
    status = page.run("feature-platform status --view VIEW", VIEW="payments")
    assert status.code == 1
    assert f"payments: failed: {scene.key(-3)}, {scene.key(-2)}" in status.text

    # The owner delivers again. What had failed runs, nothing else does, and serving catches up.
    for number in (-3, -2):
        write_day(scene, "payments", number)
    now = scene.day(-1) + 20 * HOUR
    assert scene.look("gap", now).requests == []
    [request] = scene.look("source_changed", now).requests
    assert {"/".join(key.path[1:]) for key in request.asset_selection or ()} == set(ASSETS[:2])
    assert scene.start([request]) == [True]
    assert (served(scene, "payments"), served(scene, "shipments")) == (98, 98)
    scene.watch_freshness(now)
    for _ in range(2):
        scene.tell()
    assert sorted(scene.told()[2:]) == [("resolve", STALE.format("payments")), ("resolve", keys)]

    # The next morning is as any other.
    last = scene.scheduled(SCHEDULE, at=scene.day(0) + 6 * HOUR)
    assert last.success, said_by(last)
    assert page.run("feature-platform status --view VIEW", VIEW="payments").code == 0
    scene.watch_freshness(scene.day(0) + 7 * HOUR)
    scene.tell()
    assert len(scene.told()) == 4


@pytest.mark.slow
def test_a_schedule_that_was_off_for_two_days_is_named_and_the_gap_is_filled_newest_first(
    make_scene: Callable[..., Scene],
):
    page = Runbook("stale-view.md")
    scene = make_scene({"views.py": COUNTED}, DAYS)
    for number in range(-DAYS, 0):
        for table in ("payments", "shipments"):
            write_day(scene, table, number)
    # A hole from long ago, and then everything up to the day before somebody switched it off.
    scene.materialize(-DAYS, -DAYS, *ASSETS)
    scene.materialize(-DAYS + 2, -4, *ASSETS)
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("features"), "__repository__")
    scene.instance.add_instigator_state(
        InstigatorState(
            RemoteInstigatorOrigin(origin, SCHEDULE),
            InstigatorType.SCHEDULE,
            InstigatorStatus.STOPPED,
            ScheduleInstigatorData("0 6 * * *"),
        )
    )
    scene.tell()
    assert scene.told() == []

    # Nothing runs and nothing looks, for two days. From outside Prometheus sees it all the same.
    metrics = page.run("feature-platform metrics --json")
    assert metrics.code == 0
    gaps = {
        each["labels"]["view"]: each["value"]
        for each in json.loads(metrics.text)
        if each["name"] == "feature_platform_view_gaps"
    }
    assert gaps.keys() == {"payments", "shipments"}
    assert min(gaps.values()) >= 3

    # The daemon is back, and says at its first look what is wrong, of each view, and why.
    now = scene.day(0) + 7 * HOUR
    assert set(scene.watch_freshness(now).stale) == {"payments", "shipments"}
    scene.tell()
    opened = [("open", STALE.format(each)) for each in ("payments", "shipments")]
    assert sorted(scene.told()) == opened
    for each in ("payments", "shipments"):
        what = scene.page(STALE.format(each))["what"]
        assert f"schedule '{SCHEDULE}' is off" in what
        assert "no run was started for 4 windows" in what

    # What automation is about to do, as the page has it.
    plan = page.run("feature-platform plan")
    assert plan.code == 1
    assert scene.key(-3) in plan.text

    # It does so: the newest first, what is oldest last, and a run for both views.
    requests = scene.look("gap", now).requests
    spans = [
        (each.tags["dagster/asset_partition_range_start"], len(each.asset_selection or ()))
        for each in requests
    ]
    assert spans == [(scene.key(-3), 4), (scene.key(-DAYS + 1), 4)]
    assert scene.start(requests) == [True, True]
    assert scene.look("gap", now).requests == []
    assert served(scene, "payments") == served(scene, "shipments") == 99
    scene.watch_freshness(now + HOUR)
    for _ in range(2):
        scene.tell()
    closed = [("resolve", STALE.format(each)) for each in ("payments", "shipments")]
    assert sorted(scene.told()[2:]) == closed
    for each in ("payments", "shipments"):
        assert page.run("feature-platform status --view VIEW", VIEW=each).code == 0
