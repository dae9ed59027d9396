"""The rows of a source's windows in DuckDB, wherever the source is stored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from feature_platform.core.sql import record_batches, spilling_connection
from feature_platform.core.windows import Window, merge
from feature_platform.sources.raw_columns import column_types, inside_raw, normalized
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.source_errors import require_columns, unreadable
from feature_platform.sources.warehouse import NewestRows, Snapshot, WantedRows
from feature_platform.sources.warehouses import warehouse_of

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

VIEW = "source_rows"
"""The name of the view or table inside `Relation.connection`."""


@dataclass(frozen=True)
class Relation:
    """The rows of some windows of a source, as `source_rows` of a DuckDB connection.

    Attributes:
        connection: An in-memory DuckDB whose time zone is UTC.
        source: Name of the batch source.
        columns: Source column names and their DuckDB types, in source order.
        timestamp: The event time column; a TIMESTAMP WITH TIME ZONE of microseconds in the view.
        created: The created time column, of the same type, if the source has one.
    """

    connection: duckdb.DuckDBPyConnection
    source: str
    columns: dict[str, str]
    timestamp: str
    created: str | None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL on the view and return all rows of its (small) result.

        Raises:
            SourceError: DuckDB could not read or compute it.
        """
        try:
            return list(self.connection.execute(sql).fetchall())
        except duckdb.Error as error:
            raise unreadable(self.source, error) from error

    def schema(self, sql: str) -> pa.Schema:
        """The Arrow schema of a query's result."""
        return record_batches(self.connection, f"{sql} LIMIT 0", 1).schema

    def batches(self, sql: str, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Run SQL on the view and stream its result.

        Yields:
            Record batches of at most `rows` rows (rounded up to DuckDB's vectors).

        Raises:
            SourceError: DuckDB could not read or compute it.
        """
        try:
            reader = record_batches(self.connection, sql, rows)
            yield from (batch for batch in reader if batch.num_rows)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise unreadable(self.source, error) from error


@contextmanager
def open_relation(
    config: "RepoConfig",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None = None,
    newest: NewestRows | None = None,
    *,
    keep: bool = False,
    snapshot: Snapshot | None = None,
) -> Iterator[Relation]:
    """Open the rows of `source` whose event time lies in one of `windows`.

    Parquet files are read by DuckDB itself, with the filter pushed into them. Everything else comes
    through its warehouse or offline store in parts, and is kept in temporary Parquet files until
    the relation is closed: opening reads all of it once, and memory does not grow with it.

    Args:
        config: The repo's configuration; relative paths start at its repo.
        source: A batch source.
        windows: Half-open windows of event time; they may overlap.
        columns: Source columns that are needed; None means all.
        newest: The rows that suffice, for a warehouse that can choose; all may be there as well.
        keep: Copy the rows of files too, so that all queries read the same; see `open_window`.
        snapshot: Of the source; None reads it as it is now.

    Raises:
        SourceError: The table, a column, or a file of it is missing or unreadable.
    """
    wanted = WantedRows(config, source, merge(windows), columns, newest, snapshot)
    warehouse = warehouse_of(config, source)
    with spilling_connection() as connection:
        origin = warehouse.duckdb_rows(connection, wanted)
        kind = "TABLE" if keep and warehouse.is_read_in_place else "VIEW"
        yield _with_rows(connection, wanted, origin, kind)


def _with_rows(
    connection: duckdb.DuckDBPyConnection, wanted: WantedRows, origin: str, kind: str
) -> Relation:
    source = wanted.source.name
    types = column_types(connection, source, origin)
    timestamp, created = time_columns(wanted.source)
    times = [timestamp, *([created] if created else [])]
    needed = list(types) if wanted.columns is None else wanted.columns
    chosen = list(dict.fromkeys([*needed, *times]))
    require_columns(source, types, chosen)
    selected = [normalized(name, types[name], is_time=name in times) for name in chosen]
    try:
        connection.execute(
            f"CREATE TEMP {kind} {VIEW} AS SELECT {', '.join(selected)} FROM {origin} "
            f"WHERE {inside_raw(source, timestamp, types[timestamp], wanted.windows)}"
        )
    except (duckdb.Error, OSError) as error:
        raise unreadable(source, error) from error
    return Relation(connection, source, {name: types[name] for name in chosen}, timestamp, created)
