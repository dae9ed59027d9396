"""The rows of windows of batch sources, and content hashes of them."""

import hashlib
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_platform.core.sql import identifier, inside, instant
from feature_platform.core.windows import Window, merge
from feature_platform.sources.relation import VIEW, Relation, open_relation
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.warehouse import Sums
from feature_platform.sources.warehouses import warehouse_of

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.data_source import DataSource


@dataclass(frozen=True)
class WindowDigest:
    """The content of a window of a source, independent of its files and the order of rows.

    Attributes:
        window: The half-open window.
        rows: Number of rows in it.
        content_hash: 32 hexadecimal digits; equal for equal multisets of rows.
    """

    window: Window
    rows: int
    content_hash: str


def read_window_table(
    store: "FeatureStore",
    source: "DataSource",
    window: Window,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """All rows of one window as a table, which has its columns even without a row.

    Args:
        store: The Feast store.
        source: A batch source.
        window: Half-open window of event time.
        columns: Source columns to read; None reads all. The event time is always among them.

    Returns:
        The rows under the source's column names; times are UTC in microseconds.

    Raises:
        SourceError: The table, a column, or a file of it is missing or unreadable.
    """
    with open_relation(store.config, source, [window], columns) as relation:
        wanted = relation.columns if columns is None else [*columns, relation.timestamp]
        names = ", ".join(identifier(name) for name in dict.fromkeys(wanted))
        query = f"SELECT {names} FROM {VIEW}"
        return pa.Table.from_batches(relation.batches(query), relation.schema(query))


def window_digests(
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None = None,
    exclude: Collection[str] | None = None,
) -> list[WindowDigest]:
    """Hash the content of many windows in one pass over the source.

    A SQL warehouse hashes its tables itself. Other sources are read: DuckDB hashes each row twice,
    with its columns in alphabetical order and in the reverse order, and the window's hash sums
    both. So neither the order of rows nor their files matter, and a repeated row counts. After an
    upgrade of DuckDB that hashes differently, windows count as changed once.

    Args:
        store: The Feast store.
        source: A batch source.
        windows: Half-open windows, overlapping or not.
        columns: The columns that count; None counts all.
        exclude: Columns that do not count; None excludes the created time column, which changes
            when the same content is loaded again.

    Returns:
        One digest per window, in the order given.

    Raises:
        SourceError: The table, a column, or a file of it is missing or unreadable.
    """
    if not windows:
        return []
    config = store.config
    dropped = {time_columns(source)[1]} if exclude is None else set(exclude)
    warehouse = warehouse_of(config, source)
    with warehouse.snapshot(config, source, merge(windows), held=False) as snapshot:
        if snapshot is not None:
            return digests_of(windows, *snapshot.sums(windows, columns, dropped))
    with open_relation(config, source, windows, columns) as relation:
        chosen = relation.columns if columns is None else columns
        return relation_digests(relation, windows, [name for name in chosen if name not in dropped])


def relation_digests(
    relation: Relation, windows: Sequence[Window], columns: Collection[str]
) -> list[WindowDigest]:
    """The digests of `window_digests` for rows that are already open.

    Args:
        relation: The rows of the windows, and maybe others.
        windows: Half-open windows, overlapping or not.
        columns: The columns that count.

    Returns:
        One digest per window, in the order given.
    """
    counted = sorted(columns)
    return digests_of(windows, counted, _sums(relation, counted, windows))


def digests_of(
    windows: Sequence[Window], columns: Sequence[str], sums: Sequence[Sums]
) -> list[WindowDigest]:
    """Digests of windows from the sums of their rows over `columns`, in alphabetical order."""
    named = "\x1f".join(columns)
    return [
        WindowDigest(
            window,
            each.rows,
            hashlib.md5(
                f"{named}\x1e{each.rows}:{each.low}:{each.high}".encode(), usedforsecurity=False
            ).hexdigest(),
        )
        for window, each in zip(windows, sums, strict=True)
    ]


def _sums(relation: Relation, columns: Sequence[str], windows: Sequence[Window]) -> list[Sums]:
    """Row count and the two sums of hashes of each window."""
    names = [identifier(name) for name in columns] or ["0"]
    hashes = f"hash({', '.join(names)}) AS low, hash({', '.join(reversed(names))}, 1) AS high"
    sums = "count(*), coalesce(sum(low), 0), coalesce(sum(high), 0)"
    time = identifier(relation.timestamp)
    ordered = sorted(windows)
    overlap = any(left.end > right.start for left, right in itertools.pairwise(ordered))
    if overlap or len(ordered) == 1:
        # Overlapping windows count a row several times: one query per window, on one connection.
        return [
            _as_sums(
                relation.rows(
                    f"SELECT {sums} FROM (SELECT {hashes} FROM {VIEW} "
                    f"WHERE {inside(relation.timestamp, [window])})"
                )[0]
            )
            for window in windows
        ]
    starts = ", ".join(
        f"({number}, {instant(window.start)})" for number, window in enumerate(ordered)
    )
    # The last start before a row is its window's, if the row is before its end.
    ends = f"list_value({', '.join(instant(window.end) for window in ordered)})"
    rows = relation.rows(
        f"SELECT n, {sums} FROM (SELECT {time} AS moment, {hashes} FROM {VIEW}) AS s "
        f"ASOF JOIN (VALUES {starts}) AS w(n, start) ON s.moment >= w.start "
        f"WHERE s.moment < {ends}[n + 1] GROUP BY n"
    )
    by_number = {int(found[0]): _as_sums(found[1:]) for found in rows}
    by_window = {window: by_number.get(number, Sums()) for number, window in enumerate(ordered)}
    return [by_window[window] for window in windows]


def _as_sums(row: tuple[object, ...]) -> Sums:
    return Sums(*(int(str(value)) for value in row))
