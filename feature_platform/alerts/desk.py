"""Findings come in, incidents are kept, messages go out."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feature_platform.alerts.channels.base import ChannelError, in_time
from feature_platform.alerts.incident_ledger import IncidentLedger, open_ledger
from feature_platform.alerts.messages.incidents import (
    Condition,
    Finding,
    Incident,
    Subject,
    incident_key,
)
from feature_platform.alerts.messages.message import Message, MessageKind, compose
from feature_platform.alerts.outbox import Outbox
from feature_platform.alerts.route_file import AlertPlan
from feature_platform.alerts.routes import LOG, targets
from feature_platform.core.file_locks import locked_file

BUDGET = 25.0
"""Seconds after which a round starts no new delivery; Dagster gives a tick sixty."""
LOOKED_AT = "looked_at"
"""The position that holds when findings were last taken in, in seconds since 1970."""
_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Delivered:
    """The result of a round of deliveries.

    Attributes:
        messages: Number of messages sent.
        failed: Channels that refused theirs, with the reason.
    """

    messages: int
    failed: Mapping[str, str]


class AlertDesk:
    """Takes findings in, keeps incidents, and sends messages."""

    def __init__(
        self,
        plan: AlertPlan,
        subjects: Mapping[str, Subject],
        ledger: IncidentLedger,
        log: logging.Logger,
    ) -> None:
        self.ledger = ledger
        self.outbox = Outbox(ledger)
        self._plan = plan
        self._subjects = subjects
        self._log = log

    def take_in(
        self,
        findings: Sequence[Finding],
        positions: Mapping[str, int],
        now: datetime,
        *,
        settled: int = -1,
        start_over: bool = False,
    ) -> None:
        """Store findings, in the order of their events, and how far was read, in one transaction.

        Args:
            findings: Those on unknown assets are ignored.
            positions: How far was read, by whatever names the reader uses.
            now: The moment.
            settled: Events up to this one will not be read again.
            start_over: Whether the event log was started anew: open incidents are resolved.
        """
        with self.ledger.transaction():
            for incident in self.ledger.start_over(now) if start_over else ():
                if incident.asset in self._subjects:
                    self._conclude(incident, now)
            for finding in sorted(findings, key=lambda each: each.event):
                if finding.asset in self._subjects:
                    self._take(self._plan.without_secrets(finding), now)
            for name, value in positions.items():
                self.ledger.move(name, value)
            self.ledger.move(LOOKED_AT, int(now.timestamp()))
            self.ledger.forget(now - _KEPT, settled)

    def deliver(
        self, clock: Callable[[], datetime] = lambda: datetime.now(UTC), budget: float = BUDGET
    ) -> Delivered:
        """Send what is due, channel by channel; a channel that fails is tried again later.

        After `budget` seconds no new delivery starts.
        """
        started, sent, failed = time.monotonic(), 0, {}
        for name in self.outbox.channels_due(clock()):
            # The log takes the messages of a channel that has been removed from the file.
            channel = self._plan.channels.get(name) or self._plan.channels[LOG]
            while time.monotonic() - started < budget:
                delivery = self.outbox.next_delivery(name, clock())
                if delivery is None:
                    break
                try:
                    in_time(lambda: channel.send(delivery))  # noqa: B023  run before the next turn
                except ChannelError as error:
                    failed[name] = error.reason
                    self._log.warning("alert channel '%s' %s; will try again", name, error.reason)
                    self.outbox.refused(
                        delivery, error.reason, clock(), outage=error.outage, after=error.after
                    )
                    if error.outage:
                        break
                else:
                    sent += len(delivery.messages)
                    self.outbox.sent(delivery, clock())
        return Delivered(sent, failed)

    def _take(self, finding: Finding, now: datetime) -> None:
        upstream = self._subjects[finding.asset].upstream
        if finding.upstream_explains and self.ledger.has_open_check(upstream):
            return
        if finding.bad and finding.condition.kind == "freshness" and self._is_stale(finding.asset):
            return  # rows older than promised were not written later than promised either
        before, after = self.ledger.apply(finding)
        if after is None:
            return
        if after.resolved_at is not None:
            self._conclude(after, now)
        elif before is None or after.severity != before.severity:
            self._announce(after, now)

    def _is_stale(self, asset: str) -> bool:
        """Whether a check of the asset already says that its values are older than promised."""
        return any(
            self.ledger.is_open(incident_key(asset, Condition("check", name)))
            for name, remedy in self._subjects[asset].remedies.items()
            if remedy.stale
        )

    def _conclude(self, incident: Incident, now: datetime) -> None:
        self.outbox.conclude(incident, self._message(incident, "resolve"), now)

    def _announce(self, incident: Incident, now: datetime) -> None:
        message = self._message(incident, "open")
        for target in targets(self._plan.routes, incident, self._subjects[incident.asset]):
            if not self._plan.channels[target.channel].takes_many:
                target = replace(target, pack=None)  # noqa: PLW2901
            self.outbox.announce(incident, message, target, now)

    def _message(self, incident: Incident, kind: MessageKind) -> Message:
        subject, places = self._subjects[incident.asset], self._plan.places
        name = self._plan.deployment or self.ledger.deployment()
        return compose(incident, subject, kind, places, name)


@contextmanager
def open_desk(
    plan: AlertPlan, subjects: Mapping[str, Subject], state: Path, log: logging.Logger
) -> Iterator[AlertDesk | None]:
    """Open the desk on a state file; None while another process has it open.

    Raises:
        AlertError: The state cannot be used.
    """
    with open_ledger(state) as ledger:
        # Beside the file, since closing any handle on it would drop SQLite's own locks.
        lock = state.with_name(f"{state.name}.lock")
        with locked_file(lock, blocking=False) as held:
            yield AlertDesk(plan, subjects, ledger, log) if held else None
