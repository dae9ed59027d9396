"""One window of a source table, built on DuckDB: the repo's SQL is run, a Parquet file is left."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.core.file_names import file_name
from feature_platform.core.published_files import published
from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, SourceError
from feature_platform.tables.source_sql import render
from feature_platform.tables.window_files import files_inside

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb


@dataclass(frozen=True)
class BuiltWindow:
    """One window of an embedded source table, as it now lies on disk.

    Attributes:
        path: The Parquet file that holds exactly this window.
        window: The window.
        rows: Rows in it; zero is a window in which nothing happened.
        replaced: Files of smaller windows that this one took the place of.
    """

    path: Path
    window: Window
    rows: int
    replaced: tuple[Path, ...] = ()


def build_parquet_window(
    connection_setup: "Callable[[duckdb.DuckDBPyConnection, Window], object]",
    sql_path: Path,
    target_folder: Path,
    window: Window,
    computed_at: datetime,
    *,
    event_timestamp_column: str = "event_timestamp",
) -> BuiltWindow:
    """Run a source's SQL on DuckDB for one window and put its rows into the table's folder.

    The file appears complete or not at all, whatever kills the process, and takes the place of the
    window's earlier file and of files of windows inside it.

    Args:
        connection_setup: Gives the connection, an in-memory DuckDB in UTC, the window's raw tables.
        sql_path: The source's SQL.
        target_folder: The table: Parquet files, one a window; created if missing.
        window: What to build.
        computed_at: What ``$computed_at`` stands for, aware.
        event_timestamp_column: Must be a TIMESTAMPTZ inside the window in every row.

    Raises:
        SourceError: The SQL is missing, wrong or fails; a row lies outside the window; another
            file of the folder overlaps the window without being part of it; or the folder cannot
            be written. Nothing is written then.
    """
    import duckdb

    subject = f"source SQL '{sql_path}', window {window}"
    query = render(_read(sql_path), "duckdb", window, computed_at, name=str(sql_path))
    replaced = files_inside(target_folder, window)
    path = target_folder / file_name(window)
    try:
        with published(path, replaced) as unfinished, duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            _bind(connection_setup, connection, window, subject)
            connection.execute(
                f"COPY ({query}) TO '{_quoted(unfinished)}' "
                "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
            )
            rows = _validated_rows(connection, unfinished, window, event_timestamp_column, subject)
    except FeaturePlatformError:
        raise
    except duckdb.Error as error:
        raise SourceError(
            subject, f"DuckDB cannot run it: {error}", "fix the SQL or its raw tables and rerun"
        ) from error
    except OSError as error:
        raise SourceError(
            subject,
            f"cannot write '{path}': {error.strerror or error}",
            "check the folder's permissions and free space, then rerun",
        ) from error
    return BuiltWindow(path, window, rows, tuple(replaced))


def _bind(
    setup: "Callable[[duckdb.DuckDBPyConnection, Window], object]",
    connection: "duckdb.DuckDBPyConnection",
    window: Window,
    subject: str,
) -> None:
    try:
        setup(connection, window)
    except OSError as error:
        raise SourceError(
            subject,
            f"its raw tables cannot be bound: {error}",
            "check the files that raw_tables.py reads, then rerun",
            is_transient=True,
        ) from error


def _read(sql_path: Path) -> str:
    try:
        return sql_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"source SQL '{sql_path}'",
            f"cannot be read: {error}",
            "name the file after the Feast batch source it builds, in the repo's sql/",
        ) from error


def _validated_rows(
    connection: "duckdb.DuckDBPyConnection", path: Path, window: Window, column: str, subject: str
) -> int:
    """The number of rows, once every event timestamp is known to lie in the window."""
    file = f"read_parquet('{_quoted(path)}')"
    types = {row[0]: row[1] for row in _fetch(connection, f"DESCRIBE SELECT * FROM {file}")}
    if types.get(column) != "TIMESTAMP WITH TIME ZONE":
        raise SourceError(
            subject,
            f"column '{column}' is {types.get(column, 'missing')}, not TIMESTAMP WITH TIME ZONE",
            f"select it as CAST(... AS TIMESTAMPTZ) AS {column}",
        )
    moment = '"' + column.replace('"', '""') + '"'
    ((rows, outside, first, last),) = _fetch(
        connection,
        f"SELECT count(*), count_if({moment} IS NULL OR {moment} < $start OR {moment} >= $end), "
        f"min({moment})::VARCHAR, max({moment})::VARCHAR FROM {file}",
        {"start": window.start, "end": window.end},
    )
    if outside:
        raise SourceError(
            subject,
            f"{outside} of {rows} rows have '{column}' outside the window or null "
            f"(earliest {first}, latest {last})",
            "derive it from $window_end, as $window_end - INTERVAL 1 MICROSECOND, and rebuild",
        )
    return int(rows)


def _fetch(
    connection: "duckdb.DuckDBPyConnection", sql: str, values: dict[str, datetime] | None = None
) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(sql, values or {}).fetchall()
    return rows


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
