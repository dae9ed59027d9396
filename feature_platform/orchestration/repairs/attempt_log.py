"""How often each window was tried: what keeps a repair from starting over and over.

It is the cursor of a sensor, so Dagster stores it with the tick that started the runs. It holds the
windows that are wrong now and nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

# Ten minutes become a week; longer waits mend nothing.
_DOUBLINGS = 10


@dataclass(frozen=True)
class Try:
    """What was tried for one window.

    Attributes:
        token: What the window was to hold; another token starts over.
        count: How often.
        at: When last, seconds since 1970.
        gave_up: Whether it was said that no more is tried.
    """

    token: str
    count: int
    at: int
    gave_up: bool = False


@dataclass(frozen=True)
class Sorted:
    """Windows that are wrong, by what is to be done about them.

    Attributes:
        ready: To be tried now.
        waiting: To be tried later.
        spent: Tried as often as allowed, and nobody was told yet.
        given_up: Tried as often as allowed; people know.
    """

    ready: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    spent: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


@dataclass
class Ledger:
    """Tries by view (or source) and partition key; `position` and `known` are the sensor's own.

    `serial` is part of run keys: what is wrong, was mended, and is wrong again in the same way is
    another run, and Dagster starts no run under a key that it has seen.
    """

    tries: dict[str, dict[str, Try]] = field(default_factory=dict)
    position: str = ""
    known: dict[str, str] = field(default_factory=dict)
    serial: int = 0

    @classmethod
    def read(cls, cursor: str | None) -> "Ledger":
        """From a cursor; what is not one of ours starts empty."""
        try:
            said = json.loads(cursor or "{}")
            tries = {
                name: {key: Try(*each) for key, each in windows.items()}
                for name, windows in said.get("tries", {}).items()
            }
            position, known = str(said.get("position", "")), dict(said.get("known", {}))
            return cls(tries, position, known, int(said.get("serial", 0)))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def write(self) -> str:
        """As a cursor."""
        tries = {
            name: {
                key: [each.token, each.count, each.at, *([True] if each.gave_up else [])]
                for key, each in windows.items()
            }
            for name, windows in self.tries.items()
            if windows
        }
        said = {
            "tries": tries,
            "position": self.position,
            "known": self.known,
            "serial": self.serial,
        }
        return json.dumps({key: value for key, value in said.items() if value})

    def sort(
        self, name: str, wrong: Mapping[str, str], now: datetime, *, tries: int, wait: timedelta
    ) -> Sorted:
        """What to do about the windows of a view that are wrong now; the others are forgotten.

        Args:
            name: The view.
            wrong: Partition key to token.
            now: The moment.
            tries: How often a window is tried.
            wait: Before the second try; doubled before each further one.
        """
        kept = {key: each for key, each in self.tries.get(name, {}).items() if key in wrong}
        self.tries[name] = kept
        found: dict[str, list[str]] = {"ready": [], "waiting": [], "spent": [], "given_up": []}
        for key, token in wrong.items():
            before = kept.get(key)
            if before is None or before.token != token:
                found["ready"].append(key)
                continue
            pause = wait * 2 ** min(before.count - 1, _DOUBLINGS)
            # A try from a clock that ran ahead, and was put right, is not waited for till then.
            early = abs(now - datetime.fromtimestamp(before.at, UTC)) < pause
            if before.gave_up:
                found["given_up"].append(key)
            elif early:
                found["waiting"].append(key)
            elif before.count >= tries:
                found["spent"].append(key)
            else:
                found["ready"].append(key)
        return Sorted(**{kind: tuple(keys) for kind, keys in found.items()})

    def next_serial(self, now: datetime) -> int:
        """A number for the runs that are asked for now.

        The same from the same cursor, so that two daemons ask for one run; another after a reset.
        """
        self.serial = self.serial + 1 if self.serial else int(now.timestamp()) // 60
        return self.serial

    def tried(self, name: str, tokens: Mapping[str, str], now: datetime) -> None:
        """Put on record that a run was started for windows."""
        windows = self.tries.setdefault(name, {})
        for key, token in tokens.items():
            before = windows.get(key)
            count = before.count if before and before.token == token else 0
            windows[key] = Try(token, count + 1, int(now.timestamp()))

    def gave_up(self, name: str, keys: "tuple[str, ...]") -> None:
        """Put on record that people were told."""
        for key in keys:
            before = self.tries[name][key]
            self.tries[name][key] = Try(before.token, before.count, before.at, gave_up=True)

    def last(self, name: str, key: str) -> int:
        """When a window that is wrong was last tried, whatever for; 0 where it never was."""
        before = self.tries.get(name, {}).get(key)
        return before.at if before else 0

    def count(self, name: str, key: str, token: str) -> int:
        """How often a window was tried for that token."""
        before = self.tries.get(name, {}).get(key)
        return before.count if before and before.token == token else 0
