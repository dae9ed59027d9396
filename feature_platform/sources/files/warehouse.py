"""Batch sources that are Parquet files, read by DuckDB."""

from pathlib import Path
from typing import TYPE_CHECKING

from feature_platform.core.sql import identifier, literal, spilling_connection
from feature_platform.errors import MissingTableError
from feature_platform.sources.files.parquet_files import local_path, parquet_files
from feature_platform.sources.raw_columns import column_types
from feature_platform.sources.source_columns import parquet_source, time_columns
from feature_platform.sources.source_errors import require_columns, unreadable
from feature_platform.sources.warehouse import WantedRows, Warehouse

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from feast.data_source import DataSource
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RepoConfig


class FileWarehouse(Warehouse):
    """Parquet files, whichever offline store is configured; see `Warehouse`."""

    is_read_in_place = True

    def holds(self, source: "DataSource") -> bool:
        """Whether it is a file source of Parquet."""
        return parquet_source(source) is not None

    def duckdb_rows(self, connection: "duckdb.DuckDBPyConnection", wanted: WantedRows) -> str:
        """All rows of the files: DuckDB pushes the caller's filter into them.

        Local files are read by their pattern: DuckDB then looks for files at each query, so that
        one that is replaced between two queries is no error.
        """
        return _rows(connection, wanted.config, wanted.source)

    def rows_without_event_time(self, config: "RepoConfig", source: "DataSource") -> int:
        """Count them; the footers' statistics suffice for files that have none."""
        import duckdb

        timestamp, _ = time_columns(source)
        with spilling_connection() as connection:
            origin = _rows(connection, config, source)
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
        local = local_path(config, source)
        if local is None:
            return None
        if local.is_dir():
            return [_stat(file) for file in sorted(local.rglob("*.parquet"))]
        pattern = local.relative_to(local.anchor)
        files = [local] if local.exists() else Path(local.anchor).glob(str(pattern))
        return [_stat(file) for file in sorted(files)]


def _rows(
    connection: "duckdb.DuckDBPyConnection", config: "RepoConfig", source: "FileSource"
) -> str:
    """What a query on the connection can have after FROM to read the files of a source."""
    local = local_path(config, source)
    if local is None:
        return parquet_files(config, source).duckdb_rows(connection)
    is_single = local.is_file()
    pattern = literal(str(local / "**" / "*.parquet") if local.is_dir() else str(local))
    there = f"SELECT 1 FROM glob({pattern}) LIMIT 1"
    if not is_single and not connection.execute(there).fetchall():
        raise MissingTableError(
            f"source '{source.name}'",
            f"there is no Parquet file at '{source.path}' (resolved to {local})",
            "build the source table, or correct the path in its FileSource",
        )
    hive = "false" if is_single else "true"
    return f"read_parquet({pattern}, union_by_name = true, hive_partitioning = {hive})"


def _stat(file: Path) -> str:
    found = file.stat()
    return f"{file}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}"
