"""Whatever a message holds, each service takes it: the limits are those of what is sent."""

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds.stand_ins.loopback import listening

from feature_platform.alerts.channels.pagerduty import PagerDutyChannel
from feature_platform.alerts.channels.slack import SlackChannel
from feature_platform.alerts.messages.incidents import Condition, Evidence, Incident, Subject
from feature_platform.alerts.messages.message import Message, Places, compose
from feature_platform.alerts.outbox import Delivery

if TYPE_CHECKING:
    from worlds.alert_desk import Desk
    from worlds.stand_ins.alert_receiver import Receiver

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
# What is longer once it is sent, what may not be sent, and what means something to Slack.
NASTY = st.text(
    st.sampled_from("&<>`'\"|*\n\r\t \x00\x1b\u2028\u202e\ud800\U0001f600é日x"), max_size=40
)
LONG = st.tuples(NASTY, st.integers(1, 120)).map(lambda drawn: drawn[0] * drawn[1])
TEXT = NASTY | LONG


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2  # raises where half a character is left


def _is_text(text: str) -> bool:
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text)


class _Slack(BaseHTTPRequestHandler):
    """Refuses what Slack refuses."""

    posted: list[Any]

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.posted.append(said)
        texts = [block["text"]["text"] for block in said.get("blocks", ())]
        fits = len(texts) <= 50 and all(text.strip() and _units(text) <= 3000 for text in texts)
        self.send_response(200 if fits and 0 < _units(said["text"]) <= 3000 else 400)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def slack() -> Iterator[tuple[SlackChannel, list[Any]]]:
    posted: list[Any] = []
    with listening(type("Handler", (_Slack,), {"posted": posted})) as port:
        secrets = {"SLACK": f"http://127.0.0.1:{port}/hook"}
        written = {"type": "slack", "url_env": "SLACK"}
        yield SlackChannel.model_validate(written, context=secrets), posted


@st.composite
def messages(draw: st.DrawFn, kind: str = "open") -> Message:
    subject = Subject(
        f"shop/sources/{draw(TEXT)}",
        "shop",
        "source",
        draw(TEXT),
        owners=tuple(draw(st.lists(TEXT, max_size=3))),
        views=tuple(draw(st.lists(TEXT, max_size=3))),
        partition=timedelta(days=1),
    )
    evidence = Evidence(draw(TEXT), draw(TEXT), draw(TEXT), run_id=draw(NASTY))
    scopes = tuple(draw(st.lists(st.sampled_from(["2026-03-01", "2026-03-02", "odd <&>"]))))
    incident = Incident(
        "id", subject.asset, Condition("check", "suite"), "error", NOW, None, scopes, evidence
    )
    places = draw(st.sampled_from([Places(), Places("https://dagster.example.com/" + "p" * 900)]))
    return compose(incident, subject, kind, places, "production")  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(said=st.lists(messages(), min_size=1, max_size=4), times=st.sampled_from([1, 1, 12]))
def test_slack_takes_every_message(
    said: list[Message], times: int, slack: tuple[SlackChannel, list[Any]]
):
    channel, posted = slack
    posted.clear()
    channel.send(Delivery("one", "team", "open", tuple(said * times), 0))
    [body] = posted  # at the first attempt
    for block in body["blocks"]:
        text = block["text"]["text"]
        assert _is_text(text)
        assert re.fullmatch("(&amp;|&lt;|&gt;|[^&])*", text)  # no entity is cut in two


@settings(max_examples=40, deadline=None)
@given(message=messages())
def test_slack_shows_all_of_one_message(message: Message, slack: tuple[SlackChannel, list[Any]]):
    channel, posted = slack
    posted.clear()
    channel.send(Delivery("one", "team", "open", (message,), 0))
    shown = html.unescape("\n".join(block["text"]["text"] for block in posted[0]["blocks"]))
    joined = re.sub(r"\s", "", shown)
    for label, text in message.lines():
        if label != "Repair":
            assert re.sub(r"\s", "", text) in joined


def test_a_long_repair_command_stays_one_command(slack: tuple[SlackChannel, list[Any]]):
    channel, posted = slack
    posted.clear()
    views = tuple(f"view {number} & more" for number in range(400))
    subject = Subject("shop/a", "shop", "source", "a", views=views, partition=timedelta(days=1))
    incident = Incident(
        *("id", subject.asset, Condition("check", "suite"), "error", NOW, None, ("2026-03-01",)),
        Evidence("bad"),
    )
    message = compose(incident, subject, "open", Places())
    channel.send(Delivery("one", "team", "open", (message,), 0))
    shown = html.unescape("\n".join(block["text"]["text"] for block in posted[0]["blocks"]))
    pasted = "".join(re.findall(r"`([^`]*)`", shown)).replace("\\", "")
    assert pasted == message.command


def test_what_slack_calls_malformed_goes_out_without_blocks(
    make_desk: Callable[..., "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: team")
    desk.secrets["SLACK"] = f"{receiver.url}/services/T0/B0/hidden-4242"
    text = desk.routes.read_text()
    slack = "channels:\n  team: {type: slack, url_env: SLACK}\n"
    desk.routes.write_text(text.replace("channels:\n", slack))
    receiver.behave = lambda request: "400" if "blocks" in request.json else "200"
    desk.see("sources/clicks", bad=True)
    [request] = receiver.taken
    assert "check 'schema' failed: null_rate 0.31 &gt; 0.05" in request.json["text"]


@settings(max_examples=60, deadline=None)
@given(message=messages() | messages("resolve"))
def test_pagerduty_takes_every_message(message: Message):
    written = {"type": "pagerduty", "routing_key_env": "PAGER"}
    channel = PagerDutyChannel.model_validate(written, context={"PAGER": "pager-key-77ab93"})
    sent: list[tuple[str, str, dict[str, Any]]] = []

    def send_event(_client: Any, action: str, dedup_key: str, **event: Any) -> None:
        sent.append((action, dedup_key, event))

    with patch("pagerduty.EventsApiV2Client.send_event", send_event):
        channel.send(Delivery("one", "pager", message.kind, (message,), 0))
    [(action, dedup_key, event)] = sent
    assert 0 < len(dedup_key.encode()) <= 255
    assert _is_text(dedup_key)
    if action == "trigger":
        assert 0 < _units(event["payload"]["summary"]) <= 1024
        assert event["payload"]["source"].strip()
        assert len(json.dumps(event).encode()) < 512 * 1024
        assert all(_is_text(text) for text in event["payload"]["custom_details"].values())


@given(message=messages())
def test_a_message_can_be_stored_and_read_by_any_parser(message: Message):
    stored = message.to_json()
    assert Message.from_json(stored) == message
    assert json.loads(stored.encode("utf-8")) == json.loads(stored)
    for value in vars(message).values():
        if isinstance(value, str) and value != message.key:
            assert _is_text(value)
            value.encode("utf-8")


def _key(asset: str, deployment: str, check: str = "schema") -> str:
    incident = Incident(
        "id", asset, Condition("check", check), "error", NOW, None, (), Evidence("")
    )
    subject = Subject(asset, "shop", "source", "a")
    return compose(incident, subject, "open", Places(), deployment).dedup_key


def test_two_long_names_and_two_deployments_have_keys_of_their_own():
    long = "shop/sources/" + "a" * 400
    keys = {
        _key(f"{long}/one", "staging"),
        _key(f"{long}/two", "staging"),
        _key(f"one/{long}", "staging"),
        _key(f"two/{long}", "staging"),
        _key(f"{long}/one", "production"),
        _key(f"{long}/one", "production", check="other"),
    }
    assert len(keys) == 6
    assert _key(long, "staging") == _key(long, "staging")


def test_staging_and_production_never_end_each_others_alerts(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    staging = make_desk("  - to: pager")
    production = replace(staging, state=staging.state.with_name("production.sqlite"))
    for desk in (staging, production):
        desk.see("sources/clicks", bad=True)
    staging.see("sources/clicks", bad=False)
    first, second, end = (request.json for request in receiver.taken)
    assert end["event_action"] == "resolve"
    assert first["dedup_key"] == end["dedup_key"] != second["dedup_key"]


def test_a_named_deployment_keeps_its_keys_when_its_state_is_lost(
    make_desk: Callable[..., "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: pager", head="deployment_env: DEPLOYMENT")
    desk.secrets["DEPLOYMENT"] = "prod"
    desk.see("sources/clicks", bad=True)
    desk.state.unlink()
    desk.see("sources/clicks", bad=True)
    first, second = (request.json["dedup_key"] for request in receiver.taken)
    assert first == second
    assert first.startswith("prod/fraud/sources/clicks#schema ")


def test_an_alert_ends_under_the_key_it_began_with(
    make_desk: Callable[..., "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: pager", head="deployment_env: DEPLOYMENT")
    desk.secrets["DEPLOYMENT"] = "before"
    desk.see("sources/clicks", bad=True)
    desk.secrets["DEPLOYMENT"] = "after"
    desk.see("sources/clicks", bad=False)
    began, ended = (request.json["dedup_key"] for request in receiver.taken)
    assert began == ended


def test_an_alert_that_an_older_version_began_ends_too(
    make_desk: Callable[..., "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: pager")
    desk.see("sources/clicks", bad=True)
    with desk.opened() as opened:
        connection = opened.ledger.connection
        [[stored]] = connection.execute("SELECT body FROM messages").fetchall()
        body = json.loads(stored)
        del body["dedup_key"]
        connection.execute("UPDATE messages SET body = ?", (json.dumps(body),))
    desk.see("sources/clicks", bad=False)
    assert receiver.taken[-1].json["dedup_key"] == "fraud/sources/clicks#schema"


def test_a_state_file_of_the_first_version_is_read(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    receiver.behave = lambda _request: "503"
    desk.see("sources/clicks", bad=True)
    with desk.opened() as opened:
        connection = opened.ledger.connection
        connection.execute("ALTER TABLE channels DROP COLUMN since")
        connection.execute("DROP TABLE deployment")
        connection.execute("PRAGMA user_version = 1")
    receiver.behave = lambda _request: "200"
    desk.tick(wait=HOUR)
    assert receiver.told() == [("open", "fraud/sources/clicks#schema")]
