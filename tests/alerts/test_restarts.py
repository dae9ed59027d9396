"""A day of events, a receiver that is often down, and a process that is killed ten times."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from worlds.places import environment

if TYPE_CHECKING:
    from worlds.stand_ins.alert_receiver import Receiver, Request

KILLS = 10


def simulated_day(dice: random.Random) -> list[dict[str, Any]]:
    """Checks of twelve assets and three windows that fail, fail again, and pass, all mixed."""
    events = []
    for _ in range(360):
        asset = f"fraud/sources/s{dice.randrange(12)}"
        scope = f"2026-03-0{dice.randrange(1, 4)}"
        check = dice.choice(["schema", "keys"])
        bad = dice.random() < 0.4
        events.append({"asset": asset, "check": check, "scope": scope, "bad": bad})
    # In the evening all is well.
    everything = sorted({(each["asset"], each["check"], each["scope"]) for each in events})
    events += [{"asset": a, "check": c, "scope": s, "bad": False} for a, c, s in everything]
    return [{"event": number, **each} for number, each in enumerate(events, 1)]


def expected_incidents(events: list[dict[str, Any]]) -> Counter[str]:
    """How often each asset and check goes from well to bad, computed in the plainest way."""
    bad: dict[str, set[str]] = {}
    found: Counter[str] = Counter()
    for each in events:
        key = f"{each['asset']}#{each['check']}"
        scopes = bad.setdefault(key, set())
        if each["bad"]:
            found[key] += not scopes
            scopes.add(each["scope"])
        else:
            scopes.discard(each["scope"])
    assert not any(bad.values())
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_incident_is_told_once_and_its_end_once_whenever_the_process_dies(
    seed: int, receiver: "Receiver", certificate: Path, tmp_path: Path
):
    dice = random.Random(seed)  # noqa: S311  repeatable, guards nothing
    events = simulated_day(dice)
    expected = expected_incidents(events)
    (tmp_path / "events.json").write_text(json.dumps(events))
    (tmp_path / "alerts.yaml").write_text(
        "channels:\n"
        f"  hook: {{type: webhook, url: '{receiver.url}/hook', secret_env: KEY}}\n"
        f"  chat: {{type: webhook, url: '{receiver.url}/chat', secret_env: KEY}}\n"
        f"  pager: {{type: pagerduty, url: '{receiver.tls}', routing_key_env: KEY}}\n"
        "routes:\n"
        "  - {to: [hook, pager], continue: true}\n"
        "  - {to: chat, group: {by: project, wait: 10m}}\n"
    )
    guard = threading.Lock()
    answers = random.Random(seed + 100)  # noqa: S311

    def badly(_request: "Request") -> str:
        with guard:
            return answers.choices(["200", "500", "vanish"], [0.8, 0.1, 0.1])[0]

    receiver.behave = badly
    kills = 0
    while True:
        process = _start(tmp_path, certificate)
        assert process.stdout is not None
        if kills < KILLS:
            # Somewhere within its first ticks: while it reads, stores, or sends.
            process.stdout.readline()
            time.sleep(dice.uniform(0, 0.12))
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        if process.wait(400) == 0:
            break
        process.stdout.close()
    assert kills == KILLS

    for path in ("/hook", "/chat"):
        told = [
            (message["incident"], message["kind"])
            for each in receiver.hooks(path)
            for message in each["messages"]
        ]
        assert len(told) == len(set(told)) == 2 * expected.total()
        by_key = Counter(key for kind, key in receiver.told(path) if kind == "open")
        assert by_key == expected
        place = {each: position for position, each in enumerate(told)}
        assert all(place[each, "open"] < place[each, "resolve"] for each, _ in told)
    _assert_pagerduty_saw(receiver, expected)
    # It did die in the middle of sending: something came twice, under one id.
    assert len(receiver.taken) > 4 * expected.total()


def _assert_pagerduty_saw(receiver: "Receiver", expected: Counter[str]) -> None:
    """As PagerDuty does it: a trigger on an open alert, and a resolve on none, add nothing."""
    open_now: set[str] = set()
    opened: Counter[str] = Counter()
    for request in receiver.taken:
        if request.path != "/v2/enqueue":
            continue
        key = request.alert
        if request.json["event_action"] == "trigger":
            opened[key] += key not in open_now
            open_now.add(key)
        else:
            open_now.discard(key)
    assert not open_now
    assert opened == expected


def _start(folder: Path, certificate: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "worlds.processes.alert_day", str(folder / "alerts.yaml")),
            *(str(folder / "state.sqlite"), str(folder / "events.json")),
        ],
        env=environment(KEY="a-key-of-the-tests", SSL_CERT_FILE=str(certificate)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
