"""One incident: one message when it opens, one when it is over."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds.places import ROOT

from feature_platform.alerts.incident_ledger import open_ledger
from feature_platform.alerts.messages.incidents import Condition, Evidence, Finding, Kind, utc
from feature_platform.errors import AlertError

if TYPE_CHECKING:
    from worlds.alert_desk import Desk
    from worlds.stand_ins.alert_receiver import Receiver

HOUR = timedelta(hours=1)
KEY = "fraud/sources/clicks#schema"


@pytest.fixture
def desk(make_desk: Callable[[str], "Desk"]) -> "Desk":
    return make_desk("  - to: hook")


def test_a_check_that_fails_for_days_is_told_once_and_its_end_once(
    desk: "Desk", receiver: "Receiver"
):
    for _ in range(5):
        desk.see("sources/clicks", bad=True)
    assert receiver.told() == [("open", KEY)]
    for _ in range(3):
        desk.see("sources/clicks", bad=False)
    assert receiver.told() == [("open", KEY), ("resolve", KEY)]


def test_a_check_that_passes_is_not_worth_a_message(desk: "Desk", receiver: "Receiver"):
    desk.see("sources/clicks", bad=False)
    assert receiver.told() == []


def test_what_fails_again_is_another_incident(desk: "Desk", receiver: "Receiver"):
    for bad in (True, False, True):
        desk.see("sources/clicks", bad=bad)
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve", "open"]
    first, _, second = (each["messages"][0]["incident"] for each in receiver.hooks())
    assert first != second


def test_a_good_day_does_not_hide_a_bad_one_before_it(desk: "Desk", receiver: "Receiver"):
    desk.see("sources/clicks", bad=True, scopes={"2026-03-01": True})
    desk.see("sources/clicks", bad=False, scopes={"2026-03-02": False})
    assert [kind for kind, _ in receiver.told()] == ["open"]
    desk.see("sources/clicks", bad=False, scopes={"2026-03-01": False})
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve"]


def test_a_pass_of_the_whole_asset_ends_what_single_days_began(desk: "Desk", receiver: "Receiver"):
    desk.see("sources/clicks", bad=True, scopes={"2026-03-01": True, "2026-03-02": True})
    desk.see("sources/clicks", bad=False)
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve"]


def test_each_check_and_each_asset_has_its_own_incident(desk: "Desk", receiver: "Receiver"):
    desk.see("sources/clicks", bad=True)
    desk.see("sources/clicks", bad=True, check="keys")
    desk.see("feature_views/activity", bad=True, kind="run")
    desk.see("feature_views/activity", bad=True, kind="freshness")
    desk.see("feature_views/activity", bad=True, kind="gave_up")
    assert receiver.told() == [
        ("open", KEY),
        ("open", "fraud/sources/clicks#keys"),
        ("open", "fraud/feature_views/activity#run-failure"),
        ("open", "fraud/feature_views/activity#stale-asset"),
        ("open", "fraud/feature_views/activity#gave-up"),
    ]


def test_assets_of_other_projects_are_none_of_ours(desk: "Desk", receiver: "Receiver"):
    desk.see("sources/unknown", bad=True)
    assert receiver.told() == []


def test_a_run_that_the_gate_stopped_adds_nothing_to_the_check_that_failed(
    desk: "Desk", receiver: "Receiver"
):
    desk.see("sources/clicks", bad=True)
    desk.see("feature_views/activity", bad=True, kind="run", upstream_explains=True)
    assert receiver.told() == [("open", KEY)]
    desk.see("sources/clicks", bad=False)
    desk.see("feature_views/activity", bad=True, kind="run", upstream_explains=True)
    assert receiver.told()[2:] == [("open", "fraud/feature_views/activity#run-failure")]


def test_events_read_a_second_time_change_nothing(desk: "Desk", receiver: "Receiver"):
    desk.settles = False
    seen = [desk.see("sources/clicks", bad=bad) for bad in (True, False, True, False)]
    before = receiver.told()
    for finding in (*seen[:2], *seen):
        with desk.opened() as opened:
            opened.take_in([finding], {}, desk.now)
            opened.deliver(lambda: desk.now)
    assert len(before) == 4
    assert receiver.told() == before


def test_a_message_says_all_that_is_needed(make_desk: Callable[..., "Desk"], receiver: "Receiver"):
    desk = make_desk("  - to: hook", head="ui: https://dagster.example.com/")
    days = {"2026-03-01": True, "2026-03-03": True, "2026-03-04": False}
    desk.see("sources/clicks", bad=True, scopes=days)
    desk.now += HOUR
    desk.see("sources/clicks", bad=False)
    opened, resolved = (each["messages"][0] for each in receiver.hooks())
    assert opened["title"] == "[error] fraud: source 'clicks': check 'schema' failed"
    assert opened["what"] == "null_rate 0.31 > 0.05"
    assert (opened["value"], opened["threshold"]) == ("0.31", "0.05")
    assert opened["since"] == "2026-03-11T12:00:00+00:00"
    assert opened["windows"] == "2026-03-01, 2026-03-03"
    assert opened["effect"].startswith("blocked: these windows are not served")
    assert opened["owner"] == "team:risk"
    link = "https://dagster.example.com/assets/fraud/sources/clicks?view=checks&checkDetail=schema"
    assert opened["link"] == link
    assert opened["command"] == (
        "feature-platform materialize --repo feature_repo --view activity "
        "--start 2026-03-01 --end 2026-03-04"
    )
    assert opened["runbook"] == "docs/runbooks/failed-check.md"
    assert resolved["until"] == "2026-03-11T13:00:00+00:00"


def test_the_command_fits_what_is_wrong(desk: "Desk", receiver: "Receiver"):
    view = "feature_views/activity"
    desk.see(view, bad=True, check="online_equals_offline")
    desk.see(view, bad=True, kind="freshness")
    desk.see(view, bad=True, check="drift")
    desk.see("registry", bad=True, check="registry_matches_repo")
    desk.see("feature_views/v1", bad=True, kind="run")
    said = [each["messages"][0] for each in receiver.hooks()]
    ours = "--repo feature_repo --profile gcp --view activity"
    assert [message["command"] for message in said] == [
        f"feature-platform rebuild-online {ours}",
        f"feature-platform backfill {ours}",
        f"feature-platform status {ours}",
        "feast -c feature_repo apply",
        "feature-platform status --repo feature_repo",
    ]
    assert [message["runbook"].rsplit("/", 1)[-1] for message in said[:2]] == [
        "lost-online-store.md",
        "stale-view.md",
    ]
    assert "served: online values differ from the source" in said[0]["effect"]


def test_a_stale_view_is_told_once_though_dagster_s_policy_finds_it_too(
    desk: "Desk", receiver: "Receiver"
):
    view, check = "feature_views/activity", "fresh_by_event_time"
    desk.see(view, bad=True, check=check)
    desk.see(view, bad=True, kind="freshness")
    desk.see(view, bad=False, kind="freshness")
    desk.see(view, bad=False, check=check)
    key = f"fraud/{view}#{check}"
    assert receiver.told() == [("open", key), ("resolve", key)]
    # Where nobody looks at event times, the policy is all there is.
    desk.see(view, bad=True, kind="freshness")
    assert receiver.told()[2:] == [("open", f"fraud/{view}#stale-asset")]
    both = [receiver.hooks()[place]["messages"][0] for place in (0, 2)]
    for name in ("title", "effect", "command", "runbook"):
        assert both[0][name] == both[1][name]


def test_every_runbook_that_a_message_names_is_there(desk: "Desk", receiver: "Receiver"):
    desk.see("feature_views/activity", bad=True, check="online_equals_offline")
    desk.see("feature_views/activity", bad=True, check="other")
    for kind in ("run", "freshness", "gave_up"):
        desk.see("feature_views/activity", bad=True, kind=kind)
    named = {each["messages"][0]["runbook"] for each in receiver.hooks()}
    assert len(named) == 3
    assert all((ROOT / each).is_file() for each in named)


@settings(max_examples=30, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.sampled_from(["", "a", "b"]), st.booleans(), st.booleans()), max_size=12
    ),
    data=st.data(),
)
def test_whatever_is_read_twice_the_incidents_are_the_same(
    events: list[tuple[str, bool, bool]],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
):
    findings = [
        Finding(
            "fraud/x",
            Condition("check", "c"),
            number,
            utc(number),
            {scope: bad},
            "error",
            Evidence("x"),
            clears=clears and not bad,
        )
        for number, (scope, bad, clears) in enumerate(events, 1)
    ]
    folder = tmp_path_factory.mktemp("ledger")

    def ids(name: str, feed: list[Finding]) -> list[tuple[str, bool]]:
        with open_ledger(folder / name) as ledger:
            for finding in feed:
                ledger.apply(finding)
            rows = ledger.connection.execute("SELECT id, resolved_at FROM incidents ORDER BY id")
            return [(row["id"], row["resolved_at"] is None) for row in rows]

    once = ids("once", findings)
    again = []
    for reached in range(1, len(findings) + 1):
        back = data.draw(st.integers(0, reached - 1))
        again += findings[back:reached]
    assert ids("again", [*again, *findings]) == once


def test_an_event_log_that_was_begun_anew_ends_what_was_open(desk: "Desk", receiver: "Receiver"):
    desk.see("sources/clicks", bad=True)
    with desk.opened() as opened:
        opened.take_in([], {"events": 0}, desk.now, start_over=True)
        opened.deliver(lambda: desk.now)
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve"]
    desk.events, desk.now = 0, desk.now + HOUR
    desk.see("sources/clicks", bad=True)
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve", "open"]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_whatever_an_incident_is_about_it_ends_when_that_is_gone(
    kind: str, desk: "Desk", receiver: "Receiver"
):
    subjects = desk.subjects
    desk.see("sources/clicks", bad=True, kind=kind)
    desk.see("feature_views/activity", bad=True)
    assert len(receiver.told()) == 2
    # Somebody takes the source out of the definitions.
    desk.subjects = {name: each for name, each in subjects.items() if "clicks" not in name}
    for _ in range(3):
        desk.tick()
    [told] = [each for each in receiver.told() if each[0] == "resolve"]
    assert told[1].startswith("fraud/sources/clicks#")
    with desk.opened() as opened:
        assert [each.asset for each in opened.ledger.open_incidents()] == [
            "fraud/feature_views/activity"
        ]
    # It comes back, and fails again.
    desk.subjects = subjects
    desk.tick()
    assert len(receiver.told()) == 3
    desk.see("sources/clicks", bad=True, kind=kind)
    assert receiver.told()[-1][0] == "open"


def test_an_incident_ends_with_the_last_of_its_windows_that_nothing_can_end(
    desk: "Desk", receiver: "Receiver"
):
    days = {"2026-03-01": True, "2026-03-02": True}
    desk.settles = False
    desk.see("sources/clicks", bad=True, scopes=days)

    def tick(*gone: str) -> list[str]:
        with desk.opened() as opened:
            opened.take_in(
                [], {}, desk.now, over=lambda _, scope: "it is no more" if scope in gone else ""
            )
            opened.deliver(lambda: desk.now)
            return [scope for each in opened.ledger.open_incidents() for scope in each.scopes]

    assert tick() == [*days]
    assert tick("2026-03-01") == ["2026-03-02"]
    assert len(receiver.told()) == 1
    assert tick("2026-03-01", "2026-03-02") == []
    assert [kind for kind, _ in receiver.told()] == ["open", "resolve"]
    # An event that is read a second time opens nothing.
    desk.see("sources/clicks", bad=True, scopes=days, event=1)
    assert len(receiver.told()) == 2


def test_a_damaged_state_is_an_error_that_says_what_to_do(tmp_path: Path):
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"not a database" * 500)
    with pytest.raises(AlertError, match=r"alerts\.sqlite.*cannot be used.*moved away"):
        open_ledger(path).__enter__()


def test_a_state_of_a_newer_version_is_not_touched(tmp_path: Path):
    path = tmp_path / "alerts.sqlite"
    with open_ledger(path) as ledger:
        ledger.connection.execute("PRAGMA user_version = 99")
    with pytest.raises(AlertError, match="newer version"):
        open_ledger(path).__enter__()


def test_what_is_long_over_is_forgotten(desk: "Desk"):
    desk.see("sources/clicks", bad=True)
    desk.see("sources/clicks", bad=False)
    desk.tick(wait=timedelta(days=31))
    with desk.opened() as opened:
        for table in ("incidents", "messages", "scopes", "cleared"):
            [(count,)] = opened.ledger.connection.execute(f"SELECT COUNT(*) FROM {table}")
            assert count == 0, table
        assert opened.outbox.state().sent == {("hook", "open"): 1, ("hook", "resolve"): 1}
