"""Rows that no window will ever hold, since they have no event time."""

from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from feature_platform.core.sql import identifier, spilling_connection
from feature_platform.errors import SourceError, type_and_line
from feature_platform.sources.source_columns import parquet_source, time_columns
from feature_platform.sources.warehouse import NUMBER, Sums, open_warehouse, warehouse_kind

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RepoConfig


def rows_without_event_time(config: "RepoConfig", source: "DataSource") -> int | None:
    """How many rows of a source have no event time.

    One query in PostgreSQL or BigQuery. Of Parquet the statistics in the footers are enough, where
    they say that a file has none.

    Args:
        config: The repo's configuration.
        source: A batch source.

    Returns:
        The number; None where rows without an event time cannot be asked for: other offline stores
        only give rows by their time.

    Raises:
        SourceError: The table or its event time column is missing or unreadable.
    """
    if kind := warehouse_kind(config, source):
        timestamp, _ = time_columns(source)
        column = f"`{timestamp}`" if kind == "bigquery" else identifier(timestamp)
        rows = (
            f"SELECT 0 AS {NUMBER} FROM {source.get_table_query_string()} AS source_rows "
            f"WHERE {column} IS NULL"
        )
        with open_warehouse(config, source) as warehouse:
            return warehouse.sums(rows, {}).get(0, Sums()).rows
    parquet = parquet_source(source)
    return None if parquet is None else _in_parquet(config, parquet)


def _in_parquet(config: "RepoConfig", source: "FileSource") -> int:
    import pyarrow.dataset as ds
    from pyarrow.fs import LocalFileSystem

    from feature_platform.sources.source_files import parquet_files

    timestamp, _ = time_columns(source)
    filesystem, files, _ = parquet_files(config, source)
    try:
        if not isinstance(filesystem, LocalFileSystem):
            there = ds.dataset(files, filesystem=filesystem, format="parquet")
            return int(there.count_rows(filter=ds.field(timestamp).is_null()))
        with spilling_connection() as connection:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM read_parquet(?, union_by_name = true) "
                f"WHERE {identifier(timestamp)} IS NULL",
                [files],
            ).fetchall()
            return int(count)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise SourceError(
            f"source '{source.name}'",
            f"its event times cannot be read ({type_and_line(error)})",
            "check that every file of it is whole and has the event time column",
        ) from error
