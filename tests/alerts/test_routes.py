"""Who hears of what."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from worlds.alert_desk import Desk
    from worlds.stand_ins.alert_receiver import Receiver


@pytest.mark.parametrize(
    "match",
    [
        "project: fraud",
        "project: [other, fr*]",
        "asset: fraud/sources/*",
        "owner: 'team:risk'",
        "owner: ['nobody', 'team:*']",
        "tag: {tier: gold}",
        "tag: {tier: [silver, g*]}",
        "severity: [warn, error]",
        "kind: check",
        "hours: 08:00-18:00",
        "days: wed",
        "days: [sat, tue-thu]",
        "hours: 10:00-14:00, days: mon-fri, timezone: Europe/Berlin",
        "project: fraud, tag: {tier: gold}, severity: error, kind: check",
    ],
)
def test_a_rule_that_fits_sends_to_its_channel(
    match: str, make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk(f"  - {{match: {{{match}}}, to: hook}}\n  - to: other")
    desk.see("sources/clicks", bad=True)
    assert len(receiver.told("/hook")) == 1
    assert receiver.told("/other") == []


@pytest.mark.parametrize(
    "match",
    [
        "project: frau",
        "asset: sources/clicks",
        "asset: fraud/feature_views/*",
        "owner: 'team:ml'",
        "tag: {tier: silver}",
        "tag: {tier: gold, region: eu}",
        "severity: warn",
        "kind: [run, freshness, gave_up]",
        "hours: 18:00-08:00",
        "hours: 08:00-12:00",
        "days: [mon, tue]",
        "days: thu-tue",
        "hours: 12:00-13:00, timezone: Europe/Berlin",
        "project: fraud, severity: warn",
    ],
)
def test_a_rule_that_does_not_fit_leaves_it_to_the_next(
    match: str, make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk(f"  - {{match: {{{match}}}, to: hook}}\n  - to: other")
    desk.see("sources/clicks", bad=True)
    assert receiver.told("/hook") == []
    assert len(receiver.told("/other")) == 1


@pytest.mark.parametrize(
    ("moment", "hears"),
    [
        (datetime(2026, 3, 13, 21, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 13, 22, 0, tzinfo=UTC), True),  # Friday night
        (datetime(2026, 3, 14, 5, 59, tzinfo=UTC), True),  # still that night, on Saturday
        (datetime(2026, 3, 14, 6, 0, tzinfo=UTC), False),
        (datetime(2026, 3, 14, 23, 0, tzinfo=UTC), False),  # Saturday night
    ],
)
def test_a_night_belongs_to_the_day_it_begins_on(
    moment: datetime,
    hears: bool,  # noqa: FBT001  a parameter of the test
    make_desk: Callable[[str], "Desk"],
    receiver: "Receiver",
):
    desk = make_desk("  - {match: {hours: 22:00-06:00, days: fri}, to: hook}")
    desk.now = moment
    desk.see("sources/clicks", bad=True)
    assert bool(receiver.told()) is hears


def test_hours_follow_the_clock_through_daylight_saving(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - {match: {hours: 08:00-09:00, timezone: Europe/Berlin}, to: hook}")
    desk.now = datetime(2026, 3, 27, 7, 30, tzinfo=UTC)  # winter: 08:30 there
    desk.see("sources/clicks", bad=True)
    desk.now = datetime(2026, 3, 30, 6, 30, tzinfo=UTC)  # summer: 08:30 there
    desk.see("feature_views/v1", bad=True)
    desk.now = datetime(2026, 3, 30, 7, 30, tzinfo=UTC)
    desk.see("feature_views/v2", bad=True)
    assert [key for _, key in receiver.told()] == [
        "fraud/sources/clicks#schema",
        "fraud/feature_views/v1#schema",
    ]


def test_a_rule_that_says_continue_lets_later_ones_speak_too(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - {to: [hook, hook], continue: true}\n  - to: [hook, other]")
    desk.see("sources/clicks", bad=True)
    assert len(receiver.told("/hook")) == 1
    assert len(receiver.told("/other")) == 1
