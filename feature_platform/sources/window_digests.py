"""The rows of windows of batch sources, and content hashes of them."""

import hashlib
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_platform.core.sql import identifier, inside, instant
from feature_platform.core.windows import Window
from feature_platform.sources.relation import VIEW, Relation, open_relation
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.warehouse import Sums
from feature_platform.sources.warehouses import warehouse_of

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.data_source import DataSource

# Types whose text is ambiguous ("a, b" is one element or two) are hashed as JSON.
_NESTED = ("[", "STRUCT", "MAP", "UNION", "JSON", "VARIANT")


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

    A SQL warehouse hashes its tables itself. Other sources are read: a row's text is its columns in
    alphabetical order, each after its length, and the window's hash sums the two halves of the MD5
    of every text. So neither the order of rows nor their files matter, and a repeated row counts.

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
    hashed = warehouse_of(config, source).window_sums(config, source, windows, columns, dropped)
    if hashed is not None:
        return digests_of(windows, *hashed)
    with open_relation(config, source, windows, columns) as relation:
        chosen = relation.columns if columns is None else columns
        return relation_digests(relation, windows, [name for name in chosen if name not in dropped])


def relation_digests(
    relation: Relation, windows: Sequence[Window], columns: Collection[str]
) -> list[WindowDigest]:
    """The digests of `window_digests` for rows that are already open.

    Args:
        relation: The rows of the windows, and no others.
        windows: Half-open windows, overlapping or not.
        columns: The columns that count.

    Returns:
        One digest per window, in the order given.
    """
    counted = sorted(columns)
    texts = ", ".join(_text(relation, name) for name in counted)
    row = f"concat({texts})" if texts else "''"
    return digests_of(windows, counted, _sums(relation, row, windows))


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


def _sums(relation: Relation, row: str, windows: Sequence[Window]) -> list[Sums]:
    """Row count and the two MD5 sums of each window."""
    time = identifier(relation.timestamp)
    sums = "count(*), coalesce(sum(md5_number_lower(t)), 0), coalesce(sum(md5_number_upper(t)), 0)"
    ordered = sorted(windows)
    if any(left.end > right.start for left, right in itertools.pairwise(ordered)):
        # Overlapping windows count a row several times: one query per window, on one connection.
        return [
            _as_sums(
                relation.rows(
                    f"SELECT {sums} FROM (SELECT {row} AS t FROM {VIEW} "
                    f"WHERE {inside(relation.timestamp, [window])})"
                )[0]
            )
            for window in windows
        ]
    starts = ", ".join(
        f"({number}, {instant(window.start)})" for number, window in enumerate(windows)
    )
    # The view has only rows of the windows, so the last start before a row is its window's.
    rows = relation.rows(
        f"SELECT n, {sums} FROM (SELECT {time} AS moment, {row} AS t FROM {VIEW}) AS s "
        f"ASOF JOIN (VALUES {starts}) AS w(n, start) ON s.moment >= w.start GROUP BY n"
    )
    by_number = {int(found[0]): _as_sums(found[1:]) for found in rows}
    return [by_number.get(number, Sums()) for number in range(len(windows))]


def _as_sums(row: tuple[object, ...]) -> Sums:
    return Sums(*(int(str(value)) for value in row))


def _text(relation: Relation, name: str) -> str:
    """SQL text of a column that no other value shares, however the value is stored."""
    column = identifier(name)
    kind = relation.columns[name]
    if name in (relation.timestamp, relation.created) or kind.startswith("TIMESTAMP"):
        text = f"epoch_us({column})::VARCHAR"
    elif kind == "BLOB":
        text = f"hex({column})"
    elif any(mark in kind for mark in _NESTED):
        text = f"to_json({column})::VARCHAR"
    else:
        text = f"{column}::VARCHAR"
    return f"coalesce(length({text}) || ':' || {text}, '~')"
