"""Rows without an event time, in whatever files they lie."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource
from worlds.repos import config

from feature_platform.errors import SourceError
from feature_platform.sources.event_times import rows_without_event_time

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = FileSource(
    name="payments",
    path="rows/*.parquet",
    timestamp_field="happened",
    field_mapping={"at": "happened"},
)


def write(folder: Path, name: str, times: pa.Array, *, statistics: bool = True) -> None:
    (folder / "rows").mkdir(exist_ok=True)
    table = pa.table({"user": [f"u{row}" for row in range(len(times))], "at": times})
    pq.write_table(table, folder / "rows" / name, write_statistics=statistics)


def test_they_are_counted_over_all_files_with_statistics_or_without(tmp_path: Path):
    kind = pa.timestamp("us", "UTC")
    write(tmp_path, "a.parquet", pa.array([MOMENT, MOMENT], kind))
    assert rows_without_event_time(config(tmp_path), SOURCE) == 0
    write(tmp_path, "b.parquet", pa.array([MOMENT, None], kind))
    write(tmp_path, "c.parquet", pa.array([None, None, MOMENT], kind), statistics=False)
    assert rows_without_event_time(config(tmp_path), SOURCE) == 3


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path):
    write(tmp_path, "a.parquet", pa.array([MOMENT]))
    (tmp_path / "rows/b.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(SourceError, match="source 'payments': it cannot be read"):
        rows_without_event_time(config(tmp_path), SOURCE)
