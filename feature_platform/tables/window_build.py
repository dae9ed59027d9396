"""One window of a source table, built on DuckDB from the repo's SQL into a Parquet file."""

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from feature_platform.core.file_names import file_name
from feature_platform.core.published_files import publish
from feature_platform.core.sql import identifier, literal
from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, SourceError
from feature_platform.tables.source_sql import SourceSql
from feature_platform.tables.window_files import files_inside

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb


@dataclass(frozen=True)
class BuiltWindow:
    """One window of a source table on disk.

    Attributes:
        path: The Parquet file that has exactly this window.
        window: The window.
        rows: Rows in it; may be zero.
        replaced: Files of smaller windows that this one replaced.
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
    """Run a source's SQL on DuckDB for one window and write its rows into the table's folder.

    The file appears complete or not at all, even if the process is killed, and replaces the
    window's earlier file and the files of windows inside it.

    Args:
        connection_setup: Gives the connection, an in-memory DuckDB in UTC, the window's raw tables.
        sql_path: The source's SQL.
        target_folder: The table: one Parquet file per window; created if missing.
        window: What to build.
        computed_at: The value of ``$computed_at``, aware.
        event_timestamp_column: Must be a TIMESTAMPTZ inside the window in every row.

    Raises:
        SourceError: The SQL is missing, wrong or fails; a row lies outside the window; another
            file of the folder overlaps the window without being inside it; or the folder cannot be
            written. Then nothing is written.
    """
    import duckdb

    subject = f"source SQL '{sql_path}', window {window}"
    query = SourceSql.read(sql_path).render(window, computed_at)
    replaced = files_inside(target_folder, window)
    path = target_folder / file_name(window)
    # Not *.parquet: readers of the folder do not see what a crash leaves behind.
    unfinished = target_folder / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        target_folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            _bind(connection_setup, connection, window, subject)
            connection.execute(
                f"COPY ({query}) TO {literal(str(unfinished))} "
                "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
            )
            rows = _validated_rows(connection, unfinished, window, event_timestamp_column, subject)
        publish(unfinished, path, replaced)
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
    finally:
        with suppress(OSError):
            unfinished.unlink()
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
            may_pass=True,
        ) from error


def _validated_rows(
    connection: "duckdb.DuckDBPyConnection", path: Path, window: Window, column: str, subject: str
) -> int:
    """The number of rows, after checking that every event timestamp lies in the window."""
    file = f"read_parquet({literal(str(path))})"
    described = connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()
    types = {row[0]: row[1] for row in described}
    if types.get(column) != "TIMESTAMP WITH TIME ZONE":
        raise SourceError(
            subject,
            f"column '{column}' is {types.get(column, 'missing')}, not TIMESTAMP WITH TIME ZONE",
            f"select it as CAST(... AS TIMESTAMPTZ) AS {column}",
        )
    moment = identifier(column)
    ((rows, outside, first, last),) = connection.execute(
        f"SELECT count(*), count_if({moment} IS NULL OR {moment} < $start OR {moment} >= $end), "
        f"min({moment})::VARCHAR, max({moment})::VARCHAR FROM {file}",
        {"start": window.start, "end": window.end},
    ).fetchall()
    if outside:
        raise SourceError(
            subject,
            f"{outside} of {rows} rows have '{column}' outside the window or null "
            f"(earliest {first}, latest {last})",
            "derive it from $window_end, as $window_end - INTERVAL 1 MICROSECOND, and rebuild",
        )
    return int(rows)
