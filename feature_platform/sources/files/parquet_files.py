"""The Parquet files that a file source is made of."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from feature_platform.core.sql import identifier, literal
from feature_platform.errors import MissingTableError, SourceError, first_line

if TYPE_CHECKING:
    import duckdb
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RepoConfig

_GLOB = frozenset("*?[")
_WILDCARD = re.compile(r"[*?[]")


@dataclass(frozen=True)
class ParquetFiles:
    """The files of one source.

    Attributes:
        source: Name of the source.
        filesystem: Where they are stored.
        paths: Their paths, at least one.
        base: The folder that contains them; folders below it may be partitions (``key=value``).
        is_single: Whether the source names one file, not a folder or a pattern.
    """

    source: str
    filesystem: fs.FileSystem
    paths: list[str]
    base: str
    is_single: bool

    @property
    def is_local(self) -> bool:
        """Whether they are on a local disk."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def dataset(self) -> ds.FileSystemDataset:
        """The files as an Arrow dataset.

        Raises:
            SourceError: A file is not Parquet.
        """
        try:
            return ds.dataset(
                self.paths,
                filesystem=self.filesystem,
                format="parquet",
                partitioning="hive",
                partition_base_dir=self.base,
            )
        except (OSError, pa.ArrowException) as error:
            raise SourceError(
                f"source '{self.source}'",
                f"it cannot be read ({first_line(error)})",
                "check that every file of it is complete Parquet",
                is_transient=True,  # another process may be writing the file
            ) from error

    def duckdb_rows(
        self, connection: "duckdb.DuckDBPyConnection", name: str = "remote_files"
    ) -> str:
        """What a query on the connection can have after FROM to read the files.

        Args:
            connection: Files in an object store are registered here.
            name: As what.
        """
        if not self.is_local:
            connection.register(name, self.dataset())
            return identifier(name)
        # DuckDB takes each path for a pattern.
        paths = ", ".join(literal(_WILDCARD.sub(r"[\g<0>]", path)) for path in self.paths)
        hive = "false" if self.is_single else "true"
        return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = {hive})"


def parquet_files(config: "RepoConfig", source: "FileSource") -> ParquetFiles:
    """List the files of a Parquet source.

    Raises:
        MissingTableError: There is none.
        SourceError: They cannot be listed.
    """
    filesystem, inner = location(config, source)
    with _opening(source):
        paths, base = _listed(filesystem, inner)
    if not paths:
        raise MissingTableError(
            f"source '{source.name}'",
            f"there is no Parquet file at '{source.path}' (resolved to {inner})",
            "build the source table, or correct the path in its FileSource",
        )
    return ParquetFiles(source.name, filesystem, paths, base, is_single=paths == [inner])


def local_path(config: "RepoConfig", source: "FileSource") -> Path | None:
    """The path of a source on a local disk, a pattern perhaps; None in an object store."""
    from feast.infra.offline_stores.file_source import FileSource

    path = str(FileSource.get_uri_for_file_path(config.repo_path, source.path))
    path = path.removeprefix("file://")
    return None if "://" in path else Path(path)


def location(config: "RepoConfig", source: "FileSource") -> tuple[fs.FileSystem, str]:
    """The file system of a source, and its path there.

    Raises:
        SourceError: The file system cannot be opened.
    """
    from feast.infra.offline_stores.file_source import FileSource

    path = FileSource.get_uri_for_file_path(config.repo_path, source.path)
    if "://" not in path:
        return fs.LocalFileSystem(), str(Path(path))
    credentials = source.resolve_credentials() if source.connection_ref else None
    with _opening(source):
        filesystem, inner = FileSource.create_filesystem_and_path(
            path, source.s3_endpoint_override, credentials
        )
        return (filesystem, inner) if filesystem else fs.FileSystem.from_uri(path)


@contextmanager
def _opening(source: "FileSource") -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"source '{source.name}'",
            f"'{source.path}' cannot be opened ({error})",
            "check the path and the credentials of its object store",
        ) from error


def _listed(filesystem: fs.FileSystem, path: str) -> tuple[list[str], str]:
    """The files at a path (a file, a folder, or a pattern), and the folder that contains them."""
    found = filesystem.get_file_info(path)
    if found.type == fs.FileType.File:
        return [path], str(Path(path).parent)
    if found.type == fs.FileType.Directory:
        return files_below(filesystem, path), path
    if not _GLOB & set(path):
        return [], path
    parts = path.split("/")
    fixed = next(place for place, part in enumerate(parts) if _GLOB & set(part))
    base = "/".join(parts[:fixed])
    if filesystem.get_file_info(base or ".").type != fs.FileType.Directory:
        return [], base
    if isinstance(filesystem, fs.LocalFileSystem):
        pattern = "/".join(parts[fixed:])
        return sorted(str(each) for each in Path(base or ".").glob(pattern) if each.is_file()), base
    # Object stores have no folders: `*` matches across slashes there.
    return [each for each in files_below(filesystem, base) if fnmatch(each, path)], base


def files_below(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """The Parquet files in a folder and its subfolders, sorted; all files if none is named so."""
    infos = filesystem.get_file_info(fs.FileSelector(folder, recursive=True))
    files = sorted(
        info.path
        for info in infos
        if info.type == fs.FileType.File and not _is_hidden(info.path.removeprefix(folder))
    )
    named = [path for path in files if path.endswith((".parquet", ".parq", ".pq"))]
    return named or files


def _is_hidden(path: str) -> bool:
    # A partition's folder may begin with an underscore: `__log_date=2026-01-01`.
    return any(
        part.startswith((".", "_")) and "=" not in part for part in path.strip("/").split("/")
    )
