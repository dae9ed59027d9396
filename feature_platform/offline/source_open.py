"""Opening whatever batch source Feast's own file stores read: Parquet, Delta, Iceberg, others."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from feature_platform.core.feast_seams import read_file_source
from feature_platform.errors import MissingPackageError, SourceError, first_line
from feature_platform.offline.source_table import SourceTable, table_in_memory, table_of_dataset
from feature_platform.sources.source_columns import parquet_source
from feature_platform.sources.source_files import parquet_files

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RepoConfig


def open_source(config: "RepoConfig", source: "DataSource", threads: int = 1) -> SourceTable:
    """Open a batch source for reading; only footers of files are read.

    Args:
        config: The repo's configuration; relative paths start at its repo.
        source: A batch source.
        threads: How many footers to read at a time.

    Raises:
        SourceError: It does not exist or cannot be read.
        MissingPackageError: Its format needs a package that is not installed.
    """
    from feast.infra.offline_stores.file_source import FileSource

    parquet = parquet_source(source)
    if parquet is not None:
        filesystem, files, base = parquet_files(config, parquet)
        return table_of_dataset(
            source.name, _dataset(source.name, filesystem, files, base), threads
        )
    if isinstance(source, FileSource):
        return _delta(config, source, threads)
    return table_in_memory(source.name, _read_whole(source, config))


def _dataset(name: str, filesystem: Any, files: list[str], base: str) -> Any:
    try:
        return ds.dataset(
            files,
            filesystem=filesystem,
            format="parquet",
            partitioning="hive",
            partition_base_dir=base,
        )
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"source '{name}'",
            f"it cannot be read ({first_line(error)})",
            "check that every file of it is whole Parquet",
            is_transient=True,  # it may just be being written
        ) from error


def delta_place(config: "RepoConfig", source: "FileSource") -> tuple[Any, str, dict[str, str]]:
    """The package deltalake, and a Delta table's path and storage options for it.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        deltalake = import_module("deltalake")
    except ImportError:
        raise MissingPackageError(
            f"source '{source.name}'",
            "it is a Delta table, which needs the package deltalake, which is not installed",
            "pip install 'feast[delta]'",
        ) from None
    from feast.infra.offline_stores.file_source import FileSource

    credentials = source.resolve_credentials() if source.connection_ref else None
    options = dict(credentials or {})
    if source.s3_endpoint_override:
        options["AWS_ENDPOINT_URL"] = source.s3_endpoint_override
    return deltalake, FileSource.get_uri_for_file_path(config.repo_path, source.path), options


def _delta(config: "RepoConfig", source: "FileSource", threads: int) -> SourceTable:
    deltalake, path, options = delta_place(config, source)
    try:
        table = deltalake.DeltaTable(path, storage_options=options or None)
        return table_of_dataset(source.name, table.to_pyarrow_dataset(), threads)
    except (OSError, pa.ArrowException, deltalake.exceptions.DeltaError) as error:
        raise SourceError(
            f"source '{source.name}'",
            f"the Delta table '{source.path}' cannot be read ({first_line(error)})",
            "check the path and the credentials of its object store",
        ) from error


def _read_whole(source: "DataSource", config: "RepoConfig") -> pa.Table:
    """Iceberg, Lance and MLflow sources, the way Feast's duckdb store reads them."""
    try:
        return read_file_source(source, str(config.repo_path)).to_pyarrow()
    except AssertionError:
        raise SourceError(
            f"source '{source.name}'",
            f"a {type(source).__name__} is not kept in files",
            "use the offline store of its warehouse, or give the view a FileSource",
        ) from None
    except ImportError as error:
        raise MissingPackageError(
            f"source '{source.name}'",
            f"a {type(source).__name__} needs a package that is not installed ({error})",
            "install Feast's extra for it",
        ) from error
    except Exception as error:  # each of their packages raises its own
        said = str(error).strip().splitlines() or ["no message"]
        raise SourceError(
            f"source '{source.name}'",
            f"the {type(source).__name__} cannot be read ({type(error).__name__}: {said[0]})",
            "check that its catalog and table are there, and the credentials",
        ) from error
