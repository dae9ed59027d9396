"""What each channel puts on the wire, and what it never shows."""

import io
import json
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feature_platform.alerts.channels.webhook import SIGNATURE, TIMESTAMP, signature
from feature_platform.alerts.desk import AlertDesk
from feature_platform.alerts.incident_ledger import open_ledger
from feature_platform.alerts.messages.incidents import Condition, Evidence, Finding
from feature_platform.alerts.route_file import load_alerts

if TYPE_CHECKING:
    from worlds.alert_desk import Desk
    from worlds.stand_ins.alert_receiver import Receiver

HOUR = timedelta(hours=1)


def test_a_webhook_is_signed_over_time_and_body(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    desk.see("sources/clicks", bad=True)
    [request] = receiver.taken
    sent_at = request.headers[TIMESTAMP]
    assert abs(time.time() - int(sent_at)) < 60
    assert request.headers[SIGNATURE] == signature("hook-key-5f0c1d", sent_at, request.raw)
    assert request.headers[SIGNATURE] != signature("another", sent_at, request.raw)
    later = str(int(sent_at) + 1)
    assert request.headers[SIGNATURE] != signature("hook-key-5f0c1d", later, request.raw)
    assert request.headers["Idempotency-Key"] == request.json["id"]


def test_a_signature_is_one_that_anybody_can_compute():
    # printf '1700000000.{}' | openssl dgst -sha256 -hmac key
    said = "v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    assert signature("key", "1700000000", b"{}") == said


def test_a_signed_message_does_not_follow_a_redirect(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "307"
    desk.see("sources/clicks", bad=True)
    assert [request.path for request in receiver.refused] == ["/hook"]
    with desk.opened() as opened:
        assert opened.outbox.state().failing == {"hook": "answered with status 307"}


def test_pagerduty_triggers_and_resolves_by_asset_and_check(
    make_desk: Callable[..., "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: pager", head="ui: https://dagster.example.com")
    for _ in range(2):
        desk.see("sources/clicks", bad=True, scopes={"2026-03-01": True})
    desk.see("sources/clicks", bad=False)
    assert [request.path for request in receiver.taken] == ["/v2/enqueue"] * 2
    trigger, resolve = (request.json for request in receiver.taken)
    assert trigger["routing_key"] == resolve["routing_key"] == "pager-key-77ab93"
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert "/fraud/sources/clicks#schema " in trigger["dedup_key"]
    payload = trigger["payload"]
    assert payload["severity"] == "error"
    assert payload["source"] == "fraud"
    assert "check 'schema' failed: null_rate 0.31 > 0.05" in payload["summary"]
    assert payload["custom_details"]["value"] == "0.31 against 0.05"
    assert "--start 2026-03-01 --end 2026-03-02" in payload["custom_details"]["repair"]
    assert trigger["links"][0]["href"].startswith("https://dagster.example.com/assets/")


@pytest.mark.parametrize("status", ["400", "401", "429", "500", "503"])
def test_pagerduty_is_asked_again_by_the_outbox_and_not_in_a_loop(
    status: str, make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: pager")
    receiver.behave = lambda _request: status
    desk.see("sources/clicks", bad=True)
    assert len(receiver.refused) == (2 if status == "429" else 1)
    receiver.behave = lambda _request: "202"
    desk.tick(wait=HOUR)
    assert [request.json["event_action"] for request in receiver.refused][-1] == "trigger"
    with desk.opened() as opened:
        assert opened.outbox.state().pending == {}


@pytest.fixture
def slack_desk(make_desk: Callable[..., "Desk"], receiver: "Receiver") -> "Desk":
    desk = make_desk("  - {to: team, group: {by: project, wait: 1m}}")
    desk.secrets["SLACK"] = f"{receiver.url}/services/T0/B0/hidden-4242"
    text = desk.routes.read_text()
    slack = "channels:\n  team: {type: slack, url_env: SLACK}\n"
    desk.routes.write_text("ui: https://dagster.example.com\n" + text.replace("channels:\n", slack))
    return desk


def _texts(request: Any) -> str:
    return "\n".join(block["text"]["text"] for block in request.json["blocks"])


def test_slack_shows_one_incident_with_all_its_lines(slack_desk: "Desk", receiver: "Receiver"):
    evidence = Evidence("<b> & 0.31 > 0.05")
    slack_desk.see("sources/clicks", bad=True, evidence=evidence)
    slack_desk.tick(wait=timedelta(minutes=1))
    [request] = receiver.taken
    assert request.path == "/services/T0/B0/hidden-4242"
    assert request.json["text"] == "[error] fraud: source 'clicks': check 'schema' failed"
    said = _texts(request)
    assert "&lt;b&gt; &amp; 0.31 &gt; 0.05" in said
    assert "*Owner:* team:risk" in said
    assert "*Repair:* `feature-platform status" in said


def test_slack_lists_many_incidents_within_its_limits(slack_desk: "Desk", receiver: "Receiver"):
    for n in range(20):
        slack_desk.see(f"feature_views/v{n}", bad=True, evidence=Evidence("x" * 5000))
    slack_desk.tick(wait=timedelta(minutes=1))
    [request] = receiver.taken
    assert request.json["text"] == "20 alerts in fraud"
    assert len(request.json["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in request.json["blocks"])
    for n in range(20):
        assert f"|[error] fraud: feature view 'v{n}': check 'schema' failed>" in _texts(request)


def test_no_secret_shows_in_logs_errors_or_on_disk(
    make_desk: Callable[[str], "Desk"],
    tmp_path: Path,
    receiver: "Receiver",
    monkeypatch: pytest.MonkeyPatch,
):
    known = make_desk("  - to: log")
    secrets = {
        "SLACK": f"{receiver.url}/services/T0/hidden-slack-1",
        "DEAD_SLACK": "http://127.0.0.1:1/services/T0/hidden-slack-2",
        "PAGER": "hidden-pager-3",
        "SIGN": "hidden-sign-4",
        "HOOK": f"{receiver.url}/hook?token=hidden-hook-5",
    }
    path = tmp_path / "many.yaml"
    path.write_text(
        "channels:\n"
        "  slack: {type: slack, url_env: SLACK}\n"
        "  dead: {type: slack, url_env: DEAD_SLACK}\n"
        f"  pager: {{type: pagerduty, url: '{receiver.tls}', routing_key_env: PAGER}}\n"
        "  gone: {type: pagerduty, url: 'https://127.0.0.1:1', routing_key_env: PAGER}\n"
        "  hook: {type: webhook, url_env: HOOK, secret_env: SIGN}\n"
        "routes:\n  - to: [slack, dead, pager, gone, hook, log]\n"
    )
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.NOTSET)
    root.addHandler(handler)
    plan = load_alerts(path, secrets)
    said: list[object] = [plan, plan.channels]
    state = tmp_path / "state" / "alerts.sqlite"
    try:
        for number, how in enumerate(["500", "401", "vanish", "302", "200"]):
            receiver.behave = lambda _request, how=how: how  # type: ignore[misc]
            leak = f"cannot reach {secrets['SLACK']}, {secrets['PAGER']}, {secrets['SIGN']}"
            finding = Finding(
                "fraud/sources/clicks",
                Condition("check", f"c{number}"),
                number,
                known.now,
                {"": True},
                "error",
                Evidence(leak, leak, leak),
            )
            now = known.now + number * HOUR
            with open_ledger(state) as ledger:
                desk = AlertDesk(plan, known.subjects, ledger, root)
                desk.take_in([finding], {}, now)
                said.append(desk.deliver(lambda now=now: now))  # type: ignore[misc]
                said.append(desk.outbox.state())
                said.append(desk.ledger.open_incidents())
                disk = b"".join(file.read_bytes() for file in state.parent.iterdir())
                assert b"hidden" not in disk
    finally:
        root.removeHandler(handler)
    told = printed.getvalue()
    assert "alert channel 'dead' failed with" in told
    assert "check 'c0' failed" in told
    assert "hidden" not in told
    assert "hidden" not in repr(said)
    # It did reach those it was meant for, and nobody else: not in what the messages say.
    for request in receiver.taken:
        messages = request.json.get("messages") or request.json.get("payload") or request.json
        assert "hidden" not in json.dumps(messages)
