"""The newest row of each slot, with ties broken by the content of the rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from feature_platform.core.sql import identifier, spilling_connection
from feature_platform.offline.source_table import Reading, SourceTable
from feature_platform.offline.ticks import MISSING, Ints, ticks, unit_of

# So many ties are collected before they are compared: a later row settles most of them.
_MANY = 4_000_000


@dataclass(frozen=True)
class TieBreak:
    """How to order rows that are equal in their times.

    Attributes:
        source: The source of the rows.
        columns: Compared one after the other; the greater value wins, nulls lose.
        created: Which of them is the created time.
        reading: How much to read at a time.
    """

    source: SourceTable
    columns: tuple[str, ...]
    created: str | None
    reading: Reading


class Newest:
    """For each slot, the row with the greatest (event time, created time) offered so far.

    Ties are broken as in `sources.latest_rows`, so that training gets the rows that are served. The
    order in which rows are offered does not matter.

    Args:
        slots: Number of slots.
        never: Slots that take no row.
        tie_break: Orders rows equal in both times.

    Attributes:
        rows: The row number of each slot; -1 without a row.
        times: Its event time in ticks; `MISSING` without a row.
        created: Its created time in ticks, if created times are offered.
    """

    def __init__(self, slots: int, never: Ints, tie_break: TieBreak) -> None:
        self.rows: Ints = np.full(slots, -1, dtype=np.int64)
        self.times: Ints = np.full(slots, MISSING, dtype=np.int64)
        self.times[never] = np.iinfo(np.int64).max
        self.created: Ints = np.full(slots, MISSING, dtype=np.int64)
        self._tie_break = tie_break
        self._order = list(dict.fromkeys(tie_break.columns))
        self._ties: list[tuple[Ints, Ints, Ints, Ints]] = []
        self._tied = 0

    def offer(self, rows: Ints, slot: Ints, time: Ints, created: Ints | None) -> None:
        """Offer rows: number, slot, event time, and created time if it counts."""
        before = self.times[slot]
        good = np.flatnonzero(time >= before)
        if not len(good):
            return
        if len(good) < len(rows):
            rows, slot, time, before = rows[good], slot[good], time[good], before[good]
            created = created[good] if created is not None else None
        np.maximum.at(self.times, slot, time)
        win = time == self.times[slot]
        rows, slot, newer = rows[win], slot[win], (time > before)[win]
        time = time[win]
        self.rows[slot[newer]] = -1
        if created is not None:
            created = created[win]
            self.created[slot[newer]] = MISSING
            earlier = self.created[slot]
            np.maximum.at(self.created, slot, created)
            win = created == self.created[slot]
            newer = (created > earlier)[win]
            rows, slot, time = rows[win], slot[win], time[win]
            self.rows[slot[newer]] = -1
        free = self.rows[slot] < 0
        self.rows[slot[free]] = rows[free]
        tied = self.rows[slot] != rows
        if tied.any():
            at = slot[tied]
            self._ties.append((rows[tied], at, time[tied], self.created[at]))
            self._tied += len(at)
            if self._tied > _MANY:
                self.settle()

    def settle(self) -> None:
        """Compare the rows that are tied."""
        if not self._ties:
            return
        rows, slot, time, created = (
            np.concatenate(parts) for parts in zip(*self._ties, strict=True)
        )
        self._ties, self._tied = [], 0
        alive = (time == self.times[slot]) & (created == self.created[slot])
        rows, slot = rows[alive], slot[alive]
        if not self._order or not len(rows):
            return
        rows = np.concatenate([rows, self.rows[np.unique(slot)]])
        slot = np.concatenate([slot, np.unique(slot)])
        by_slot = np.argsort(slot, kind="stable")
        rows, slot = rows[by_slot], slot[by_slot]
        start = 0
        while start < len(slot):
            end = min(start + 4 * self._tie_break.reading.batch_rows, len(slot))
            end = int(np.searchsorted(slot, slot[end - 1], side="right"))
            self._compare(rows[start:end], slot[start:end])
            start = end

    def _compare(self, rows: Ints, slot: Ints) -> None:
        tie_break = self._tie_break
        order = np.argsort(rows)
        held = tie_break.source.fetch(rows[order], self._order, tie_break.reading)
        names = [f"c{number}" for number in range(len(self._order))]
        if tie_break.created is not None:
            # Times of any type, text too, are ordered as times; a missing one is before all.
            place = self._order.index(tie_break.created)
            column = held.column(place)
            times = ticks(column, unit_of(column.type), f"source '{tie_break.source.name}'")
            held = held.set_column(place, tie_break.created, pa.array(times))
        table = held.rename_columns(names)
        table = table.append_column("row", pa.array(rows[order]))
        table = table.append_column("slot", pa.array(slot[order]))
        ordered = ", ".join(f"{identifier(name)} DESC NULLS LAST" for name in names)
        with spilling_connection(tie_break.reading.memory_limit) as connection:
            connection.register("tied", table)
            found = connection.execute(
                "SELECT slot, row FROM tied "
                f"QUALIFY row_number() OVER (PARTITION BY slot ORDER BY {ordered}) = 1"
            ).fetchnumpy()
        self.rows[found["slot"]] = found["row"]
