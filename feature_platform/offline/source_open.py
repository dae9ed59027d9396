"""Open any batch source that Feast's own file stores read: Parquet, Delta, Iceberg, others."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.core.feast_seams import read_file_source
from feature_platform.errors import MissingPackageError, SourceError, first_line, type_and_line
from feature_platform.offline.source_table import SourceTable, table_in_memory, table_of_dataset
from feature_platform.sources.files.parquet_files import parquet_files
from feature_platform.sources.source_columns import parquet_source

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RepoConfig


def open_source(config: "RepoConfig", source: "DataSource", threads: int = 1) -> SourceTable:
    """Open a batch source for reading; of Parquet files only the footers are read.

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
        return table_of_dataset(source.name, parquet_files(config, parquet).dataset(), threads)
    if isinstance(source, FileSource):
        return _delta(config, source, threads)
    return table_in_memory(source.name, _read_whole(source, config))


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
    """Iceberg, Lance and MLflow sources, as Feast's duckdb store reads them."""
    try:
        return read_file_source(source, str(config.repo_path)).to_pyarrow()
    except AssertionError:
        raise SourceError(
            f"source '{source.name}'",
            f"a {type(source).__name__} is not stored in files",
            "use the offline store of its warehouse, or give the view a FileSource",
        ) from None
    except ImportError as error:
        raise MissingPackageError(
            f"source '{source.name}'",
            f"a {type(source).__name__} needs a package that is not installed ({error})",
            "install Feast's extra for it",
        ) from error
    except Exception as error:  # each of their packages raises its own
        raise SourceError(
            f"source '{source.name}'",
            f"the {type(source).__name__} cannot be read ({type_and_line(error)})",
            "check that its catalog and table exist, and the credentials",
        ) from error
