"""Keys that are online from a window and whose rows have left the source."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from feature_platform.core.sql import record_batches, spilling_connection
from feature_platform.core.windows import Window
from feature_platform.encoding.encoded_rows import batch_keys
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.online.guarded_writer import EVER, OnlineWriter
from feature_platform.sources.latest_rows import distinct_keys
from feature_platform.sources.relation import Relation

_ONLINE = "online_keys"
_SOURCE = "window_keys"
_AT_ONCE = 20_000


def vanished_keys(
    relation: Relation, writer: OnlineWriter, layout: ViewLayout, window: Window, version: int
) -> Iterator[list[bytes]]:
    """Find keys whose online row lies in `window` and that have no row there any more.

    Few keys are compared in memory, many in DuckDB, which spills.

    Args:
        relation: The source's rows of at least `window`.
        writer: The online store's.
        layout: The view.
        window: A window that was, or may have been, online before.
        version: ``entity_key_serialization_version`` of the repo.

    Yields:
        Serialized keys, some thousand at a time.
    """
    online = writer.keys_within(layout.view, window)
    first = list(islice(online, 2))
    if not first:
        return
    batches = distinct_keys(relation, layout, window)
    source = (batch_keys(batch, layout, version) for batch in batches)
    if len(first) == 1 and len(first[0]) <= _AT_ONCE:
        few = set(first[0].to_pylist())
        for keys in source:
            few.difference_update(keys.to_pylist())
        if few:
            yield sorted(few)
        return
    with _keys_of_both(chain(first, online), source) as connection:
        gone = f"SELECT DISTINCT entity_key FROM {_ONLINE} ANTI JOIN {_SOURCE} USING (entity_key)"
        for batch in record_batches(connection, gone, _AT_ONCE):
            if batch.num_rows:
                yield batch.column(0).to_pylist()


def any_lost(
    written: Iterable[pa.RecordBatch], writer: OnlineWriter, layout: ViewLayout, version: int
) -> bool:
    """Whether one of the keys, in columns named as the view names them, is not online."""
    source = (batch_keys(batch, layout, version) for batch in written)
    with _keys_of_both(writer.keys_within(layout.view, EVER), source) as connection:
        lost = f"SELECT 1 FROM {_SOURCE} ANTI JOIN {_ONLINE} USING (entity_key) LIMIT 1"
        return connection.execute(lost).fetchone() is not None


@contextmanager
def _keys_of_both(online: Iterable[pa.Array], source: Iterable[pa.Array]) -> Iterator[Any]:
    """A DuckDB connection with both sets of keys as tables."""
    with spilling_connection() as connection:
        for table, batches in ((_ONLINE, online), (_SOURCE, source)):
            connection.execute(f"CREATE TEMP TABLE {table} (entity_key BLOB)")
            for keys in batches:
                connection.register("new_keys", pa.table({"entity_key": keys}))
                connection.execute(f"INSERT INTO {table} SELECT entity_key FROM new_keys")
                connection.unregister("new_keys")
        yield connection
