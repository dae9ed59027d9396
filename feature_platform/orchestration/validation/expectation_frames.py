"""The data frame that Great Expectations is shown for a window of a source."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from feature_platform.orchestration.validation.arrow_types import is_instant, unpacked_array

if TYPE_CHECKING:
    import pandas as pd


def expectation_frame(table: pa.Table, contents: Collection[str]) -> "pd.DataFrame":
    """Convert a window to pandas so that its columns compare fast, and null is not NaN.

    Integers and floats have 64 bits, since Great Expectations compares other widths value by
    value. Timestamps are in UTC, in their own unit. A float column with NaN stays an Arrow column,
    since NumPy would turn nulls into NaN.

    Args:
        table: The window.
        contents: The columns whose values are read. The others are null: a million lists as Python
            objects take longer than all expectations.
    """
    import pandas as pd

    columns = {
        name: _comparable(table.column(name)) if name in contents else pa.nulls(table.num_rows)
        for name in table.column_names
    }
    frame: pd.DataFrame = pa.table(columns).to_pandas(coerce_temporal_nanoseconds=False)
    for name, column in columns.items():
        if pt.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
            frame[name] = pd.Series(pd.arrays.ArrowExtensionArray(column), index=frame.index)
    return frame


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = [unpacked_array(chunk) for chunk in column.chunks]
    column = pa.chunked_array(chunks) if chunks else column
    kind = column.type
    if is_instant(kind):
        return _utc(column)
    if pt.is_integer(kind):
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            return column  # beyond Int64: compared value by value
    return column.cast(pa.float64()) if pt.is_floating(kind) else column


def _utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pt.is_date32(kind):
        column = column.cast(pa.timestamp("s"))
    elif pt.is_date64(kind):
        column = column.cast(pa.timestamp("ms"))
    return column.cast(pa.timestamp(column.type.unit, "UTC"))
