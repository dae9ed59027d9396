"""What a history of a source and its materializations must leave online, by brute force."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from feature_platform.core.windows import Window, merge, missing

FEATURES = ("amount", "visits", "city")
CELLS = 4
"""Windows begin and end where one of these does."""
MOMENTS = 4 * CELLS


@dataclass(frozen=True)
class Calendar:
    """Numbers as times, so that a history reads and replays as numbers.

    Attributes:
        start: Where the first cell begins.
        cell: How long one is.
    """

    start: datetime
    cell: timedelta

    def border(self, number: int) -> datetime:
        return self.start + number * self.cell

    def moment(self, number: int) -> datetime:
        """Four a cell: its begin, two that are a microsecond apart, and its very end."""
        cell, place = divmod(number, 4)
        tick = timedelta(microseconds=1)
        offsets = (timedelta(0), self.cell * 0.4, self.cell * 0.4 + tick, self.cell - tick)
        return self.border(cell) + offsets[place]

    def after_all(self, number: int) -> datetime:
        """Later than every cell, and later than those of smaller numbers."""
        return self.border(CELLS) + timedelta(seconds=number)

    def window(self, first: int, last: int) -> Window:
        return Window(self.border(first), self.border(last))

    def cells(self) -> list[Window]:
        return [self.window(number, number + 1) for number in range(CELLS)]


@dataclass(frozen=True)
class Shape:
    """One of the feature views of a history's repo.

    Attributes:
        name: Of the view.
        keys: Columns of its key.
        has_created: Whether its source has created times.
        streamed: Whether a stream feeds it too.
        expires: Whether it has a TTL.
    """

    name: str
    keys: tuple[str, ...] = ("user_id",)
    has_created: bool = True
    streamed: bool = False
    expires: bool = False


SHAPES = (
    Shape("plain"),
    Shape("without_created", has_created=False),
    Shape("expiring", expires=True),
    Shape("paired", ("user_id", "shop")),
    Shape("keyless", ()),
    Shape("streamed", streamed=True),
    Shape("streamed_without_created", has_created=False, streamed=True),
)


@dataclass(frozen=True)
class Fact:
    """One source row, in numbers; see `Calendar`."""

    user: int | None
    shop: str | None
    moment: int
    created: int | None
    amount: int | None = None
    visits: int | None = None
    city: str | None = None
    at: datetime | None = None

    def row(self, calendar: Calendar) -> dict[str, Any]:
        created = None if self.created is None else calendar.border(CELLS + self.created)
        return {
            "user_id": self.user,
            "shop": self.shop,
            "event_timestamp": self.at or calendar.moment(self.moment),
            "created": created,
            "amount": None if self.amount is None else float(self.amount),
            "visits": self.visits,
            "city": self.city,
        }


Row = dict[str, Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Left:
    """A version of the view that is materialized no more.

    Attributes:
        rows: What is online of it; None where that depends on what was due.
        windows: From which windows that may be.
    """

    rows: dict[Key, Row] | None
    windows: list[Window]


@dataclass
class Oracle:
    """Rows, windows, and what has changed since the windows were read.

    Attributes:
        shape: The view.
        calendar: What the facts' numbers mean.
        fresh: From when on rows are served; None where they do not expire.
        stored: An event time as exactly as the online store keeps it.
        compares_created: Whether the online store compares created times.
        left: Versions of the view, each with an online table of its own.
    """

    shape: Shape
    calendar: Calendar
    fresh: datetime | None
    stored: Callable[[datetime], datetime]
    compares_created: bool
    facts: list[Fact] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    changed: set[datetime] = field(default_factory=set)
    owed: list[Window] = field(default_factory=list)
    has_lost_rows: bool = False
    streamed: dict[Key, Row] = field(default_factory=dict)
    left: dict[int, Left] = field(default_factory=dict)

    def add(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self.facts.append(fact)
            self.changed.add(fact.row(self.calendar)["event_timestamp"])

    def remove(self, gone: Iterable[Fact]) -> None:
        for fact in gone:
            self.facts.remove(fact)
            self.changed.add(fact.row(self.calendar)["event_timestamp"])
            self.has_lost_rows = True

    def correct(self, fact: Fact, **values: Any) -> None:
        self.remove([fact])
        self.add([replace(fact, **values)])

    def materialized(self, window: Window) -> None:
        """The window was put online as the source is now."""
        self.windows = merge([*self.windows, window])
        self.changed = {moment for moment in self.changed if moment not in window}
        self.owed = missing(self.owed, [window])
        if self.shape.streamed:
            for row in self._latest([window]).values():
                self.pushed(row)

    def pushed(self, row: Row) -> None:
        """A row came that goes in if it is not older than what is there."""
        key = self._key(row)
        there = self.streamed.get(key)
        if there is None or self._age(row) >= self._age(there):
            self.streamed[key] = row

    def emptied(self) -> None:
        """The online store was lost, and built again from all windows as the source is now."""
        self.changed = {m for m in self.changed if not any(m in each for each in self.windows)}
        self.owed = []
        self.has_lost_rows = False

    def moved(self, old: int, new: int) -> None:
        """The view went to another version: nothing of that is recorded, nor of the old one.

        What its table holds is what it held when it was left. That nobody knows from which windows
        is made good when those are run again.
        """
        rows = None if self.due() else dict(self.online())
        self.left[old] = Left(rows, merge([*self.windows, *self.owed]))
        found = self.left.pop(new, Left({}, []))
        self.windows = []
        self.owed = [] if self.shape.streamed else found.windows
        self.streamed = (found.rows or {}) if self.shape.streamed else {}
        self.has_lost_rows = bool(found.windows)

    def online(self) -> dict[Key, Row]:
        """The row that must be online of every key that has one."""
        if self.shape.streamed:
            return self.streamed
        latest = self._latest(self.windows)
        if self.fresh is None:
            return latest
        return {key: row for key, row in latest.items() if row["event_timestamp"] >= self.fresh}

    def due(self) -> list[Window]:
        """What an orchestrator would run again: where rows changed, and what has crashed."""
        dirty = [
            part
            for cell in self.calendar.cells()
            if any(moment in cell for moment in self.changed)
            for window in self.windows
            if (part := cell.intersection(window)) is not None
            and any(moment in part for moment in self.changed)
        ]
        return [*dirty, *self.owed]

    def _latest(self, windows: list[Window]) -> dict[Key, Row]:
        best: dict[Key, Row] = {}
        for fact in self.facts:
            row = fact.row(self.calendar)
            key = self._key(row)
            if None in key or not any(row["event_timestamp"] in window for window in windows):
                continue
            if key not in best or self._rank(row) > self._rank(best[key]):
                best[key] = row
        return best

    def _key(self, row: Row) -> Key:
        return tuple(row[name] for name in self.shape.keys)

    def _rank(self, row: Row) -> tuple[Any, ...]:
        """Of two rows the source has, the greater is the one to serve."""
        created = row["created"] if self.shape.has_created else None
        content = tuple(_comparable(row[name]) for name in FEATURES)
        return (row["event_timestamp"], _comparable(created), content)

    def _age(self, row: Row) -> tuple[Any, ...]:
        """What the online store knows of a row's age."""
        counts = self.shape.has_created and self.compares_created
        return (
            self.stored(row["event_timestamp"]),
            _comparable(row["created"] if counts else None),
        )


def _comparable(value: Any) -> tuple[Any, ...]:
    """Nothing is less than anything."""
    return () if value is None else (value,)
