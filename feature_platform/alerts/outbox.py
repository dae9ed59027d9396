"""Messages that wait to be sent, on disk beside the incidents they are about.

A message is written in the transaction that opens or resolves its incident, under an id made of
incident, channel and kind: so it exists once. It leaves the outbox only after its channel took it.
A process that dies between the two sends it again under the same id; a receiver that looks at ids
(the webhook's ``Idempotency-Key``, PagerDuty's dedup key) then hears of it once.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from feature_platform.alerts.incident_ledger import Ledger
from feature_platform.alerts.messages.incidents import Incident
from feature_platform.alerts.messages.message import Message, MessageKind
from feature_platform.alerts.routes import Target

_FIRST_RETRY = 15.0
_LONGEST_RETRY = 1800.0
# No retry is further off: what says so is from a clock that ran ahead and was put right.
_AHEAD = 2 * _LONGEST_RETRY
# Messages in one delivery: past that a page of chat is not read.
_MAX_BATCH = 50
_SENT = "sent/"


@dataclass(frozen=True)
class Delivery:
    """What a channel sends at once.

    Attributes:
        id: The same whenever it is tried again.
        channel: The channel's name.
        kind: ``open`` or ``resolve``.
        messages: One; several where the route groups them.
        attempts: How often it was tried before.
    """

    id: str
    channel: str
    kind: MessageKind
    messages: tuple[Message, ...]
    attempts: int


@dataclass(frozen=True)
class OutboxState:
    """How much waits.

    Attributes:
        pending: Messages that are not out yet, by channel.
        sent: Messages that are, by channel and kind.
        failing: Channels that do not take messages now, with why.
    """

    pending: dict[str, int]
    sent: dict[tuple[str, str], int]
    failing: dict[str, str]


class Outbox:
    """The messages in a ledger's file."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._connection = ledger.connection

    def announce(self, incident: Incident, message: Message, target: Target, now: datetime) -> bool:
        """Write the opening message for one channel; False where it has one already.

        Within the route's suppression interval after the last one about the same asset and
        condition it is held back until the interval ends, and dropped if the incident ends before.
        """
        held_until, moment = 0.0, now.timestamp()
        if target.suppress:
            row = self._connection.execute(
                "SELECT MAX(created) AS at FROM messages WHERE key = ? AND channel = ? "
                "AND kind = 'open' AND state != 'cancelled' AND incident != ?",
                (incident.key, target.channel, incident.id),
            ).fetchone()
            if row["at"] is not None:
                # No later than now, should it be from a clock that ran ahead.
                held_until = min(row["at"], moment) + target.suppress.total_seconds()
        suppressed = held_until > moment
        return self._add(
            incident,
            message,
            target.channel,
            created=moment,
            due=held_until if suppressed else moment + target.wait.total_seconds(),
            suppressed=suppressed,
            pack=target.pack,
            wait=target.wait.total_seconds(),
        )

    def conclude(self, incident: Incident, message: Message, now: datetime) -> None:
        """Write the resolving message for every channel that was told; the others never hear."""
        moment = now.timestamp()
        self._connection.execute(
            "UPDATE messages SET state = 'cancelled' WHERE incident = ? AND kind = 'open' "
            "AND state = 'pending' AND suppressed AND attempts = 0 AND due > ?",
            (incident.id, moment),
        )
        rows = self._connection.execute(
            "SELECT channel, pack, wait FROM messages "
            "WHERE incident = ? AND kind = 'open' AND state != 'cancelled'",
            (incident.id,),
        ).fetchall()
        for row in rows:
            self._add(
                incident,
                message,
                row["channel"],
                created=moment,
                due=moment + row["wait"],
                suppressed=False,
                pack=row["pack"],
                wait=row["wait"],
            )

    def channels_due(self, now: datetime) -> list[str]:
        """Channels that have something to send, and are not waiting after a failure."""
        moment = now.timestamp()
        rows = self._connection.execute(
            "SELECT DISTINCT messages.channel FROM messages "
            "LEFT JOIN channels ON channels.name = messages.channel "
            "WHERE messages.state = 'pending' AND (messages.due <= ? OR messages.created > ?) "
            "AND (COALESCE(channels.retry_at, 0) <= ? OR channels.retry_at > ?) ORDER BY 1",
            (moment, moment + _AHEAD, moment, moment + _AHEAD),
        )
        return [row["channel"] for row in rows]

    def next_delivery(self, channel: str, now: datetime) -> Delivery | None:
        """The oldest thing a channel is to send now, noted as tried; None where there is none.

        What belongs together is fixed when it is first taken, so that a second try sends the same.
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
            batch = row["batch"] or row["id"]
            if row["batch"] is None:
                self._fill(batch, row)
            members = self._connection.execute(
                "SELECT * FROM messages WHERE batch = ? ORDER BY created, rowid", (batch,)
            ).fetchall()
            # Noted before it is sent: a channel that kills its process does not do so in a loop.
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
        """The channel took it."""
        with self._ledger.transaction():
            self._connection.execute(
                "UPDATE messages SET state = 'sent', sent_at = ?, error = NULL WHERE batch = ?",
                (now.timestamp(), delivery.id),
            )
            # Counted apart, since messages are forgotten in the end and a counter never falls.
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
        """The channel did not take it; it is tried again.

        Args:
            delivery: What was sent.
            why: The reason, without secrets.
            now: When.
            outage: Whether the channel takes nothing at all now, rather than just not this.
            after: When the channel asked to be tried again.
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
                "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?)",
                (delivery.channel, failures + 1, moment + min(wait, _LONGEST_RETRY), why),
            )
            # The channel's own wait decides when; the message shall not wait longer still.
            self._connection.execute(
                "UPDATE messages SET error = ?, retry_at = ? WHERE batch = ?",
                (why, moment, delivery.id),
            )

    def state(self) -> OutboxState:
        """How much waits, and for what."""
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
        channel: str,
        *,
        created: float,
        due: float,
        suppressed: bool,
        pack: str | None,
        wait: float,
    ) -> bool:
        added = self._connection.execute(
            "INSERT OR IGNORE INTO messages (id, incident, key, channel, kind, body, created, due, "
            "suppressed, pack, wait, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')",
            (
                *(f"{incident.id}-{channel}-{message.kind}", incident.id, incident.key, channel),
                *(message.kind, message.to_json(), created, due, suppressed, pack, wait),
            ),
        )
        return added.rowcount == 1

    def _fill(self, batch: str, first: "object") -> None:
        """Put a message, and those that belong with it, into one batch."""
        row: dict[str, object] = dict(first)  # type: ignore[call-overload]  # sqlite3.Row
        self._connection.execute("UPDATE messages SET batch = ? WHERE id = ?", (batch, row["id"]))
        if row["pack"] is None:
            return
        self._connection.execute(
            f"UPDATE messages SET batch = ? WHERE id IN (SELECT id FROM messages WHERE {_READY} "
            "AND batch IS NULL AND channel = ? AND kind = ? AND pack = ? AND NOT suppressed "
            "ORDER BY created, rowid LIMIT ?)",
            (batch, row["channel"], row["kind"], row["pack"], _MAX_BATCH - 1),
        )


# What is said about one asset and condition is said in order: nobody hears that something is over
# before hearing that it began, and no late end closes what has begun again since.
_READY = (
    "state = 'pending' AND NOT EXISTS (SELECT 1 FROM messages AS earlier "
    "WHERE earlier.key = messages.key AND earlier.channel = messages.channel "
    "AND earlier.state = 'pending' AND earlier.rowid < messages.rowid)"
)


def backoff(failures: int) -> float:
    """Seconds until the next try: doubling from 15 s to half an hour, spread by a quarter."""
    wait = min(_FIRST_RETRY * 2.0 ** min(failures, 20), _LONGEST_RETRY)
    return wait * random.uniform(0.75, 1.0)  # noqa: S311  spreads load, guards nothing
