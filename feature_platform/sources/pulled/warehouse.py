"""Batch sources of any other Feast offline store, pulled as whole tables."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_platform.core.windows import Window
from feature_platform.sources.pulled.pulled_files import duckdb_rows_of, retrieval_job
from feature_platform.sources.warehouse import WantedRows, Warehouse

if TYPE_CHECKING:
    import duckdb
    from feast.data_source import DataSource

# A day is pulled first, then as long a span as should amount to so many bytes of Arrow.
_FIRST_SPAN, _SHORTEST_SPAN = timedelta(days=1), timedelta(minutes=1)
_PULLED_BYTES = 64 << 20
_MOST_GROWTH = 8


class PulledWarehouse(Warehouse):
    """Any other Feast offline store, through the interface that all have; see `Warehouse`."""

    def holds(self, source: "DataSource") -> bool:
        """Every source can be pulled."""
        del source
        return True

    def duckdb_rows(self, connection: "duckdb.DuckDBPyConnection", wanted: WantedRows) -> str:
        """Pull the windows in spans that get longer or shorter by how much each pull brings."""

        def batches(
            windows: Sequence[Window], columns: list[str]
        ) -> Iterator[tuple[Window, pa.Table]]:
            for window in windows:
                yield from _pulled_spans(wanted, window, columns)

        return duckdb_rows_of(connection, wanted, batches)

    def sample_steps(self, windows: list[Window]) -> Iterator[list[Window]]:
        """The end of the windows, then longer ends, up to all: newer rows have most of the keys."""
        span = _FIRST_SPAN
        while windows and windows[-1].end - windows[0].start > span:
            recent = Window(windows[-1].end - span, windows[-1].end)
            yield [part for each in windows if (part := each.intersection(recent)) is not None]
            span *= _MOST_GROWTH
        yield windows


def _pulled_spans(
    wanted: WantedRows, window: Window, columns: list[str]
) -> Iterator[tuple[Window, pa.Table]]:
    start, length = window.start, _FIRST_SPAN
    while start < window.end:
        end = window.end if window.end - start <= length else start + length
        # Feast includes the end too; it is cut off when the files are read.
        table = retrieval_job(wanted, columns, start, end).to_arrow()
        yield Window(start, end), table
        growth = _PULLED_BYTES / max(table.nbytes, 1)
        growth = min(max(growth, 1 / _MOST_GROWTH), _MOST_GROWTH)
        start, length = end, max(_SHORTEST_SPAN, length * growth)
