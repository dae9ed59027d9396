"""Columns as a source stores them: their types, and times of any type as UTC microseconds."""

from collections.abc import Sequence

import duckdb

from feature_platform.core.sql import identifier, literal
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.sources.source_errors import unreadable

_NANOSECONDS = frozenset({"TIMESTAMP_NS", "TIMESTAMPTZ_NS"})


def column_types(connection: duckdb.DuckDBPyConnection, source: str, origin: str) -> dict[str, str]:
    """The columns of whatever can stand after FROM, and their DuckDB types.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {origin}").fetchall()
    except (duckdb.Error, OSError) as error:
        raise unreadable(source, error) from error
    return {str(row[0]): str(row[1]) for row in described}


def normalized(name: str, kind: str, *, is_time: bool) -> str:
    """SQL that selects a column of the type `kind`; times become UTC microseconds.

    Args:
        name: The column.
        kind: Its DuckDB type.
        is_time: Whether it is the event time or the created time, whose values without a zone are
            UTC.
    """
    column = identifier(name)
    if kind in _NANOSECONDS:
        # Truncated, not rounded: rounding up would move a row into the next window.
        nanos = f"epoch_ns({column})"
        micros = f"make_timestamp(({nanos} - (({nanos} % 1000) + 1000) % 1000) // 1000)"
        zone = " AT TIME ZONE 'UTC'" if is_time or kind == "TIMESTAMPTZ_NS" else ""
        return f"({micros}{zone}) AS {column}"
    if is_time and kind != "TIMESTAMP WITH TIME ZONE":
        return f"({column}::TIMESTAMP AT TIME ZONE 'UTC') AS {column}"
    return column


def inside_raw(source: str, name: str, kind: str, windows: Sequence[Window]) -> str:
    """SQL condition: the event time lies in one of the windows.

    It compares the column as it is stored, so that Parquet statistics can skip row groups.

    Raises:
        SourceError: The type `kind` does not hold times.
    """
    column = identifier(name)
    if kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
        cast, form = kind, "%Y-%m-%d %H:%M:%S.%f+00"
    elif kind.startswith("TIMESTAMP") or kind == "DATE":
        cast, form = ("TIMESTAMP" if kind == "DATE" else kind), "%Y-%m-%d %H:%M:%S.%f"
    elif kind == "VARCHAR":
        column, cast, form = f"{column}::TIMESTAMP", "TIMESTAMP", "%Y-%m-%d %H:%M:%S.%f"
    else:
        raise SourceError(
            f"source '{source}'",
            f"its event time column '{name}' is of type {kind}",
            "store it as a timestamp (microseconds, UTC)",
        )
    ranges = []
    for window in windows:
        start, end = (
            f"{literal(moment.strftime(form))}::{cast}" for moment in (window.start, window.end)
        )
        ranges.append(f"({column} >= {start} AND {column} < {end})")
    return " OR ".join(ranges) or "false"
