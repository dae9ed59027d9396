"""The newest rows of some keys, chosen by the warehouse where it can choose."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.core.windows import Window, merge
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.sources.latest_rows import (
    latest_rows_of_all,
    sampled_latest_rows,
    source_columns,
)
from feature_platform.sources.relation import VIEW, open_relation
from feature_platform.sources.source_errors import offline_store_failed
from feature_platform.sources.sql.newest_sql import KEYS_TOTAL
from feature_platform.sources.warehouse import NewestRows
from feature_platform.sources.warehouses import sql_warehouse_of, warehouse_of

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

# A longer query is refused, or takes longer than reading all rows.
_MOST_KEYS = 5_000
_MOST_TEXT = 250_000


@contextmanager
def open_sample(
    config: "RepoConfig",
    layout: ViewLayout,
    windows: Sequence[Window],
    *,
    limit: int,
    seed: int,
    keep: bool = False,
) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """The latest rows of all keys of some windows, or of a sample of them.

    Parquet files are read. A SQL warehouse chooses, and sends the chosen rows. Any other source is
    read from its newest rows back, until there are enough keys.

    Args:
        config: The repo's configuration.
        layout: The view.
        windows: Half-open windows.
        limit: Take all keys up to this many, else this many of them.
        seed: Chooses the sample, independently of the order of rows.
        keep: Copy the rows of files, which is then their only read; for windows of one run.

    Yields:
        The number of keys in the rows that were read, and batches as those of `latest_rows`.

    Raises:
        SourceError: The table, a column, or a file of it is missing or unreadable.
    """
    columns, served = source_columns(layout), merge(windows)
    if served and sql_warehouse_of(config, layout.source):
        newest = NewestRows(layout.source_keys, limit=limit, seed=seed)
        wanted = [*columns, KEYS_TOTAL]
        with open_relation(config, layout.source, served, wanted, newest) as relation:
            ((total,),) = relation.rows(f"SELECT coalesce(max({KEYS_TOTAL}), 0) FROM {VIEW}")
            yield int(total), latest_rows_of_all(relation, layout)
        return
    for some in warehouse_of(config, layout.source).sample_steps(served):
        with open_relation(config, layout.source, some, columns, keep=keep) as relation:
            total, batches = sampled_latest_rows(relation, layout, limit=limit, seed=seed)
            if total >= limit or some == served:
                yield total, batches
                return


def newest_rows_of(config: "RepoConfig", layout: ViewLayout, wanted: pa.Table) -> NewestRows | None:
    """The newest rows of known keys, if a warehouse can choose them.

    Args:
        config: The repo's configuration.
        layout: A view that has keys.
        wanted: The keys, in columns named as the view names them.

    Returns:
        None where the source is not in a SQL warehouse, where there are many keys, or where their
        values are neither whole numbers nor texts of a column of that type.

    Raises:
        SourceError: The types of its columns cannot be read.
    """
    warehouse = sql_warehouse_of(config, layout.source)
    if warehouse is None or wanted.num_rows > _MOST_KEYS:
        return None
    try:
        types = dict(layout.source.get_table_column_names_and_types(config))
    except Exception as error:  # every warehouse raises its own
        raise offline_store_failed(layout.source.name, error) from error
    among = []
    for key in layout.keys:
        if key.source is None:
            continue
        values, kind = wanted.column(key.name), types.get(key.source)
        if kind in warehouse.whole_number_types and pa.types.is_integer(values.type):
            literal: Callable[[Any], str] = str
        elif kind in warehouse.text_types and pa.types.is_string(values.type):
            literal = warehouse.dialect.text
        else:
            return None
        among.append((key.source, tuple(map(literal, values.unique().to_pylist()))))
    if sum(len(text) for _, texts in among for text in texts) > _MOST_TEXT:
        return None
    return NewestRows(layout.source_keys, tuple(among))
