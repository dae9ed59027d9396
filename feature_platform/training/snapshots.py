"""Immutable, versioned folders of one Parquet file and its manifest."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_platform.core.file_locks import locked_file
from feature_platform.core.published_files import published, sync_to_disk
from feature_platform.errors import SourceError, first_line

DATA = "data.parquet"
MANIFEST = "manifest.json"
LATEST = "LATEST"
_LOCK = ".lock"
_UNFINISHED = ".unfinished-"
_ROW_GROUP = 131_072
_VERSION_DIGITS = 16


@dataclass(frozen=True)
class Snapshot:
    """One version: the folder of `DATA` and `MANIFEST`, and the content of the manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def version(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the manifest, which has that of the data."""
        return str(self.manifest["version"])

    @property
    def data(self) -> Path:
        """The Parquet file."""
        return self.folder / DATA

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows; SourceError if the file is missing or damaged."""
        try:
            return pq.ParquetFile(self.data).read(None if columns is None else list(columns))
        except (OSError, pa.ArrowException) as error:
            raise SourceError(
                f"snapshot '{self.folder}'",
                f"cannot be read ({first_line(error)})",
                "restore it, or make it again from the same inputs: it comes out the same",
            ) from error


def publish_snapshot(root: Path, table: pa.Table, manifest: Mapping[str, Any]) -> Snapshot:
    """Write a version below `root`, unless it exists, and make it the latest.

    The same table and manifest give the same bytes, and so the same version. Readers only see
    complete versions, and `LATEST` names one of them, whenever this process stops.
    """
    try:
        with locked_file(root / _LOCK):
            return _published(root, table, manifest)
    except OSError as error:
        raise SourceError(
            f"snapshots in '{root}'",
            f"cannot be written ({error.strerror or error})",
            "choose another folder, or make room and give permission",
        ) from error


def latest_snapshot(root: Path) -> Snapshot | None:
    """The newest version below `root`; None if there is none."""
    try:
        version = (root / LATEST).read_text().strip()
        return read_snapshot(root / version)
    except (OSError, ValueError):  # ValueError: a crash left the file incomplete
        return None


def read_snapshot(folder: Path) -> Snapshot:
    """An existing version; OSError if there is none, ValueError if its manifest is damaged."""
    return Snapshot(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write rows durably; the same rows give the same bytes."""
    pq.write_table(
        table.replace_schema_metadata(None).combine_chunks(),
        path,
        row_group_size=_ROW_GROUP,
        compression="zstd",
        version="2.6",
    )
    sync_to_disk(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _published(root: Path, table: pa.Table, manifest: Mapping[str, Any]) -> Snapshot:
    _clear(root)
    unfinished = root / f"{_UNFINISHED}{uuid.uuid4().hex}"
    try:
        unfinished.mkdir()
        write_parquet(table, unfinished / DATA)
        content = {**manifest, "data_sha256": file_hash(unfinished / DATA)}
        version = hashlib.sha256(_json(content).encode()).hexdigest()[:_VERSION_DIGITS]
        snapshot = Snapshot(root / version, {"version": version, **content})
        (unfinished / MANIFEST).write_text(_json(snapshot.manifest), encoding="utf-8")
        sync_to_disk(unfinished / MANIFEST)
        if not _same(snapshot):
            if snapshot.folder.exists():  # damaged: written again
                snapshot.folder.replace(root / f"{_UNFINISHED}{uuid.uuid4().hex}")
            unfinished.replace(snapshot.folder)
        with published(root / LATEST) as pointer:
            pointer.write_text(f"{version}\n", encoding="utf-8")
    finally:
        _clear(root)
    return snapshot


def _clear(root: Path) -> None:
    """Remove unfinished versions; the lock keeps other writers out."""
    for left in root.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _same(snapshot: Snapshot) -> bool:
    """Whether the version exists and is complete."""
    try:
        found = read_snapshot(snapshot.folder)
        return found.manifest == snapshot.manifest and (
            file_hash(snapshot.data) == snapshot.manifest["data_sha256"]
        )
    except (OSError, ValueError):
        return False


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
