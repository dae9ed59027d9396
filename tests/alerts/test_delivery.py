"""Messages get through: late if need be, in order, and each once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from feature_platform.alerts.messages.incidents import Condition
from feature_platform.alerts.outbox import backoff

if TYPE_CHECKING:
    from worlds.alert_desk import Desk
    from worlds.stand_ins.alert_receiver import Receiver, Request

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
KEY = "fraud/sources/clicks#schema"
OPEN, RESOLVE = ("open", KEY), ("resolve", KEY)


def test_what_a_channel_refuses_is_tried_again_until_it_takes_it(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "500"
    desk.see("sources/clicks", bad=True)
    for _ in range(4):
        desk.tick(wait=HOUR)
    assert receiver.told() == []
    assert len(receiver.refused) == 5
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    desk.tick(wait=HOUR)
    assert receiver.told() == [OPEN]
    assert {request.headers["Idempotency-Key"] for request in receiver.refused} == {
        request.headers["Idempotency-Key"] for request in receiver.taken
    }


def test_a_channel_that_is_down_is_not_asked_at_each_tick(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "503"
    for n in range(20):
        desk.see(f"feature_views/v{n}", bad=True)
    assert len(receiver.refused) == 1
    for _ in range(120):
        desk.tick(wait=MINUTE / 2)
    # 15 s, doubling to half an hour: not a request each half minute, nor one for each message.
    assert 6 <= len(receiver.refused) <= 12
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert [key for _, key in receiver.told()] == [
        f"fraud/feature_views/v{n}#schema" for n in range(20)
    ]


def test_a_server_that_asks_to_wait_is_left_alone_that_long(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "429"  # with Retry-After: 120
    desk.see("sources/clicks", bad=True)
    desk.tick(wait=timedelta(seconds=119))
    assert len(receiver.refused) == 1
    desk.tick(wait=timedelta(seconds=2))
    assert len(receiver.refused) == 2


@pytest.mark.parametrize("channel", ["hook", "pager", "team"])
@pytest.mark.parametrize("asked", ["7200", "Wed, 11 Mar 2026 14:00:00 GMT"])
def test_a_server_is_left_alone_for_two_hours_and_until_a_date_of_its_own_clock(
    asked: str, channel: str, make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk(f"  - to: {channel}")
    desk.secrets["SLACK"] = f"{receiver.url}/services/T0/B0/hidden-4242"
    slack = "channels:\n  team: {type: slack, url_env: SLACK}\n"
    desk.routes.write_text(desk.routes.read_text().replace("channels:\n", slack))
    receiver.behave = lambda _request: "429"
    receiver.retry_after = asked
    receiver.clock = datetime(2026, 3, 11, 12, tzinfo=UTC)
    desk.see("sources/clicks", bad=True)
    tries = len(receiver.refused)
    receiver.behave = lambda _request: "200"
    desk.tick(wait=2 * HOUR - MINUTE)
    assert len(receiver.refused) == tries
    assert receiver.taken == []
    desk.tick(wait=2 * MINUTE)
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    "asked", ["", "soon", "-5", "9" * 5000, "Wed, 99 Mar 2026", "Mon, 01 Jan 1990 00:00:00 GMT"]
)
def test_a_wait_that_makes_no_sense_silences_a_channel_for_a_day_at_most(
    asked: str, make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "429"
    receiver.retry_after = asked
    desk.see("sources/clicks", bad=True)
    receiver.behave = lambda _request: "200"
    desk.tick(wait=24 * HOUR + MINUTE)
    assert receiver.told() == [OPEN]


def test_one_message_that_is_refused_does_not_hold_up_the_others(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda request: "422" if b"clicks" in request.raw else "200"
    desk.see("sources/clicks", bad=True)
    desk.see("feature_views/v1", bad=True)
    assert [key for _, key in receiver.told()] == ["fraud/feature_views/v1#schema"]
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert receiver.told()[1:] == [OPEN]


def test_one_channel_that_hangs_does_not_hold_up_another(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver", monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("feature_platform.alerts.channels.base.DEADLINE", 1.0)
    desk = make_desk("  - to: [hook, other]")
    receiver.behave = lambda request: "hang" if request.path == "/hook" else "200"
    desk.see("sources/clicks", bad=True)
    assert receiver.told() == []
    assert receiver.told("/other") == [OPEN]
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert receiver.told() == [OPEN]
    assert receiver.told("/other") == [OPEN]


def test_an_answer_that_got_lost_means_the_same_id_again(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "vanish"
    desk.see("sources/clicks", bad=True)
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert len(receiver.taken) == 2
    assert len(receiver.hooks()) == 1


def test_an_incident_that_ends_during_an_outage_is_told_from_beginning_to_end(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "500"
    desk.see("sources/clicks", bad=True)
    desk.now += HOUR
    desk.see("sources/clicks", bad=False)
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert receiver.told() == [OPEN, RESOLVE]


def test_nobody_hears_the_end_before_the_beginning(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    def refuse_openings(request: "Request") -> str:
        return "422" if b'"kind": "open"' in request.raw else "200"

    desk = make_desk("  - to: hook")
    receiver.behave = refuse_openings
    desk.see("sources/clicks", bad=True)
    desk.see("sources/clicks", bad=False)
    desk.tick(wait=HOUR)
    assert receiver.told() == []
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert receiver.told() == [OPEN, RESOLVE]


def test_an_end_that_is_late_does_not_close_what_has_begun_again(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    def refuse_ends(request: "Request") -> str:
        return "422" if b'"kind": "resolve"' in request.raw else "200"

    desk = make_desk("  - to: hook")
    receiver.behave = refuse_ends
    for bad in (True, False, True):
        desk.see("sources/clicks", bad=bad)
        desk.now += HOUR
    desk.see("feature_views/v1", bad=True)
    assert receiver.told() == [OPEN, ("open", "fraud/feature_views/v1#schema")]
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert receiver.told()[2:] == [RESOLVE, OPEN]


def test_what_flaps_is_told_once_in_an_interval(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - {to: hook, suppress: 1h}")
    for _ in range(6):
        desk.see("sources/clicks", bad=True)
        desk.now += 4 * MINUTE
        desk.see("sources/clicks", bad=False)
        desk.now += 4 * MINUTE
    assert receiver.told() == [OPEN, RESOLVE]
    desk.see("feature_views/v1", bad=True)
    assert receiver.told()[2:] == [("open", "fraud/feature_views/v1#schema")]


def test_what_flaps_and_then_stays_wrong_is_told_when_the_interval_ends(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - {to: hook, suppress: 1h}")
    for bad in (True, False, True):
        desk.see("sources/clicks", bad=bad)
        desk.now += MINUTE
    assert receiver.told() == [OPEN, RESOLVE]
    desk.tick(wait=HOUR)
    assert receiver.told() == [OPEN, RESOLVE, OPEN]
    desk.see("sources/clicks", bad=False)
    assert receiver.told() == [OPEN, RESOLVE, OPEN, RESOLVE]


def test_what_belongs_together_is_told_together(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - {to: hook, group: {by: owner, wait: 2m}}")
    for n in range(5):
        desk.see(f"feature_views/v{n}", bad=True)
        desk.now += timedelta(seconds=10)
    desk.see("sources/clicks", bad=True)
    assert receiver.hooks() == []
    desk.tick(wait=3 * MINUTE)
    packs = [[message["asset"] for message in each["messages"]] for each in receiver.hooks()]
    assert packs == [
        [f"fraud/feature_views/v{n}" for n in range(5)],  # team:ml
        ["fraud/sources/clicks"],  # team:risk
    ]
    for n in range(5):
        desk.see(f"feature_views/v{n}", bad=False)
    desk.tick(wait=3 * MINUTE)
    assert [len(each["messages"]) for each in receiver.hooks()] == [5, 1, 5]
    assert len({message for message in receiver.told() if message[0] == "resolve"}) == 5


def test_what_breaks_at_once_on_one_asset_is_one_message_but_an_alert_each_at_pagerduty(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: [hook, pager]")
    first = desk.see("sources/clicks", bad=False)
    broken = [
        replace(first, event=event, condition=Condition("check", check), scopes={"": True})
        for event, check in enumerate(("schema", "keys"), 10)
    ]
    desk.tick(*broken)
    assert [len(each["messages"]) for each in receiver.hooks()] == [2]
    alerts = [each.alert for each in receiver.taken if each.path == "/v2/enqueue"]
    assert alerts == [KEY, "fraud/sources/clicks#keys"]


def test_a_group_that_was_refused_is_tried_again_as_it_was(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - {to: hook, group: {by: project, wait: 1m}}")
    desk.see("feature_views/v1", bad=True)
    receiver.behave = lambda _request: "500"
    desk.tick(wait=MINUTE)
    desk.see("feature_views/v2", bad=True)
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert [len(each["messages"]) for each in receiver.hooks()] == [1, 1]
    assert receiver.refused[0].json == receiver.hooks()[0]


def test_what_turns_from_a_warning_into_an_error_reaches_those_that_only_errors_reach(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - {match: {severity: error}, to: other, continue: true}\n  - to: hook")
    desk.see("sources/clicks", bad=True, severity="warn")
    assert (receiver.told(), receiver.told("/other")) == ([OPEN], [])
    desk.see("sources/clicks", bad=True, severity="error")
    assert (receiver.told(), receiver.told("/other")) == ([OPEN], [OPEN])
    desk.see("sources/clicks", bad=True, severity="warn")
    desk.see("sources/clicks", bad=False)
    both = [OPEN, RESOLVE]
    assert (receiver.told(), receiver.told("/other")) == (both, both)


def test_what_is_owed_to_a_channel_that_is_gone_is_in_the_log(
    make_desk: Callable[[str], "Desk"],
    receiver: "Receiver",
    caplog: pytest.LogCaptureFixture,
):
    desk = make_desk("  - to: other")
    receiver.behave = lambda _request: "500"
    desk.see("sources/clicks", bad=True)
    text = desk.routes.read_text()
    desk.routes.write_text("\n".join(line for line in text.split("\n") if "/other" not in line))
    desk.routes.write_text(desk.routes.read_text().replace("to: other", "to: hook"))
    desk.tick(wait=HOUR)
    assert "check 'schema' failed" in caplog.text
    with desk.opened() as opened:
        assert opened.outbox.state().pending == {}


def test_what_no_rule_fits_is_in_the_log(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver", caplog: pytest.LogCaptureFixture
):
    desk = make_desk("  - {match: {severity: warn}, to: hook}")
    desk.see("sources/clicks", bad=True)
    assert receiver.told() == []
    assert "[error] fraud: source 'clicks': check 'schema' failed" in caplog.text
    assert "Repair: feature-platform status --repo feature_repo --view activity" in caplog.text


def test_the_state_says_what_waits_and_why(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "404"
    desk.see("sources/clicks", bad=True)
    desk.see("feature_views/v1", bad=True)
    with desk.opened() as opened:
        state = opened.outbox.state()
    assert state.pending == {"hook": 2}
    assert state.failing == {"hook": "answered with status 404"}


def test_waits_double_and_end_at_half_an_hour():
    waits = [backoff(failures) for failures in range(30)]
    assert 11 < waits[0] <= 15
    assert all(wait <= 1800 for wait in waits)
    assert min(waits[10:]) > 1300


def test_two_at_once_do_not_both_deliver(make_desk: Callable[[str], "Desk"]):
    import logging

    from feature_platform.alerts.desk import open_desk
    from feature_platform.alerts.route_file import load_alerts

    desk = make_desk("  - to: log")
    plan = load_alerts(desk.routes, desk.secrets)
    log = logging.getLogger("tests.alerts")
    with open_desk(plan, desk.subjects, desk.state, log) as first:
        assert first is not None
        with open_desk(plan, desk.subjects, desk.state, log) as second:
            assert second is None
    with open_desk(plan, desk.subjects, desk.state, log) as third:
        assert third is not None


def test_a_clock_that_ran_ahead_and_was_put_right_silences_no_channel(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "503"
    desk.now += 8760 * HOUR
    desk.see("sources/clicks", bad=True)
    desk.now -= 8760 * HOUR
    receiver.behave = lambda _request: "200"
    desk.tick(wait=MINUTE)
    assert receiver.told() == [OPEN]
