"""SQLite: Feast's online store and ours, in one file."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import sqlite_connection_of
from feature_platform.errors import OnlineStoreError
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.online_size import OnlineSize
from feature_platform.online.store_faults import WITHOUT_TABLE, Signs, StoreFault
from feature_platform.online.view_tables import is_plain, view_tables

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from feature_platform.online.guarded_writer import OnlineWriter

# The bytes of one row, averaged over some: the key is in two indexes too, the feature's name in
# one.
_ROW_BYTES = """
SELECT AVG(3 * LENGTH(entity_key) + 2 * LENGTH(feature_name) + COALESCE(LENGTH(value), 0)
    + COALESCE(LENGTH(event_ts), 0) + COALESCE(LENGTH(created_ts), 0) + 30)
FROM (SELECT * FROM {table} LIMIT 1000)
"""


class SqliteBackend(OnlineBackend):
    """A SQLite file."""

    types = ("sqlite", "feast.infra.online_stores.sqlite.SqliteOnlineStore")
    signs = (
        Signs(
            StoreFault(
                "has no disk space left",
                "free space on the disk of its file; see the runbook online-store-fills-up",
            ),
            texts=("database or disk is full", "no space left on device"),
        ),
        Signs(
            StoreFault(
                "cannot be written: its file or folder is read-only",
                "let this user write the file and its folder, on a disk that is not mounted "
                "read-only",
            ),
            classes=("PermissionError",),
            texts=("readonly database", "read-only file system"),
        ),
        Signs(
            StoreFault(
                "cannot be opened: no such folder, or no permission for it",
                "create the folder of its path, and let this user read and write it",
            ),
            texts=("unable to open database file",),
        ),
        Signs(
            StoreFault(
                "is being written by another process for too long",
                "let the other process finish, or stop it; the next run writes what is missing",
                is_transient=True,
            ),
            texts=("database is locked", "database table is locked"),
        ),
        Signs(
            StoreFault(
                "got a value larger than the gigabyte that it takes",
                "shorten or split the largest feature",
                is_too_large=True,
            ),
            texts=("string or blob too big", "blob is too large", "string longer than"),
        ),
        Signs(
            StoreFault(
                "has a file that is damaged, or is no database",
                "restore it from a backup, or remove it and run feature-platform rebuild-online",
            ),
            texts=("file is not a database", "malformed"),
        ),
        Signs(
            StoreFault(
                "cannot read or write its disk",
                "check the disk, and that it is no network file system (or set wal: false)",
                is_transient=True,
            ),
            texts=("disk i/o error",),
        ),
        Signs(
            WITHOUT_TABLE,
            texts=("no such table",),
        ),
    )
    plugin = "feature_platform.online.sqlite.store.GuardedSqliteOnlineStore"

    def writer(self, online: Any, config: "RepoConfig") -> "OnlineWriter | None":
        """A writer over the store's own connection; none where there are columns of vectors."""
        from feature_platform.online.sqlite.writer import SqliteWriter

        if not is_plain(config):
            return None
        connection = sqlite_connection_of(online, config)
        return SqliteWriter(connection, config, getattr(online, "turn", None))

    def size(self, store: "FeatureStore", views: Sequence[str]) -> OnlineSize:
        """Scan an index for each view."""
        path = _file(store.config)
        if not path.exists():
            return OnlineSize(dict.fromkeys(views, 0), 0)
        keys, sizes = dict.fromkeys(views, 0), dict.fromkeys(views, 0)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            for view, (table, features) in view_tables(store, views).items():
                if not connection.execute(f"PRAGMA table_info({table})").fetchall():
                    continue
                [(keys[view],)] = connection.execute(
                    f"SELECT COUNT(*) FROM {table} WHERE feature_name = ?", (features[0],)
                )
                [(row_bytes,)] = connection.execute(_ROW_BYTES.format(table=table))
                sizes[view] = round(keys[view] * len(features) * (row_bytes or 0))
        files = (path, path.with_name(f"{path.name}-wal"))
        size = sum(file.stat().st_size for file in files if file.exists())
        return OnlineSize(keys, size, sizes, size + shutil.disk_usage(path.parent).free)

    def examine(self, config: "RepoConfig", timeout: float) -> None:
        """Check that the file can be read, if it exists; it is not created."""
        path = _file(config)
        if not path.is_file():
            return
        try:
            with closing(
                sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=timeout)
            ) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise OnlineStoreError(
                f"online store '{path}'",
                f"its file cannot be read ({type(error).__name__})",
                "check its permissions; if it is damaged, restore it from a backup, or remove it "
                "and run feature-platform rebuild-online",
            ) from error

    def update_remedy(self, error: Exception) -> str:
        """Feast's own store does not quote table names."""
        if not isinstance(error, sqlite3.Error):
            return super().update_remedy(error)
        return (
            "Feast's SQLite store takes letters, digits and _ in project and view names: rename "
            "those that have others, or set the type "
            "feature_platform.plugins.GuardedSqliteOnlineStore, which takes any name"
        )


def _file(config: "RepoConfig") -> Path:
    """The database file; a relative path is relative to the repo."""
    return Path(config.repo_path or "", config.online_store.path)
