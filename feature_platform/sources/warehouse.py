"""Content hashes computed inside the warehouse that holds a source: one statement, a row a window.

What comes back is as small for a million rows as for one. A hash is compared only with others that
the same warehouse computed, so each uses the functions it has.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from feature_platform.errors import SourceError, type_and_line
from feature_platform.sources.source_columns import time_columns

if TYPE_CHECKING:
    from datetime import datetime

    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

    from feature_platform.core.windows import Window

WarehouseKind = Literal["postgres", "bigquery"]
NUMBER = "window_number"
"""The column that says which window a row belongs to, counted from 0."""

_KINDS: Mapping[str, tuple[WarehouseKind, str]] = {
    "postgres": ("postgres", "PostgreSQLSource"),
    "bigquery": ("bigquery", "BigQuerySource"),
}


@dataclass(frozen=True)
class Sums:
    """What a window holds: the number of rows, and two 64-bit hashes of each, summed."""

    rows: int = 0
    low: int = 0
    high: int = 0


class Warehouse(Protocol):
    """A connection to the server that holds a source."""

    @property
    def kind(self) -> WarehouseKind:
        """Which it is; also the name of its SQL dialect."""
        ...

    def columns(self, origin: str) -> list[str]:
        """The columns of a table, or of a query in parentheses."""
        ...

    def types(self, table: str) -> Mapping[str, str]:
        """The columns of a table and their types in SQL; empty where there is no such table."""
        ...

    def numbered(self, origin: str, timestamp: str, windows: "Sequence[Window]") -> str:
        """A query: the rows of `origin` inside windows that do not overlap, each with its number.

        Args:
            origin: A table, or a query in parentheses.
            timestamp: The event time column.
            windows: At least one, oldest first.
        """
        ...

    def sums(self, rows: str, columns: Mapping[str, str]) -> dict[int, Sums]:
        """Count and hash the rows of a query, by window: one statement.

        Args:
            rows: A query that gives the columns and ``window_number``.
            columns: Those that count, each with the type it is cast to; empty for none.
        """
        ...

    def stamp(self, tables: Sequence[str]) -> str | None:
        """What stays the same as long as nobody writes to tables; None where only reading tells."""
        ...


def numbered_rows(
    origin: str,
    time: str,
    windows: "Sequence[Window]",
    instant: "Callable[[datetime], str]",
    *,
    array: str,
    bucket: str,
    element: str,
) -> str:
    """The query of `Warehouse.numbered` in a dialect that can bisect a sorted array.

    Args:
        origin: A table, or a query in parentheses.
        time: The event time column, quoted.
        windows: At least one, oldest first.
        instant: Writes a moment.
        array: How an array is written; ``{}`` stands for its elements.
        bucket: The function that gives a value's place among the elements of an array.
        element: How an element of ``{array}`` at ``{place}`` is written.
    """
    starts, ends = (
        array.format(", ".join(map(instant, moments)))
        for moments in ([each.start for each in windows], [each.end for each in windows])
    )
    place = f"{bucket}({time}, {starts})"
    return (
        f"SELECT {place} - 1 AS {NUMBER}, source_rows.* FROM {origin} AS source_rows "
        # The two ends by themselves, so that an index is used, or partitions are left out.
        f"WHERE {time} >= {instant(windows[0].start)} AND {time} < {instant(windows[-1].end)} "
        f"AND {time} < {element.format(array=ends, place=place)}"
    )


def warehouse_kind(config: "RepoConfig", source: "DataSource") -> WarehouseKind | None:
    """Which warehouse holds a source and can hash it; None for files and all others."""
    kind, its_source = _KINDS.get(str(config.offline_store.type), (None, ""))
    return kind if type(source).__name__ == its_source else None


@contextmanager
def open_warehouse(config: "RepoConfig", source: "DataSource") -> "Iterator[Warehouse]":
    """Connect to the warehouse of a source that `warehouse_kind` knows.

    Raises:
        SourceError: It cannot be reached, or refuses what it is asked.
    """
    try:
        if warehouse_kind(config, source) == "postgres":
            from feature_platform.sources.postgres_warehouse import postgres_warehouse

            with postgres_warehouse(config) as postgres:
                yield postgres
        else:
            from feature_platform.sources.bigquery_warehouse import bigquery_warehouse

            with bigquery_warehouse(config) as bigquery:
                yield bigquery
    except SourceError:
        raise
    except Exception as error:  # each driver raises its own
        raise SourceError(
            f"source '{source.name}'",
            f"the warehouse could not hash it ({type_and_line(error)})",
            "check that the table, its columns and the connection exist",
        ) from error


def warehouse_sums(
    config: "RepoConfig",
    source: "DataSource",
    windows: "Sequence[Window]",
    columns: Sequence[str] | None,
    exclude: Collection[str | None],
) -> tuple[list[str], list[Sums]]:
    """Hash windows of a source as it is there now.

    Args:
        config: The repo's configuration.
        source: One that `warehouse_kind` knows.
        windows: Half-open windows, overlapping or not.
        columns: The columns that count; None counts all.
        exclude: Columns that do not.

    Returns:
        The columns counted, in alphabetical order; and one sum a window, in the order given.

    Raises:
        SourceError: The table or a column is missing, or the warehouse cannot be reached.
    """
    timestamp, _ = time_columns(source)
    origin = source.get_table_query_string()
    with open_warehouse(config, source) as warehouse:
        there = warehouse.columns(origin)
        chosen = there if columns is None else columns
        counted = sorted(name for name in chosen if name not in exclude)
        require_columns(source, there, [*counted, timestamp])
        found: dict[Window, Sums] = {}
        for layer in _layers(windows):
            rows = warehouse.numbered(origin, timestamp, layer)
            sums = warehouse.sums(rows, dict.fromkeys(counted, ""))
            found |= {window: sums.get(number, Sums()) for number, window in enumerate(layer)}
    return counted, [found[window] for window in windows]


def require_columns(source: "DataSource", there: Collection[str], needed: Sequence[str]) -> None:
    """Raise if columns are missing.

    Raises:
        SourceError: Names them, and those that are there.
    """
    if missing := [name for name in needed if name not in there]:
        raise SourceError(
            f"source '{source.name}'",
            f"it has no column {', '.join(map(repr, missing))} (it has {', '.join(sorted(there))})",
            "add the column to the table, or map its name in the source's field_mapping",
        )


def _layers(windows: "Sequence[Window]") -> "list[list[Window]]":
    """Windows as lists in which none overlaps another: one list, if none does at all."""
    layers: list[list[Window]] = []
    for window in sorted(set(windows)):
        free = next((each for each in layers if each[-1].end <= window.start), None)
        if free is None:
            layers.append([window])
        else:
            free.append(window)
    return layers
