"""Rows that come from an offline store in batches, kept in Parquet files that DuckDB reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_platform.core.sql import literal
from feature_platform.core.times import EPOCH
from feature_platform.core.windows import Window
from feature_platform.sources.raw_columns import column_types, inside_raw
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.source_errors import offline_store_failed, require_columns

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from feature_platform.sources.warehouse import WantedRows

# As many rows as DuckDB's row groups have, unless the rows are wide.
_GROUP_ROWS = 122_880
_GROUP_BYTES = 16 << 20
# Without a window there are no rows, but still columns.
_NEVER = Window(EPOCH, EPOCH + timedelta(days=1))


def duckdb_rows_of(
    connection: "duckdb.DuckDBPyConnection",
    wanted: "WantedRows",
    batches: Callable[[Sequence[Window], list[str]], Iterable[tuple[Window, pa.Table]]],
) -> str:
    """Write batches to files in the connection's temporary folder; SQL that reads them.

    Files, not a table: DuckDB would keep a table in memory up to its limit.

    Args:
        connection: From `spilling_connection`.
        wanted: The rows to read.
        batches: Gives the rows of windows with some columns and the time columns: tables, maybe
            without rows, each with the window it was requested for. Rows outside of that window are
            cut off, since the next batch has them too.

    Raises:
        SourceError: The offline store failed, or there is no event time column.
    """
    source = wanted.source
    timestamp, created = time_columns(source)
    ((folder,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    try:
        columns = wanted.columns
        if columns is None:
            columns = [name for name, _ in source.get_table_column_names_and_types(wanted.config)]
        plain = [name for name in dict.fromkeys(columns) if name not in (timestamp, created)]
        files = write_parts(Path(folder), batches(wanted.windows or [_NEVER], plain))
    except Exception as error:  # every offline store raises its own
        raise offline_store_failed(source.name, error) from error
    selects = []
    # A file without rows may lack types or columns: some offline stores answer so.
    filled = [(window, file) for window, file in files if pq.read_metadata(file).num_rows]
    for window, file in filled or files[:1]:
        read = f"read_parquet({literal(str(file))})"
        types = column_types(connection, source.name, read)
        require_columns(source.name, types, [timestamp])
        where = inside_raw(source.name, timestamp, types[timestamp], [window])
        selects.append(f"SELECT * FROM {read} WHERE {where}")
    # A column that is null throughout one file has no type there; here it gets that of the others.
    return f"({' UNION ALL BY NAME '.join(selects)})"


def retrieval_job(
    wanted: "WantedRows", columns: Sequence[str], start: "datetime", end: "datetime"
) -> Any:
    """Feast's retrieval job for all rows from `start` to `end`, both included."""
    from feast.infra.offline_stores.offline_utils import get_offline_store_from_config

    timestamp, created = time_columns(wanted.source)
    return get_offline_store_from_config(wanted.config.offline_store).pull_all_from_table_or_query(
        config=wanted.config,
        data_source=wanted.source,
        join_key_columns=[],
        feature_name_columns=list(columns),
        timestamp_field=timestamp,
        created_timestamp_column=created,
        start_date=start,
        end_date=end,
    )


def write_parts(
    folder: Path, batches: Iterable[tuple[Window, pa.Table]]
) -> list[tuple[Window, Path]]:
    """Write batches, each with its window, to files as they come; few rows are in memory.

    Returns:
        The files in order. Each has rows of one window and one schema; a window may have several.
    """
    files: list[tuple[Window, Path]] = []
    writer: pq.ParquetWriter | None = None
    try:
        for window, table in _gathered(batches):
            if writer is None or files[-1][0] != window or writer.schema != table.schema:
                if writer is not None:
                    writer.close()
                file = folder / f"pulled_{len(files):06}.parquet"
                writer = pq.ParquetWriter(file, table.schema)
                files.append((window, file))
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    return files


def _gathered(batches: Iterable[tuple[Window, pa.Table]]) -> Iterator[tuple[Window, pa.Table]]:
    """The same rows in fewer and larger batches."""
    held: list[pa.Table] = []
    window_held: Window | None = None
    rows = size = 0
    for window, table in batches:
        is_other = window != window_held or table.schema != held[0].schema
        if window_held is not None and (is_other or rows >= _GROUP_ROWS or size >= _GROUP_BYTES):
            yield window_held, pa.concat_tables(held)
            held, rows, size = [], 0, 0
        window_held = window
        held.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
    if window_held is not None:
        yield window_held, pa.concat_tables(held)
