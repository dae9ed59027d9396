"""The state of alerts on disk: one SQLite file that survives restarts.

What one reading of the event log brings (bad scopes, the incidents that follow, their messages, and
how far was read) is one transaction. A process that dies stores all of it or nothing, and then
reads again.
"""

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from feature_platform.alerts.messages.incidents import (
    WHOLE,
    Condition,
    Evidence,
    Finding,
    Incident,
    Severity,
    incident_id,
    utc,
    worst,
)
from feature_platform.errors import AlertError

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS positions (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS scopes (
    asset TEXT NOT NULL, condition TEXT NOT NULL, scope TEXT NOT NULL,
    event INTEGER NOT NULL, bad INTEGER NOT NULL,
    PRIMARY KEY (asset, condition, scope)
);
CREATE INDEX IF NOT EXISTS scopes_bad ON scopes (bad, condition);
CREATE TABLE IF NOT EXISTS cleared (
    asset TEXT NOT NULL, condition TEXT NOT NULL, event INTEGER NOT NULL,
    PRIMARY KEY (asset, condition)
);
CREATE TABLE IF NOT EXISTS incidents (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, asset TEXT NOT NULL, condition TEXT NOT NULL,
    severity TEXT NOT NULL, opened_at REAL NOT NULL, resolved_at REAL,
    scopes TEXT NOT NULL, evidence TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_open ON incidents (key) WHERE resolved_at IS NULL;
CREATE INDEX IF NOT EXISTS incidents_resolved ON incidents (resolved_at);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, incident TEXT NOT NULL REFERENCES incidents (id), key TEXT NOT NULL,
    channel TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    created REAL NOT NULL, due REAL NOT NULL, suppressed INTEGER NOT NULL,
    pack TEXT, wait REAL NOT NULL, batch TEXT,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    retry_at REAL NOT NULL DEFAULT 0, error TEXT, sent_at REAL
);
CREATE INDEX IF NOT EXISTS messages_pending ON messages (state, channel, due);
CREATE INDEX IF NOT EXISTS messages_key ON messages (key, channel, kind, created);
CREATE INDEX IF NOT EXISTS messages_incident ON messages (incident);
CREATE TABLE IF NOT EXISTS channels (
    name TEXT PRIMARY KEY, failures INTEGER NOT NULL, retry_at REAL NOT NULL, error TEXT,
    since REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS deployment (name TEXT NOT NULL);
"""
# Up to version 1 no channel waited for longer than half an hour.
_FROM_1 = """
ALTER TABLE channels ADD COLUMN since REAL NOT NULL DEFAULT 0;
UPDATE channels SET since = retry_at - 1800;
"""


@contextmanager
def open_ledger(path: Path) -> Iterator["IncidentLedger"]:
    """Open the file; create it if it does not exist.

    Raises:
        AlertError: It cannot be made or read, or was written by a newer version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Other users of this machine must not read owners and feature values.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        with closing(connection):
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _prepare(connection, path)
            yield IncidentLedger(connection)
    except (OSError, sqlite3.DatabaseError) as error:
        raise AlertError(
            f"alert state {path}",
            f"it cannot be used ({type(error).__name__}: {error})",
            "free space if the disk is full, or make the folder writable; a damaged file may be "
            "moved away: messages about what is wrong now are then sent again",
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise AlertError(
            f"alert state {path}",
            f"was written by a newer version (format {version}, this one reads {_VERSION})",
            "upgrade feature-platform, or give this version another file with 'state:'",
        )
    if version == _VERSION:
        return
    ledger = IncidentLedger(connection)
    with ledger.transaction():  # another process may be about to do the same
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        script = f"{_FROM_1 if version == 1 else ''}{_SCHEMA} PRAGMA user_version = {_VERSION}"
        for statement in script.split(";") if version < _VERSION else ():
            connection.execute(statement)


class IncidentLedger:
    """The state in an open file; see `open_ledger`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that is written inside, or roll all of it back."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def position(self, name: str) -> int | None:
        """How far something was read; None before the first reading."""
        row = self.connection.execute(
            "SELECT value FROM positions WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else int(row["value"])

    def move(self, name: str, value: int) -> None:
        """Store how far something was read."""
        self.connection.execute(
            "INSERT INTO positions VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def deployment(self) -> str:
        """A name of this file, made up once, which no other has."""
        row = self.connection.execute("SELECT name FROM deployment").fetchone()
        if row is not None:
            return str(row["name"])
        name = secrets.token_hex(6)
        self.connection.execute("INSERT INTO deployment VALUES (?)", (name,))
        return name

    def apply(self, finding: Finding) -> tuple[Incident | None, Incident | None]:
        """Store a finding; the same finding a second time changes nothing.

        Returns:
            The incident as it was open before, and as it is now. The first is None if this opened
            it, the second has `resolved_at` if this resolved it, both are None without an incident.
        """
        before = self._open(finding.key)
        if not self._mark(finding):
            return before, before
        bad = self._bad_scopes(finding)
        if not bad:
            if before is None:
                return None, None
            self.connection.execute(
                "UPDATE incidents SET resolved_at = ? WHERE id = ?",
                (finding.at.timestamp(), before.id),
            )
            return before, self.incident(before.id)
        evidence = json.dumps(asdict(finding.evidence))
        if before is None:
            new = incident_id(finding)
            added = self.connection.execute(
                "INSERT OR IGNORE INTO incidents VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?)",
                (
                    *(new, finding.key, finding.asset, str(finding.condition)),
                    *(finding.severity, finding.at.timestamp(), json.dumps(bad), evidence),
                ),
            )
            # Messages about one that is stored already have been written, with its end.
            return None, self.incident(new) if added.rowcount else None
        self.connection.execute(
            "UPDATE incidents SET scopes = ? WHERE id = ?", (json.dumps(bad), before.id)
        )
        if finding.bad:
            self.connection.execute(
                "UPDATE incidents SET evidence = ?, severity = ? WHERE id = ?",
                (evidence, worst(before.severity, finding.severity), before.id),
            )
        return before, self.incident(before.id)

    def incident(self, name: str) -> Incident:
        """An incident by its id."""
        row = self.connection.execute("SELECT * FROM incidents WHERE id = ?", (name,)).fetchone()
        return _incident(row)

    def open_incidents(self) -> list[Incident]:
        """The open incidents, oldest first."""
        rows = self.connection.execute(
            "SELECT * FROM incidents WHERE resolved_at IS NULL ORDER BY opened_at, id"
        )
        return [_incident(row) for row in rows]

    def is_open(self, key: str) -> bool:
        """Whether an incident of this key is open."""
        return self._open(key) is not None

    def has_open_check(self, assets: tuple[str, ...]) -> bool:
        """Whether a check of one of these assets has an open incident of severity error."""
        marks = ", ".join("?" * len(assets))
        row = self.connection.execute(
            f"SELECT 1 FROM incidents WHERE resolved_at IS NULL AND condition LIKE 'check:%' "
            f"AND severity = 'error' AND asset IN ({marks}) LIMIT 1",
            assets,
        ).fetchone()
        return row is not None

    def bad(self, conditions: tuple[str, ...]) -> Mapping[str, list[tuple[str, str, int]]]:
        """Per asset, the bad scopes of these conditions: condition, scope and event."""
        marks = ", ".join("?" * len(conditions))
        rows = self.connection.execute(
            "SELECT asset, condition, scope, event FROM scopes "
            f"WHERE bad AND condition IN ({marks})",
            conditions,
        )
        found: dict[str, list[tuple[str, str, int]]] = {}
        for asset, *scope in rows:
            found.setdefault(asset, []).append(tuple(scope))
        return found

    def latest(self, condition: str) -> Mapping[str, tuple[int, bool]]:
        """The last finding on each asset as a whole: its event, and whether it was bad."""
        rows = self.connection.execute(
            "SELECT asset, event, bad FROM scopes WHERE condition = ? AND scope = ?",
            (condition, WHOLE),
        )
        return {row["asset"]: (row["event"], bool(row["bad"])) for row in rows}

    def start_over(self, now: datetime) -> list[Incident]:
        """Drop bad scopes and positions, after the event log was started anew.

        Returns:
            The incidents that were open, now resolved.
        """
        found = self.open_incidents()
        self.connection.execute(
            "UPDATE incidents SET resolved_at = ? WHERE resolved_at IS NULL", (now.timestamp(),)
        )
        self.connection.execute("DELETE FROM scopes")
        self.connection.execute("DELETE FROM cleared")
        self.connection.execute("DELETE FROM positions WHERE name NOT LIKE 'sent/%'")
        return [self.incident(incident.id) for incident in found]

    def forget(self, before: datetime, settled: int) -> None:
        """Drop incidents that were resolved `before`, once their messages are sent.

        Drop good scopes of events up to `settled` too, which are not read again.
        """
        old = (
            "SELECT id FROM incidents WHERE resolved_at < ? AND NOT EXISTS (SELECT 1 FROM messages "
            "WHERE messages.incident = incidents.id AND messages.state = 'pending')"
        )
        self.connection.execute(
            f"DELETE FROM messages WHERE incident IN ({old})", (before.timestamp(),)
        )
        self.connection.execute(
            "DELETE FROM incidents WHERE resolved_at < ? AND NOT EXISTS "
            "(SELECT 1 FROM messages WHERE messages.incident = incidents.id)",
            (before.timestamp(),),
        )
        self.connection.execute("DELETE FROM scopes WHERE NOT bad AND event <= ?", (settled,))
        self.connection.execute("DELETE FROM cleared WHERE event <= ?", (settled,))

    def _open(self, key: str) -> Incident | None:
        row = self.connection.execute(
            "SELECT * FROM incidents WHERE key = ? AND resolved_at IS NULL", (key,)
        ).fetchone()
        return None if row is None else _incident(row)

    def _mark(self, finding: Finding) -> bool:
        """Store the state of each scope this finding is the newest on; whether there is any."""
        where = (finding.asset, str(finding.condition))
        row = self.connection.execute(
            "SELECT event FROM cleared WHERE asset = ? AND condition = ?", where
        ).fetchone()
        if row is not None and row["event"] >= finding.event:
            return False
        changed = 0
        for scope, bad in finding.scopes.items():
            changed += self.connection.execute(
                "INSERT INTO scopes VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (asset, condition, scope) DO UPDATE "
                "SET event = excluded.event, bad = excluded.bad WHERE event < excluded.event",
                (*where, scope, finding.event, bad),
            ).rowcount
        if finding.clears:
            changed += self.connection.execute(
                "UPDATE scopes SET bad = 0, event = ? "
                "WHERE asset = ? AND condition = ? AND event < ?",
                (finding.event, *where, finding.event),
            ).rowcount
            self.connection.execute(
                "INSERT INTO cleared VALUES (?, ?, ?) ON CONFLICT (asset, condition) "
                "DO UPDATE SET event = excluded.event",
                (*where, finding.event),
            )
        return changed > 0

    def _bad_scopes(self, finding: Finding) -> list[str]:
        rows = self.connection.execute(
            "SELECT scope FROM scopes WHERE asset = ? AND condition = ? AND bad ORDER BY scope",
            (finding.asset, str(finding.condition)),
        )
        return [row["scope"] for row in rows]


def _incident(row: sqlite3.Row) -> Incident:
    severity: Severity = row["severity"]
    return Incident(
        id=row["id"],
        asset=row["asset"],
        condition=Condition.parse(row["condition"]),
        severity=severity,
        opened_at=utc(row["opened_at"]),
        resolved_at=None if row["resolved_at"] is None else utc(row["resolved_at"]),
        scopes=tuple(json.loads(row["scopes"])),
        evidence=Evidence(**json.loads(row["evidence"])),
    )
