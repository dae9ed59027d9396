"""Batch sources that are Parquet files, read by DuckDB."""

from pathlib import Path
from typing import TYPE_CHECKING

from feature_platform.core.sql import identifier, spilling_connection
from feature_platform.errors import MissingTableError
from feature_platform.sources.files.parquet_files import parquet_files
from feature_platform.sources.raw_columns import column_types
from feature_platform.sources.source_columns import parquet_source, time_columns
from feature_platform.sources.source_errors import require_columns, unreadable
from feature_platform.sources.warehouse import WantedRows, Warehouse

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig


class FileWarehouse(Warehouse):
    """Parquet files, whichever offline store is configured; see `Warehouse`."""

    def holds(self, source: "DataSource") -> bool:
        """Whether it is a file source of Parquet."""
        return parquet_source(source) is not None

    def duckdb_rows(self, connection: "duckdb.DuckDBPyConnection", wanted: WantedRows) -> str:
        """All rows of the files: DuckDB pushes the caller's filter into them."""
        return parquet_files(wanted.config, wanted.source).duckdb_rows(connection)

    def rows_without_event_time(self, config: "RepoConfig", source: "DataSource") -> int:
        """Count them; the footers' statistics suffice for files that have none."""
        import duckdb

        timestamp, _ = time_columns(source)
        with spilling_connection() as connection:
            origin = parquet_files(config, source).duckdb_rows(connection)
            require_columns(source.name, column_types(connection, source.name, origin), [timestamp])
            count = f"SELECT count(*) FROM {origin} WHERE {identifier(timestamp)} IS NULL"
            try:
                ((rows,),) = connection.execute(count).fetchall()
            except (duckdb.Error, OSError) as error:
                raise unreadable(source.name, error) from error
            return int(rows)

    def stamp(
        self,
        config: "RepoConfig",
        source: "DataSource",
        tables: "Sequence[str] | None" = None,
    ) -> list[str] | None:
        """Name, size, time of change and inode of each local file; None for object stores."""
        del tables
        try:
            files = parquet_files(config, source)
        except MissingTableError:
            return []
        if not files.is_local:
            return None
        return [_stat(file) for file in sorted(map(Path, files.paths))]


def _stat(file: Path) -> str:
    found = file.stat()
    return f"{file}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}"
