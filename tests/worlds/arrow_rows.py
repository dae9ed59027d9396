"""An Arrow table in the place of a window's opened rows."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.orchestration.validation.arrow_types import unpacked_array


class ArrowRows:
    """`CheckedRows` of a table, in batches of three rows."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.schema = table.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self.table.to_batches(max_chunksize=3)

    def repeated(self, columns: Sequence[str], most: int) -> tuple[int, pa.Table]:
        plain = {
            name: pa.chunked_array(
                [unpacked_array(each) for each in self.table.column(name).chunks],
                None if self.table.column(name).num_chunks else self.table.column(name).type,
            )
            for name in columns
        }
        seen: dict[tuple[object, ...], list[int]] = {}
        cells = zip(*(_plain(column) for column in plain.values()), strict=True)
        for place, row in enumerate(cells):
            seen.setdefault(row, []).append(place)
        places = [place for each in seen.values() if len(each) > 1 for place in each]
        return len(places), self.table.take(pa.array(places[:most], pa.int64()))


def _plain(column: pa.ChunkedArray) -> list[object]:
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.int64()).to_pylist())  # Python's end with the year 9999
    return list(pc.cast(column, column.type).to_pylist())
