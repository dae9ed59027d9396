"""The files that a file source is made of."""

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import fs

from feature_platform.errors import MissingTableError, SourceError

if TYPE_CHECKING:
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RepoConfig

_GLOB = frozenset("*?[")


def parquet_files(
    config: "RepoConfig", source: "FileSource"
) -> tuple[fs.FileSystem, list[str], str]:
    """The files of a source of Parquet: file system, paths, and the folder they lie below.

    Raises:
        MissingTableError: There is none.
        SourceError: They cannot be listed.
    """
    filesystem, inner = location(config, source)
    try:
        files, base = _listed(filesystem, inner)
    except OSError as error:
        raise SourceError(
            f"source '{source.name}'",
            f"'{source.path}' cannot be opened ({error})",
            "check the path and the credentials of its object store",
        ) from error
    if not files:
        raise MissingTableError(
            f"source '{source.name}'",
            f"there is no Parquet file at '{source.path}' (resolved to {inner})",
            "build the source table, or correct the path in its FileSource",
        )
    return filesystem, files, base


def location(config: "RepoConfig", source: "FileSource") -> tuple[fs.FileSystem, str]:
    """The file system of a source, and its path there."""
    from feast.infra.offline_stores.file_source import FileSource

    path = FileSource.get_uri_for_file_path(config.repo_path, source.path)
    if "://" not in path:
        return fs.LocalFileSystem(), str(Path(path))
    credentials = source.resolve_credentials() if source.connection_ref else None
    try:
        filesystem, inner = FileSource.create_filesystem_and_path(
            path, source.s3_endpoint_override, credentials
        )
        if filesystem is None:
            filesystem, inner = fs.FileSystem.from_uri(path)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"source '{source.name}'",
            f"'{source.path}' cannot be opened ({error})",
            "check the path and the credentials of its object store",
        ) from error
    return filesystem, inner


def _listed(filesystem: fs.FileSystem, path: str) -> tuple[list[str], str]:
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
    # Object stores have no folders to speak of: `*` matches across slashes there.
    return [each for each in files_below(filesystem, base) if fnmatch(each, path)], base


def files_below(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """The Parquet files of a folder and those below it, by name; all files if none is named so."""
    infos = filesystem.get_file_info(fs.FileSelector(folder, recursive=True))
    files = sorted(
        info.path
        for info in infos
        if info.type == fs.FileType.File and not _hidden(info.path.removeprefix(folder))
    )
    named = [path for path in files if path.endswith((".parquet", ".parq", ".pq"))]
    return named or files


def _hidden(path: str) -> bool:
    # Folders of partitions may begin like hidden ones: `__log_date=2026-01-01`.
    return any(
        part.startswith((".", "_")) and "=" not in part for part in path.strip("/").split("/")
    )
