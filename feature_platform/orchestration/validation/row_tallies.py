"""One pass over the rows of a window: how many offend each test, and the first of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from feature_platform.orchestration.validation.arrow_types import unpacked_array, unpacked_type
from feature_platform.orchestration.validation.default_checks import RowTest
from feature_platform.orchestration.validation.outcomes import MAX_ROWS


class CheckedRows(Protocol):
    """The rows of one window, which do not change while they are checked."""

    schema: pa.Schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows with all columns."""

    def repeated(self, columns: Sequence[str], most: int) -> tuple[int, pa.Table]:
        """The rows that others equal in some columns, a null being equal to a null.

        Returns:
            Their number, and at most `most` of them with all columns, equal ones side by side.
        """


class RowTally:
    """How many rows offend one test, and the first of them by the columns that identify a row.

    Args:
        column: The column that is tested.
        test: The test.
        order: Columns by which the first rows are chosen, so that it does not matter in which
            order rows come.

    Attributes:
        count: Offending rows.
        rows: The first five of them; None without any.
    """

    def __init__(self, column: str, test: RowTest, order: Sequence[str]) -> None:
        self.test = test
        self.count = 0
        self.rows: pa.Table | None = None
        self._column = column
        self._order = order

    def add(self, batch: pa.RecordBatch) -> None:
        """Test the rows of a batch."""
        found = np.flatnonzero(self.test.test(unpacked_array(batch.column(self._column))))
        if not len(found):
            return
        self.count += len(found)
        offenders = _first(pa.Table.from_batches([batch]), found, self._order)
        if self.rows is not None:
            both = pa.concat_tables([self.rows, offenders])
            offenders = _first(both, np.arange(len(both)), self._order)
        self.rows = offenders


def tally(batches: Iterable[pa.RecordBatch], tallies: Sequence[RowTally]) -> int:
    """Add all batches to all tallies, and count their rows."""
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for each in tallies:
            each.add(batch)
    return rows


def _first(table: pa.Table, places: npt.NDArray[np.int64], order: Sequence[str]) -> pa.Table:
    """The first five of some rows by the columns of `order` whose values can be compared."""
    keys = {
        str(number): pa.chunked_array([unpacked_array(each) for each in table.column(name).chunks])
        for number, name in enumerate(order)
        if name in table.column_names and _is_ordered(table.schema.field(name).type)
    }
    if keys and len(places) > 1:
        sorted_by = [(name, "ascending") for name in keys]
        chosen = pc.sort_indices(pa.table(keys).take(pa.array(places)), sort_keys=sorted_by)
        places = places[chosen.to_numpy()]
    return table.take(pa.array(places[:MAX_ROWS], pa.int64()))


def _is_ordered(kind: pa.DataType) -> bool:
    plain = unpacked_type(kind)
    return not (pt.is_nested(plain) or pt.is_null(plain))
