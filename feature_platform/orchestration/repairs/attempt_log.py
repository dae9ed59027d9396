"""How often a repair of each window was attempted, so that it is not attempted for ever.

The log is a sensor's cursor, so Dagster stores it together with the tick that started the runs. It
holds only windows that are wrong now.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

# Ten minutes doubled ten times are a week, which is long enough.
_DOUBLINGS = 10


@dataclass(frozen=True)
class Attempts:
    """The attempts to repair one window.

    Attributes:
        token: What the window was to hold; attempts for another token do not count.
        count: How many.
        at: When the last one was made, seconds since 1970.
        gave_up: Whether giving up was reported.
    """

    token: str
    count: int
    at: int
    gave_up: bool = False


@dataclass(frozen=True)
class Triage:
    """Wrong windows by what to do about them.

    Attributes:
        ready: Attempt now.
        waiting: Attempt later.
        exhausted: Attempted as often as allowed; to be reported.
        given_up: Attempted as often as allowed, and reported.
    """

    ready: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    exhausted: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


@dataclass
class AttemptLog:
    """Attempts by view (or source) and partition key.

    Attributes:
        attempts: By name and partition key.
        position: Where the sensor goes on; its own.
        known: What the sensor has seen; its own.
        serial: A number in the run keys. Dagster starts no run under a key that it has seen, and a
            window that was repaired may become wrong again in the same way.
    """

    attempts: dict[str, dict[str, Attempts]] = field(default_factory=dict)
    position: str = ""
    known: dict[str, str] = field(default_factory=dict)
    serial: int = 0

    @classmethod
    def read(cls, cursor: str | None) -> "AttemptLog":
        """From a cursor; an empty log if it is not one that `write` made."""
        try:
            stored = json.loads(cursor or "{}")
            attempts = {
                name: {key: Attempts(*each) for key, each in windows.items()}
                for name, windows in stored.get("tries", {}).items()
            }
            position, known = str(stored.get("position", "")), dict(stored.get("known", {}))
            return cls(attempts, position, known, int(stored.get("serial", 0)))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def write(self) -> str:
        """As a cursor."""
        tries = {
            name: {
                key: [each.token, each.count, each.at, *([True] if each.gave_up else [])]
                for key, each in windows.items()
            }
            for name, windows in self.attempts.items()
            if windows
        }
        stored = {
            "tries": tries,
            "position": self.position,
            "known": self.known,
            "serial": self.serial,
        }
        return json.dumps({key: value for key, value in stored.items() if value})

    def triage(
        self, name: str, wrong: Mapping[str, str], now: datetime, *, tries: int, wait: timedelta
    ) -> Triage:
        """Sort the windows of a view that are wrong now, and forget its others.

        Args:
            name: The view.
            wrong: Partition key to token.
            now: The moment.
            tries: How often a window is attempted.
            wait: Before the second attempt; doubled before each further one.
        """
        kept = {key: each for key, each in self.attempts.get(name, {}).items() if key in wrong}
        self.attempts[name] = kept
        found: dict[str, list[str]] = {"ready": [], "waiting": [], "exhausted": [], "given_up": []}
        for key, token in wrong.items():
            before = kept.get(key)
            if before is None or before.token != token:
                found["ready"].append(key)
                continue
            pause = wait * 2 ** min(before.count - 1, _DOUBLINGS)
            # In both directions: the clock may have been ahead at the last attempt.
            early = abs(now - datetime.fromtimestamp(before.at, UTC)) < pause
            if before.gave_up:
                found["given_up"].append(key)
            elif early:
                found["waiting"].append(key)
            elif before.count >= tries:
                found["exhausted"].append(key)
            else:
                found["ready"].append(key)
        return Triage(**{kind: tuple(keys) for kind, keys in found.items()})

    def next_serial(self, now: datetime) -> int:
        """A number for the runs that are requested now.

        It is the same for the same cursor, so that two daemons request one run, and a new one after
        the cursor was reset.
        """
        self.serial = self.serial + 1 if self.serial else int(now.timestamp()) // 60
        return self.serial

    def record_attempt(self, name: str, tokens: Mapping[str, str], now: datetime) -> None:
        """Record that a run was requested for windows, given as partition key to token."""
        windows = self.attempts.setdefault(name, {})
        for key, token in tokens.items():
            windows[key] = Attempts(token, self.count(name, key, token) + 1, int(now.timestamp()))

    def record_gave_up(self, name: str, keys: Sequence[str]) -> None:
        """Record that giving up was reported."""
        for key in keys:
            before = self.attempts[name][key]
            self.attempts[name][key] = Attempts(before.token, before.count, before.at, gave_up=True)

    def last_attempt(self, name: str, key: str) -> int:
        """When a window was last attempted, for any token; seconds since 1970, 0 for never."""
        before = self.attempts.get(name, {}).get(key)
        return before.at if before else 0

    def count(self, name: str, key: str, token: str) -> int:
        """How often a window was attempted for that token."""
        before = self.attempts.get(name, {}).get(key)
        return before.count if before and before.token == token else 0
