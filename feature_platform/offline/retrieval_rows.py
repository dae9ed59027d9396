"""The entity rows of a retrieval: a data frame, the result of SQL, or all keys in a range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.sql import identifier, literal, spilling_connection
from feature_platform.core.times import EPOCH
from feature_platform.errors import SourceError, first_line
from feature_platform.offline.source_table import Reading, SourceTable
from feature_platform.offline.ticks import MISSING, Moments, moments_of, unit_of

if TYPE_CHECKING:
    import pandas as pd
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

EVENT_TIMESTAMP = "event_timestamp"
"""The time column of entity rows, unless they have exactly one column of times."""


@dataclass(frozen=True)
class EntityRows:
    """The rows that features are retrieved for.

    Attributes:
        table: The columns as given; the time is in UTC.
        timestamp: The column with the time.
        moments: The times.
    """

    table: pa.Table
    timestamp: str
    moments: Moments

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first and the last time; the start of 1970 if there is no row."""
        times = self.table.column(self.timestamp).cast(pa.timestamp("us", "UTC"), safe=False)
        found = pc.min_max(times)
        low, high = found["min"].as_py(), found["max"].as_py()
        return (low or EPOCH, high or EPOCH)


def entity_rows(given: "pd.DataFrame | pa.Table", origin: str = "entity frame") -> EntityRows:
    """The rows of a data frame.

    The time is the column `event_timestamp`, else the only column of times. Times without a zone
    are UTC; text is read as ISO 8601.

    Raises:
        SourceError: It has no time, two columns of one name, or a column with mixed types.
    """
    if not isinstance(given, pa.Table):
        given = _arrow(given, origin)
    _require_names(given.column_names, origin)
    timestamp = _timestamp(given, origin)
    times = given.column(timestamp)
    subject = f"{origin}: column '{timestamp}'"
    moments = moments_of(times, subject)
    if pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp(times.type.unit)).cast(pa.timestamp(times.type.unit, "UTC"))
    else:
        aware = pa.array(moments.micros, mask=moments.micros == MISSING)
        times = pa.chunked_array([aware.cast(pa.timestamp("us", "UTC"))])
    place = given.column_names.index(timestamp)
    return EntityRows(given.set_column(place, timestamp, times), timestamp, moments)


def entity_rows_of_sql(
    sql: str, config: "RepoConfig", sources: Mapping[str, "DataSource"], memory_limit: str
) -> EntityRows:
    """The rows that a DuckDB query returns.

    Args:
        sql: May name batch sources of the registry as tables, and read files by paths that are
            relative to the repo.
        config: The repo's configuration.
        sources: Batch sources by name.
        memory_limit: DuckDB's.

    Raises:
        SourceError: The query fails, or its result has no time.
    """
    import duckdb

    with spilling_connection(memory_limit) as connection:
        connection.execute("SET preserve_insertion_order = true")
        if config.repo_path is not None:
            connection.execute(f"SET file_search_path = {literal(str(config.repo_path))}")
        for name in _tables_of(sql) & sources.keys():
            _register(connection, config, name, sources[name])
        try:
            result = connection.sql(sql)
            table = result.to_arrow_table() if result is not None else None
        except duckdb.Error as error:
            raise SourceError(
                "entity rows of SQL",
                f"the query fails ({first_line(error)})",
                "correct it; it is DuckDB SQL, and its tables are batch sources or files",
            ) from error
    if table is None:
        raise SourceError("entity rows of SQL", "it returns nothing", "give one SELECT")
    return entity_rows(table, "entity rows of SQL")


@dataclass(frozen=True)
class RangeOf:
    """A view whose keys in a range of time become entity rows.

    Attributes:
        source: Its batch source, open.
        keys: Columns of the source to join keys.
        time: Its event time column.
    """

    source: SourceTable
    keys: tuple[tuple[str, str], ...]
    time: str


def entity_rows_of_range(
    views: Sequence[RangeOf], start: datetime, end: datetime, batch_rows: int = 262_144
) -> EntityRows:
    """The distinct (join keys, event time) in a range, both ends included.

    Keys that a view does not have are null in the rows that come only from it.

    Raises:
        SourceError: A source cannot be read.
    """
    names = list(dict.fromkeys(name for view in views for _, name in view.keys))
    found = [
        table
        for view in views
        for table in _in_range(view, start, end, batch_rows)
        if table.num_rows
    ]
    kinds = {
        name: view.source.schema.field(column).type for view in views for column, name in view.keys
    }
    empty = pa.schema(
        [*((name, kinds[name]) for name in names), (EVENT_TIMESTAMP, pa.timestamp("us", "UTC"))]
    )
    if not found:
        return entity_rows(empty.empty_table(), "range")
    rows = _distinct(pa.concat_tables(found, promote_options="permissive").select(empty.names))
    order = [(EVENT_TIMESTAMP, "ascending"), *((name, "ascending") for name in names)]
    return entity_rows(rows.sort_by(order), "range")


def _in_range(view: RangeOf, start: datetime, end: datetime, batch_rows: int) -> list[pa.Table]:
    columns = [column for column, _ in view.keys]
    view.source.require([*columns, view.time])
    kind = pa.timestamp(unit_of(view.source.schema.field(view.time).type), "UTC")
    tables = []
    for batch, time in view.source.read_between(view.time, columns, start, end, batch_rows):
        arrays = {name: batch.column(column) for column, name in view.keys}
        arrays[EVENT_TIMESTAMP] = pa.array(time).cast(kind)
        tables.append(_distinct(pa.table(arrays).drop_null()))
    return tables


def _distinct(table: pa.Table) -> pa.Table:
    return table.group_by(table.column_names).aggregate([])


def _arrow(frame: Any, origin: str) -> pa.Table:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise SourceError(
            origin,
            f"is a {type(frame).__name__}",
            "give a pandas DataFrame, or SQL as text",
        )
    frame = frame.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    _require_names(list(frame.columns), origin)
    name = EVENT_TIMESTAMP
    if name in frame.columns and frame[name].dtype == object:
        try:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
        except (ValueError, TypeError, OverflowError) as error:
            raise SourceError(
                f"{origin}: column '{name}'",
                f"does not hold times ({first_line(error)})",
                "give datetimes, or text in ISO 8601",
            ) from error
    try:
        return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SourceError(
            origin,
            f"has a column of mixed types ({' '.join(map(str, error.args))})",
            "give each column values of one type",
        ) from error


def _require_names(names: list[str], origin: str) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SourceError(origin, f"has two columns '{twice[0]}'", "rename one of them")


def _timestamp(table: pa.Table, origin: str) -> str:
    if EVENT_TIMESTAMP in table.column_names:
        return EVENT_TIMESTAMP
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        held = f"columns of times: {', '.join(times)}" if times else "no column of times"
        raise SourceError(
            origin,
            f"has no column '{EVENT_TIMESTAMP}' and {held} (it has "
            f"{', '.join(table.column_names) or 'no column'})",
            f"name the time that features are wanted for '{EVENT_TIMESTAMP}'",
        )
    return str(times[0])


def _tables_of(sql: str) -> set[str]:
    import sqlglot
    from sqlglot import exp

    try:
        trees = [tree for tree in sqlglot.parse(sql, read="duckdb") if tree is not None]
    except sqlglot.errors.SqlglotError:
        return set()  # DuckDB's own error is better
    return {table.name for tree in trees for table in tree.find_all(exp.Table)}


def _register(connection: Any, config: "RepoConfig", name: str, source: "DataSource") -> None:
    """Make a batch source a table of that name."""
    from feature_platform.offline.source_open import open_source
    from feature_platform.sources.files.parquet_files import parquet_files
    from feature_platform.sources.source_columns import parquet_source

    parquet = parquet_source(source)
    if parquet is None:
        table = open_source(config, source)
        rows = table.fetch(np.arange(table.rows), table.schema.names, Reading())
        connection.register(name, rows)
        return
    origin = parquet_files(config, parquet).duckdb_rows(connection, f"files of {name}")
    connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS SELECT * FROM {origin}")
