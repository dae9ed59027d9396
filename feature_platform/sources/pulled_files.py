"""Rows that come a few at a time, kept in Parquet files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_platform.core.windows import Window

# As many rows as DuckDB makes row groups of, unless they are wide.
_GROUP_ROWS = 122_880
_GROUP_BYTES = 16 << 20


def write_parts(
    folder: Path, batches: Iterable[tuple[Window, pa.Table]]
) -> list[tuple[Window, Path]]:
    """Write rows to files as they come; of a file's rows few are in memory.

    Args:
        folder: Where to.
        batches: Rows, each batch with the part of the windows that it was asked for by.

    Returns:
        The files in order. Each has rows of one part and one schema; a part may have several.
    """
    files: list[tuple[Window, Path]] = []
    writer: pq.ParquetWriter | None = None
    try:
        for part, table in _gathered(batches):
            if writer is None or files[-1][0] != part or writer.schema != table.schema:
                if writer is not None:
                    writer.close()
                file = folder / f"pulled_{len(files):06}.parquet"
                writer = pq.ParquetWriter(file, table.schema)
                files.append((part, file))
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    return files


def _gathered(batches: Iterable[tuple[Window, pa.Table]]) -> Iterator[tuple[Window, pa.Table]]:
    """The same rows in fewer and larger batches."""
    held: list[pa.Table] = []
    part_held: Window | None = None
    rows = size = 0
    for part, table in batches:
        is_other = part != part_held or table.schema != held[0].schema
        if part_held is not None and (is_other or rows >= _GROUP_ROWS or size >= _GROUP_BYTES):
            yield part_held, pa.concat_tables(held)
            held, rows, size = [], 0, 0
        part_held = part
        held.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
    if part_held is not None:
        yield part_held, pa.concat_tables(held)
