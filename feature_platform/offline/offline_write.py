"""Writes of the offline store: saved datasets, pushed rows, logged features, exports."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from feature_platform.errors import SourceError, first_line
from feature_platform.offline.source_open import delta_place
from feature_platform.sources.files.parquet_files import files_below, location
from feature_platform.sources.source_columns import parquet_source

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.infra.offline_stores.file_source import FileLoggingDestination, FileSource
    from feast.repo_config import RepoConfig

_ROWS_A_FILE = 1_000_000


def persist_table(
    config: "RepoConfig",
    source: "DataSource",
    make: Callable[[], pa.Table],
    *,
    overwrite: bool,
) -> None:
    """Write a table to a batch source, replacing its rows.

    Local files are written beside it and moved, so that a reader finds the old rows or the new.

    Args:
        config: The repo's configuration; relative paths start at its repo.
        source: A Parquet file, a folder of them, or what Feast's duckdb store writes.
        make: Makes the table; not called when it would not be written.
        overwrite: Whether existing data may be replaced.

    Raises:
        SavedDatasetLocationAlreadyExists: The source has data, which may not be replaced.
    """
    from feast.errors import SavedDatasetLocationAlreadyExists

    parquet = parquet_source(source)
    if parquet is None:
        _write_elsewhere(config, source, make(), overwrite=overwrite)
        return
    filesystem, path = location(config, parquet)
    kind = filesystem.get_file_info(path).type
    if kind != fs.FileType.NotFound and not overwrite:
        raise SavedDatasetLocationAlreadyExists(location=source.path)
    table = make()
    if kind != fs.FileType.Directory and path.endswith((".parquet", ".pq", ".parq")):
        with _replacing(filesystem, path) as sink:
            pq.write_table(table, sink)
        return
    filesystem.create_dir(path, recursive=True)
    old = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    new = f"{path}/{uuid4().hex}.parquet"
    with _replacing(filesystem, new) as sink:
        pq.write_table(table, sink)
    for info in old:
        if info.type == fs.FileType.File and info.path.endswith(".parquet"):
            filesystem.delete_file(info.path)


def append_rows(config: "RepoConfig", source: "DataSource", table: pa.Table) -> None:
    """Add rows to a batch source.

    A folder gets one more file; a single file is copied by row group with the new rows at its end,
    and moved into place.

    Raises:
        SourceError: The rows cannot be cast to the types of the source.
    """
    parquet = parquet_source(source)
    if parquet is None:
        _write_elsewhere(config, source, table, overwrite=None)
        return
    filesystem, path = location(config, parquet)
    kind = filesystem.get_file_info(path).type
    if kind == fs.FileType.Directory:
        _add_file(filesystem, path, table, source.name)
        return
    if kind == fs.FileType.NotFound:
        with _replacing(filesystem, path) as sink:
            pq.write_table(table, sink)
        return
    with filesystem.open_input_file(path) as opened:
        old = pq.ParquetFile(opened)
        rows = _cast(table, old.schema_arrow, source.name)
        with _replacing(filesystem, path) as sink, pq.ParquetWriter(sink, old.schema_arrow) as new:
            for number in range(old.num_row_groups):
                new.write_table(old.read_row_group(number))
            new.write_table(rows)


def is_absent(config: "RepoConfig", source: "DataSource") -> bool:
    """Whether a Parquet source has nothing at its path yet, and so no columns to match."""
    parquet = parquet_source(source)
    if parquet is None or "*" in str(source.path):
        return False
    filesystem, path = location(config, parquet)
    return bool(filesystem.get_file_info(path).type == fs.FileType.NotFound)


def write_logs(
    config: "RepoConfig", destination: "FileLoggingDestination", data: pa.Table | Path
) -> None:
    """Add logged features, a table or a folder of Parquet files, to a service's destination."""
    rows = data if isinstance(data, pa.Table) else ds.dataset(data, format="parquet")
    filesystem, path = location(config, destination.to_data_source())
    filesystem.create_dir(path, recursive=True)
    ds.write_dataset(
        rows,
        path,
        filesystem=filesystem,
        format="parquet",
        basename_template=f"{uuid4().hex}-{{i}}.parquet",
        partitioning=destination.partition_by or None,
        partitioning_flavor="hive" if destination.partition_by else None,
        existing_data_behavior="overwrite_or_ignore",
    )


def write_parts(table: pa.Table, folder: str, endpoint: str) -> list[str]:
    """Write a table as Parquet files of at most a million rows, and return their paths."""
    from feast.infra.offline_stores.file_source import FileSource

    filesystem, inner = FileSource.create_filesystem_and_path(folder, endpoint)
    if filesystem is None:
        filesystem, inner = (
            fs.FileSystem.from_uri(folder) if "://" in folder else (fs.LocalFileSystem(), folder)
        )
    filesystem.create_dir(inner, recursive=True)
    written = []
    for number, start in enumerate(range(0, max(table.num_rows, 1), _ROWS_A_FILE)):
        name = f"{number:05}.parquet"
        with filesystem.open_output_stream(f"{inner}/{name}") as sink:
            pq.write_table(table.slice(start, _ROWS_A_FILE), sink)
        written.append(f"{folder}/{name}")
    return written


@contextmanager
def _replacing(filesystem: fs.FileSystem, path: str) -> Iterator[Any]:
    """A sink that becomes the file at `path` when it is complete."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        with filesystem.open_output_stream(path) as sink:  # an object appears when it is complete
            yield sink
        return
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "wb") as sink:
            yield sink
        if Path(path).exists():
            Path(beside).chmod(Path(path).stat().st_mode)
        else:
            Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _add_file(filesystem: fs.FileSystem, folder: str, table: pa.Table, source: str) -> None:
    """Add a file to a folder, or to each of its partitions that the rows belong to."""
    files = files_below(filesystem, folder)
    if not files:
        with _replacing(filesystem, f"{folder}/{uuid4().hex}.parquet") as sink:
            pq.write_table(table, sink)
        return
    with filesystem.open_input_file(files[0]) as opened:
        schema = pq.read_schema(opened)
    below = files[0].removeprefix(folder).strip("/").split("/")[:-1]
    partitions = [part.split("=")[0] for part in below if "=" in part]
    missing = [name for name in partitions if name not in schema.names]
    fields = [*schema, *(table.schema.field(name) for name in missing)]
    ds.write_dataset(
        _cast(table, pa.schema(fields), source),
        folder,
        filesystem=filesystem,
        format="parquet",
        basename_template=f"{uuid4().hex}-{{i}}.parquet",
        partitioning=partitions or None,
        partitioning_flavor="hive" if partitions else None,
        existing_data_behavior="overwrite_or_ignore",
    )


def _cast(table: pa.Table, schema: pa.Schema, source: str) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError) as error:
        raise SourceError(
            f"source '{source}'",
            f"the rows to add do not fit its columns ({first_line(error)})",
            "write rows with the columns and types of the source",
        ) from error


def _write_elsewhere(
    config: "RepoConfig", source: "DataSource", table: pa.Table, *, overwrite: bool | None
) -> None:
    """Write a Delta table here, others as Feast's duckdb store does; `overwrite` None appends."""
    from feast.infra.offline_stores.file_source import FileSource

    if isinstance(source, FileSource):
        _write_delta(config, source, table, overwrite=overwrite)
        return
    import ibis

    from feature_platform.core.feast_seams import write_file_source

    mode = "append" if overwrite is None else "overwrite"
    repo = str(config.repo_path)
    write_file_source(ibis.memtable(table), source, repo, mode, overwrite=bool(overwrite))


def _write_delta(
    config: "RepoConfig", source: "FileSource", table: pa.Table, *, overwrite: bool | None
) -> None:
    deltalake, path, options = delta_place(config, source)
    exists = deltalake.DeltaTable.is_deltatable(path, storage_options=options or None)
    if exists and overwrite is None:
        known = deltalake.DeltaTable(path, storage_options=options or None)
        table = _cast(table, pa.schema(known.schema().to_arrow()), source.name)
    if exists and overwrite is False:
        from feast.errors import SavedDatasetLocationAlreadyExists

        raise SavedDatasetLocationAlreadyExists(location=source.path)
    deltalake.write_deltalake(
        path,
        table,
        mode="append" if overwrite is None else "overwrite",
        schema_mode="overwrite" if overwrite else None,
        storage_options=options or None,
    )
