"""Messages that wait to be sent, stored beside their incidents.

A message is written in the transaction that opens or resolves its incident, under an id made of
incident, channel and kind, so that it exists once. It leaves the outbox after its channel took it.
A process that dies in between sends it again under the same id; a receiver that compares ids (the
webhook's ``Idempotency-Key``, PagerDuty's dedup key) shows it once.
"""

import random
import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from feature_platform.alerts.incident_ledger import IncidentLedger
from feature_platform.alerts.messages.incidents import Incident
from feature_platform.alerts.messages.message import Message, MessageKind
from feature_platform.alerts.routes import Target

_FIRST_RETRY = 15.0
_LONGEST_RETRY = 1800.0
LONGEST_ASKED = timedelta(days=1)
"""How long a channel is left alone at most because it asked for it."""
# No retry is further off: a later one comes from a clock that ran ahead and was corrected.
_AHEAD = 2 * _LONGEST_RETRY
# Messages in one delivery: nobody reads a longer chat message.
_MAX_BATCH = 50
_SENT = "sent/"


@dataclass(frozen=True)
class Delivery:
    """Messages that a channel sends together.

    Attributes:
        id: The same for every attempt.
        channel: The channel's name.
        kind: ``open`` or ``resolve``.
        messages: One, or several if the route groups them.
        attempts: Number of earlier attempts.
    """

    id: str
    channel: str
    kind: MessageKind
    messages: tuple[Message, ...]
    attempts: int


@dataclass(frozen=True)
class OutboxState:
    """Counts of messages.

    Attributes:
        pending: Messages not sent yet, by channel.
        sent: Messages sent, by channel and kind.
        failing: Channels that take no messages now, with the reason.
    """

    pending: dict[str, int]
    sent: dict[tuple[str, str], int]
    failing: dict[str, str]


class Outbox:
    """The messages in a ledger's file."""

    def __init__(self, ledger: IncidentLedger) -> None:
        self._ledger = ledger
        self._connection = ledger.connection

    def announce(self, incident: Incident, message: Message, target: Target, now: datetime) -> None:
        """Write the opening message for one channel, unless it has one already.

        Within the route's suppression interval after the last one about the same asset and
        condition, it waits until the interval ends, and is dropped if the incident ends before.
        """
        held_until, moment = 0.0, now.timestamp()
        if target.suppress:
            row = self._connection.execute(
                "SELECT MAX(created) AS at FROM messages WHERE key = ? AND channel = ? "
                "AND kind = 'open' AND state != 'cancelled' AND incident != ?",
                (incident.key, target.channel, incident.id),
            ).fetchone()
            if row["at"] is not None:
                # At most now, in case it comes from a clock that ran ahead.
                held_until = min(row["at"], moment) + target.suppress.total_seconds()
        self._add(incident, message, target, moment, held_until)

    def conclude(self, incident: Incident, message: Message, now: datetime) -> None:
        """Write the resolving message for every channel that got the opening one."""
        moment = now.timestamp()
        self._connection.execute(
            "UPDATE messages SET state = 'cancelled' WHERE incident = ? AND kind = 'open' "
            "AND state = 'pending' AND suppressed AND attempts = 0 AND due > ?",
            (incident.id, moment),
        )
        rows = self._connection.execute(
            "SELECT channel, pack, wait, body FROM messages "
            "WHERE incident = ? AND kind = 'open' AND state != 'cancelled'",
            (incident.id,),
        ).fetchall()
        for row in rows:
            target = Target(row["channel"], wait=timedelta(seconds=row["wait"]), pack=row["pack"])
            # Under the key it was opened with, though the deployment may have got another name.
            opening = Message.from_json(row["body"])
            self._add(incident, replace(message, dedup_key=opening.dedup_key), target, moment)

    def channels_due(self, now: datetime) -> list[str]:
        """Channels with something to send that are not waiting after a failure."""
        moment = now.timestamp()
        rows = self._connection.execute(
            "SELECT DISTINCT messages.channel FROM messages "
            "LEFT JOIN channels ON channels.name = messages.channel "
            "WHERE messages.state = 'pending' AND (messages.due <= ? OR messages.created > ?) "
            # A wait that has yet to begin comes from a clock that ran ahead, too.
            "AND (COALESCE(channels.retry_at, 0) <= ? OR channels.since > ?) ORDER BY 1",
            (moment, moment + _AHEAD, moment, moment),
        )
        return [row["channel"] for row in rows]

    def next_delivery(self, channel: str, now: datetime) -> Delivery | None:
        """Take the oldest due message of a channel, with those of its pack, as one delivery.

        The pack is fixed at the first attempt, so that a second one sends the same.

        Returns:
            The delivery, counted as tried; None if nothing is due.
        """
        moment = now.timestamp()
        with self._ledger.transaction():
            row = self._connection.execute(
                f"SELECT * FROM messages WHERE {_READY} AND channel = ? "
                "AND (due <= ? OR created > ?) AND (retry_at <= ? OR retry_at > ?) "
                "ORDER BY created, rowid LIMIT 1",
                (channel, moment, moment + _AHEAD, moment, moment + _AHEAD),
            ).fetchone()
            if row is None:
                return None
            batch = row["batch"] or self._new_batch(row)
            members = self._connection.execute(
                "SELECT * FROM messages WHERE batch = ? ORDER BY created, rowid", (batch,)
            ).fetchall()
            # Counted before it is sent, so that a channel that kills its process waits too.
            self._connection.execute(
                "UPDATE messages SET attempts = attempts + 1, retry_at = ? WHERE batch = ?",
                (moment + backoff(row["attempts"]), batch),
            )
        return Delivery(
            id=batch,
            channel=channel,
            kind=row["kind"],
            messages=tuple(Message.from_json(member["body"]) for member in members),
            attempts=row["attempts"],
        )

    def sent(self, delivery: Delivery, now: datetime) -> None:
        """Store that the channel took a delivery."""
        with self._ledger.transaction():
            self._connection.execute(
                "UPDATE messages SET state = 'sent', sent_at = ?, error = NULL WHERE batch = ?",
                (now.timestamp(), delivery.id),
            )
            # A position counts them, since messages are dropped in the end.
            name = f"{_SENT}{delivery.channel}/{delivery.kind}"
            self._ledger.move(name, (self._ledger.position(name) or 0) + len(delivery.messages))
            self._connection.execute("DELETE FROM channels WHERE name = ?", (delivery.channel,))

    def refused(
        self,
        delivery: Delivery,
        why: str,
        now: datetime,
        *,
        outage: bool,
        after: timedelta | None = None,
    ) -> None:
        """Store that the channel refused a delivery, which will be tried again.

        In an outage the channel takes nothing at all; it may have asked to be tried `after` a time.
        """
        moment = now.timestamp()
        with self._ledger.transaction():
            if not outage:
                self._connection.execute(
                    "UPDATE messages SET error = ? WHERE batch = ?", (why, delivery.id)
                )
                return
            row = self._connection.execute(
                "SELECT failures FROM channels WHERE name = ?", (delivery.channel,)
            ).fetchone()
            failures = 0 if row is None else row["failures"]
            wait = after.total_seconds() if after else backoff(failures)
            self._connection.execute(
                "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?)",
                (delivery.channel, failures + 1, moment + wait, why, moment),
            )
            # The channel's wait decides; the message adds none of its own.
            self._connection.execute(
                "UPDATE messages SET error = ?, retry_at = ? WHERE batch = ?",
                (why, moment, delivery.id),
            )

    def state(self) -> OutboxState:
        """Count messages by state."""
        waiting = self._connection.execute(
            "SELECT channel, COUNT(*) AS n FROM messages WHERE state = 'pending' GROUP BY channel"
        )
        pending = {row["channel"]: row["n"] for row in waiting}
        counts = self._connection.execute(
            "SELECT name, value FROM positions WHERE name LIKE ?", (f"{_SENT}%",)
        )
        sent: dict[tuple[str, str], int] = {}
        for row in counts:
            channel, _, kind = row["name"].removeprefix(_SENT).partition("/")
            sent[channel, kind] = row["value"]
        failing = self._connection.execute("SELECT name, error FROM channels")
        return OutboxState(pending, sent, {row["name"]: row["error"] for row in failing})

    def _add(
        self,
        incident: Incident,
        message: Message,
        target: Target,
        moment: float,
        held_until: float = 0.0,
    ) -> None:
        wait = target.wait.total_seconds()
        suppressed = held_until > moment
        due = held_until if suppressed else moment + wait
        name = f"{incident.id}-{target.channel}-{message.kind}"
        self._connection.execute(
            "INSERT OR IGNORE INTO messages (id, incident, key, channel, kind, body, created, due, "
            "suppressed, pack, wait, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')",
            (
                *(name, incident.id, incident.key, target.channel, message.kind),
                *(message.to_json(), moment, due, suppressed, target.pack, wait),
            ),
        )

    def _new_batch(self, row: sqlite3.Row) -> str:
        """Put a message, and the due ones of its pack, into one batch, named by its id."""
        batch: str = row["id"]
        self._connection.execute("UPDATE messages SET batch = ? WHERE id = ?", (batch, batch))
        self._connection.execute(
            f"UPDATE messages SET batch = ? WHERE id IN (SELECT id FROM messages WHERE {_READY} "
            "AND batch IS NULL AND channel = ? AND kind = ? AND pack = ? AND NOT suppressed "
            "ORDER BY created, rowid LIMIT ?)",
            (batch, row["channel"], row["kind"], row["pack"], _MAX_BATCH - 1),
        )
        return batch


# Messages about one asset and condition go out in order: the end never before the beginning, and no
# late end after the next beginning.
_READY = (
    "state = 'pending' AND NOT EXISTS (SELECT 1 FROM messages AS earlier "
    "WHERE earlier.key = messages.key AND earlier.channel = messages.channel "
    "AND earlier.state = 'pending' AND earlier.rowid < messages.rowid)"
)


def backoff(failures: int) -> float:
    """Seconds until the next try: doubles from 15 s to half an hour, with a quarter of jitter."""
    wait = min(_FIRST_RETRY * 2.0 ** min(failures, 20), _LONGEST_RETRY)
    return wait * random.uniform(0.75, 1.0)  # noqa: S311  spreads load, guards nothing
