"""A process that alerts on a day of simulated events, and that may be killed at any moment.

Run as ``python -m worlds.processes.alert_day routes.yaml state.sqlite events.json``. Each line of
output is a tick. It ends when every event was read and every message is out.
"""

import json
import logging
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feature_platform.alerts.desk import open_desk
from feature_platform.alerts.messages.incidents import Condition, Evidence, Finding, Subject
from feature_platform.alerts.route_file import load_alerts

PAGE = 7  # events read at a tick


def main(routes: str, state: str, events: str) -> None:
    """Tick until nothing is left to do."""
    plan = load_alerts(routes)
    feed = [_finding(**each) for each in json.loads(Path(events).read_text())]
    subjects = {
        finding.asset: Subject(finding.asset, "fraud", "source", finding.asset.rsplit("/", 1)[-1])
        for finding in feed
    }
    log = logging.getLogger("day")
    tick = 0
    while True:
        with open_desk(plan, subjects, Path(state), log) as desk:
            assert desk is not None, "nobody else is at it"
            read = desk.ledger.position("events") or 0
            page = [finding for finding in feed if finding.event > read][:PAGE]
            reached = page[-1].event if page else read
            desk.take_in(page, {"events": reached}, datetime.now(UTC), settled=reached)
            # A day passes in seconds: what was refused is due again at the next tick.
            tick += 1
            moment = datetime.now(UTC) + timedelta(hours=tick)
            desk.deliver(lambda moment=moment: moment)
            left = len(feed) - sum(finding.event <= reached for finding in feed)
            waiting = sum(desk.outbox.state().pending.values())
        sys.stdout.write(f"{left} events left, {waiting} messages waiting\n")
        sys.stdout.flush()
        if not left and not waiting:
            return
        time.sleep(0.01)


def _finding(event: int, asset: str, check: str, scope: str, *, bad: bool) -> Finding:
    return Finding(
        asset=asset,
        condition=Condition("check", check),
        event=event,
        at=datetime(2026, 3, 11, tzinfo=UTC) + timedelta(minutes=event),
        scopes={scope: bad},
        severity="error",
        evidence=Evidence(f"event {event}"),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
