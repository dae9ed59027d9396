"""Quoted SQL text, and DuckDB connections that spill to disk."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import duckdb

from feature_platform.core.windows import Window

# DuckDB spills beyond this, so that memory does not grow with the size of a source.
_MEMORY_LIMIT = "384MB"


@contextmanager
def spilling_connection(
    memory_limit: str = _MEMORY_LIMIT,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB in UTC that spills to a temporary folder beyond `memory_limit`."""
    with tempfile.TemporaryDirectory(prefix="feature-platform-") as spill:
        connection = duckdb.connect(":memory:")
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET memory_limit = {literal(memory_limit)}")
            connection.execute(f"SET temp_directory = {literal(spill)}")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET enable_progress_bar = false")
            yield connection
        finally:
            connection.close()


def record_batches(connection: duckdb.DuckDBPyConnection, sql: str, rows: int) -> Any:
    """A ``pyarrow.RecordBatchReader`` over a query's result."""
    result = connection.sql(sql)
    # DuckDB 2 renamed it, and the old name warns.
    stream = getattr(result, "to_arrow_reader", None) or result.fetch_record_batch
    return stream(rows)


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as a quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def instant(moment: datetime) -> str:
    """An aware datetime as a SQL literal of TIMESTAMP WITH TIME ZONE."""
    return f"TIMESTAMPTZ {literal(moment.isoformat())}"


def inside(column: str, windows: Sequence[Window]) -> str:
    """SQL condition: the time in `column` lies in one of the windows."""
    name = identifier(column)
    ranges = [f"({name} >= {instant(w.start)} AND {name} < {instant(w.end)})" for w in windows]
    return "(" + " OR ".join(ranges or ["false"]) + ")"
