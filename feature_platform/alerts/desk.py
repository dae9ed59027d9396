"""Where findings come in and messages go out."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feature_platform.alerts.channels.base import ChannelError, in_time
from feature_platform.alerts.incident_ledger import Ledger, open_ledger
from feature_platform.alerts.messages.incidents import (
    Condition,
    Finding,
    Incident,
    Subject,
    incident_key,
)
from feature_platform.alerts.messages.message import compose
from feature_platform.alerts.outbox import Outbox
from feature_platform.alerts.route_file import AlertPlan
from feature_platform.alerts.routes import LOG, targets
from feature_platform.core.file_locks import locked_file

BUDGET = 25.0
"""Seconds after which a round of deliveries begins nothing new; Dagster gives a tick sixty."""
LOOKED_AT = "looked_at"
"""The position that holds when findings were last taken in, in seconds since 1970."""
_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Delivered:
    """What a round of deliveries did.

    Attributes:
        messages: How many messages are out.
        failed: Channels that did not take theirs, with why.
    """

    messages: int
    failed: Mapping[str, str]


class AlertDesk:
    """Takes findings in, keeps incidents, and tells people.

    Args:
        plan: Channels and rules.
        subjects: What is known of each asset, by its key.
        ledger: The state on disk.
        log: Where the log channel and failures of channels are written.
    """

    def __init__(
        self,
        plan: AlertPlan,
        subjects: Mapping[str, Subject],
        ledger: Ledger,
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
        """Take findings in, in the order of their events, with how far was read: all or nothing.

        Args:
            findings: What was found; on assets that are not known it is none of ours.
            positions: How far was read, by whatever names the reader uses.
            now: When.
            settled: Events up to this one will not be read again.
            start_over: Whether the event log was begun anew, so that what was open is over.
        """
        with self.ledger.transaction():
            for incident in self.ledger.start_over(now) if start_over else ():
                subject = self._subjects.get(incident.asset)
                if subject is not None:
                    self._conclude(incident, subject, now)
            for finding in sorted(findings, key=lambda each: each.event):
                subject = self._subjects.get(finding.asset)
                if subject is not None:
                    self._take(finding, subject, now)
            for name, value in positions.items():
                self.ledger.move(name, value)
            self.ledger.move(LOOKED_AT, int(now.timestamp()))
            self.ledger.forget(now - _KEPT, settled)

    def deliver(
        self, clock: Callable[[], datetime] = lambda: datetime.now(UTC), budget: float = BUDGET
    ) -> Delivered:
        """Send what is due, one channel after the other; a channel that fails waits for later.

        Args:
            clock: Says what time it is.
            budget: Seconds after which nothing new is begun.
        """
        started, out, failed = time.monotonic(), 0, {}
        for name in self.outbox.channels_due(clock()):
            # A channel that is no longer in the file still owes what it was given.
            channel = self._plan.channels.get(name) or self._plan.channels[LOG]
            while time.monotonic() - started < budget:
                delivery = self.outbox.next_delivery(name, clock())
                if delivery is None:
                    break
                try:
                    in_time(lambda: channel.send(delivery))  # noqa: B023  run before the next turn
                except ChannelError as error:
                    failed[name] = error.reason
                    self._log.warning(
                        "alert channel '%s' %s; it is tried again", name, error.reason
                    )
                    self.outbox.refused(
                        delivery, error.reason, clock(), outage=error.outage, after=error.after
                    )
                    if error.outage:
                        break
                else:
                    out += len(delivery.messages)
                    self.outbox.sent(delivery, clock())
        return Delivered(out, failed)

    def _take(self, finding: Finding, subject: Subject, now: datetime) -> None:
        finding = self._plan.without_secrets(finding)
        if finding.upstream_explains and self.ledger.has_open_check(subject.upstream):
            return
        if finding.bad and finding.condition.kind == "freshness" and self._is_stale(subject):
            return  # rows older than promised were not written later than promised either
        before, after = self.ledger.apply(finding)
        if after is None:
            return
        if after.resolved_at is not None:
            self._conclude(after, subject, now)
        elif before is None or after.severity != before.severity:
            self._announce(after, subject, now)

    def _is_stale(self, subject: Subject) -> bool:
        """Whether a check of the asset already says that its values are older than promised."""
        return any(
            self.ledger.is_open(incident_key(subject.asset, Condition("check", name)))
            for name, remedy in subject.remedies.items()
            if remedy.stale
        )

    def _conclude(self, incident: Incident, subject: Subject, now: datetime) -> None:
        message = compose(incident, subject, "resolve", self._plan.places)
        self.outbox.conclude(incident, message, now)

    def _announce(self, incident: Incident, subject: Subject, now: datetime) -> None:
        message = compose(incident, subject, "open", self._plan.places)
        for target in targets(self._plan.routes, incident, subject):
            if not self._plan.channels[target.channel].takes_many:
                target = replace(target, pack=None)  # noqa: PLW2901
            self.outbox.announce(incident, message, target, now)


@contextmanager
def open_desk(
    plan: AlertPlan, subjects: Mapping[str, Subject], state: Path, log: logging.Logger
) -> Iterator[AlertDesk | None]:
    """The desk, its state in a file; None where another process is at it.

    Raises:
        AlertError: The state cannot be used.
    """
    with open_ledger(state) as ledger:
        # Beside the file, since closing any handle on it would drop SQLite's own locks.
        lock = state.with_name(f"{state.name}.lock")
        with locked_file(lock, blocking=False) as held:
            yield AlertDesk(plan, subjects, ledger, log) if held else None
