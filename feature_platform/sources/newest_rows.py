"""The newest rows of some keys, chosen where the source lies as far as that can be asked to."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_platform.core.windows import Window, merge
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.sources.latest_rows import (
    latest_rows_of_all,
    sampled_latest_rows,
    source_columns,
)
from feature_platform.sources.newest_sql import KEYS_TOTAL, NewestRows
from feature_platform.sources.relation import VIEW, not_given, open_relation
from feature_platform.sources.source_columns import parquet_source
from feature_platform.sources.warehouse import WarehouseKind, warehouse_kind

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

# A longer query is refused, or takes longer than reading the rows.
_MOST_KEYS = 5_000
_MOST_TEXT = 250_000
# Columns whose values compare with a number, or with a text, as they do in DuckDB; Feast's names
# of PostgreSQL's types and BigQuery's own.
_WHOLE = frozenset({"smallint", "integer", "bigint", "INTEGER", "INT64"})
_TEXT = frozenset({"text", "character varying", "STRING"})
# Of a source that cannot choose: the newest rows first, then those of so many times as long.
_FIRST, _MORE = timedelta(days=1), 8


@contextmanager
def open_sample(
    config: "RepoConfig",
    layout: ViewLayout,
    windows: Sequence[Window],
    *,
    limit: int,
    seed: int,
) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """The latest rows of all keys of some windows, or of a sample of them.

    Parquet files are read. PostgreSQL and BigQuery choose, and send the chosen rows. From any other
    source the newest rows come first, and the older ones only if those have too few keys.

    Args:
        config: The repo's configuration.
        layout: The view.
        windows: Half-open windows.
        limit: Take all keys up to this many, else this many of them.
        seed: Chooses the sample, independently of the order of rows.

    Yields:
        The number of keys in the rows that were looked at, and batches as those of `latest_rows`.

    Raises:
        SourceError: The table, a column, or a file of it is missing or unreadable.
    """
    columns, served = source_columns(layout), merge(windows)
    if served and warehouse_kind(config, layout.source) is not None:
        newest = NewestRows(layout.source_keys, limit=limit, seed=seed)
        wanted = [*columns, KEYS_TOTAL]
        with open_relation(config, layout.source, served, wanted, newest) as relation:
            ((total,),) = relation.rows(f"SELECT coalesce(max({KEYS_TOTAL}), 0) FROM {VIEW}")
            yield int(total), latest_rows_of_all(relation, layout)
        return
    tried = [served]
    if served and parquet_source(layout.source) is None:
        tried = list(_ever_more(served))
    for some in tried:
        with open_relation(config, layout.source, some, columns) as relation:
            total, batches = sampled_latest_rows(relation, layout, limit=limit, seed=seed)
            if total >= limit or some == served:
                yield total, batches
                return


def _ever_more(windows: list[Window]) -> Iterator[list[Window]]:
    """The end of some windows, and ever more of them, all of them last."""
    span, end = _FIRST, windows[-1].end
    while end - windows[0].start > span:
        recent = Window(end - span, end)
        yield [part for each in windows if (part := each.intersection(recent)) is not None]
        span *= _MORE
    yield windows


def newest_rows_of(config: "RepoConfig", layout: ViewLayout, wanted: pa.Table) -> NewestRows | None:
    """The newest rows of keys that are known, if a warehouse can be asked for them.

    Args:
        config: The repo's configuration.
        layout: A view that has keys.
        wanted: The keys, in columns named as the view names them.

    Returns:
        None where the source lies elsewhere, where there are many keys, or where their values are
        neither whole numbers nor texts of a column of that type.

    Raises:
        SourceError: The types of its columns cannot be asked for.
    """
    kind = warehouse_kind(config, layout.source)
    if kind is None or wanted.num_rows > _MOST_KEYS:
        return None
    try:
        types = dict(layout.source.get_table_column_names_and_types(config))
    except Exception as error:  # every warehouse raises its own
        raise not_given(layout.source, error) from error
    among = []
    for key in layout.keys:
        if key.source is None:
            continue
        values = wanted.column(key.name)
        if types.get(key.source) in _WHOLE and pa.types.is_integer(values.type):
            texts = (str(number) for number in values.unique().to_pylist())
        elif types.get(key.source) in _TEXT and pa.types.is_string(values.type):
            texts = (_quoted(kind, text) for text in values.unique().to_pylist())
        else:
            return None
        among.append((key.source, tuple(texts)))
    if sum(len(text) for _, texts in among for text in texts) > _MOST_TEXT:
        return None
    return NewestRows(layout.source_keys, tuple(among))


def _quoted(kind: WarehouseKind, text: str) -> str:
    if kind == "bigquery":
        return json.dumps(text, ensure_ascii=False)
    # Whatever the server takes a backslash for outside of these.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
