"""The rows of a source as its offline store gives them, a part at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.core.feast_seams import (
    bigquery_storage_client,
    postgres_connection,
    run_bigquery_job,
)
from feature_platform.core.windows import Window
from feature_platform.sources.newest_sql import NewestRows, newest_sql
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.warehouse import warehouse_kind

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

_MICROSECOND = timedelta(microseconds=1)
# PostgreSQL's rows become Python objects before they become columns: few at a time.
_FETCHED = 2_000
# BigQuery holds a batch for each stream in memory.
_STREAMS = 4
# An offline store that only gives whole tables is asked for a day first, then for as long a time as
# should come to so many bytes of Arrow.
_FIRST, _SHORTEST = timedelta(days=1), timedelta(minutes=1)
_ASKED_BYTES = 64 << 20
_STEP = 8.0


def offline_batches(
    config: "RepoConfig",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str],
    newest: NewestRows | None = None,
) -> Iterator[tuple[Window, pa.Table]]:
    """Stream the rows of some windows, so that memory does not follow their number.

    PostgreSQL is read through a cursor of the server, BigQuery by batches of its storage interface.
    Of any other offline store Feast's interface has whole tables only: windows are asked for in
    parts, which get longer or shorter by how much came.

    Args:
        config: The repo's configuration.
        source: A batch source.
        windows: At least one; they do not overlap.
        columns: Which columns, besides the event time and the created time.
        newest: Rows that are enough. Only what `sources.warehouse` knows can choose
            among its rows; of any other store all of them come.

    Yields:
        A table of some rows, maybe without any, and the part of the windows that they were asked
        for by. Rows outside of it are to be left out: an offline store includes the end, and the
        next part has that row too.
    """
    from feast.infra.offline_stores.offline_utils import get_offline_store_from_config

    offline = get_offline_store_from_config(config.offline_store)
    timestamp, created = time_columns(source)

    def job(start: datetime, end: datetime, columns: Sequence[str]) -> Any:
        return offline.pull_all_from_table_or_query(
            config=config,
            data_source=source,
            join_key_columns=[],
            feature_name_columns=list(columns),
            timestamp_field=timestamp,
            created_timestamp_column=created,
            start_date=start,
            end_date=end,
        )

    kind = warehouse_kind(config, source)
    if kind is None:
        for window in windows:
            yield from _sliced(lambda start, end: job(start, end, columns), window)
        return
    # The end is not of the window, and both count microseconds.
    jobs = [job(window.start, window.end - _MICROSECOND, columns) for window in windows]
    queries = [(window, each.to_sql()) for window, each in zip(windows, jobs, strict=True)]
    if newest is not None:
        keyed = [job(each.start, each.end - _MICROSECOND, newest.keys) for each in windows]
        texts = [text for _, text in queries], [each.to_sql() for each in keyed]
        whole = Window(windows[0].start, windows[-1].end)
        queries = [(whole, newest_sql(kind, newest, timestamp, *texts))]
    for window, sql in queries:
        tables = _postgres(config, sql) if kind == "postgres" else _bigquery(jobs[0], sql)
        for table in tables:
            yield window, table


def _sliced(
    job: Callable[[datetime, datetime], Any], window: Window
) -> Iterator[tuple[Window, pa.Table]]:
    start, length = window.start, _FIRST
    while start < window.end:
        end = window.end if window.end - start <= length else start + length
        table = job(start, end).to_arrow()
        yield Window(start, end), table
        wanted = _ASKED_BYTES / max(table.nbytes, 1)
        start, length = end, max(_SHORTEST, length * min(_STEP, max(1 / _STEP, wanted)))


def _postgres(config: "RepoConfig", sql: str) -> Iterator[pa.Table]:
    """As Feast's own retrieval, but for a cursor that the server keeps."""
    from feast.type_map import pg_type_code_to_arrow

    with closing(postgres_connection(config.offline_store)) as connection:
        connection.read_only = True
        # All rows are wanted, not the first ones soon.
        connection.execute("SET LOCAL cursor_tuple_fraction = 1")
        # Times without a zone are UTC here; the server would compare them with ours in its own.
        connection.execute("SET LOCAL TIME ZONE 'UTC'")
        with connection.cursor(name="feature_platform_rows") as cursor:
            cursor.execute(sql)
            schema = pa.schema(
                [(each.name, pg_type_code_to_arrow(each.type_code)) for each in cursor.description]
            )
            yield schema.empty_table()
            while rows := cursor.fetchmany(_FETCHED):
                columns = [_column(values) for values in zip(*rows, strict=True)]
                yield pa.Table.from_arrays(columns, schema=schema)


def _column(values: tuple[Any, ...]) -> pa.Array:
    found = pa.array(values)
    # Feast has them as texts; cast to one, it would be of their sixteen bytes.
    is_uuid = isinstance(found.type, pa.UuidType)
    return pa.array([each and str(each) for each in values], pa.string()) if is_uuid else found


def _bigquery(job: Any, sql: str) -> Iterator[pa.Table]:
    """As Feast's own retrieval, but for batches in place of their sum."""
    done = run_bigquery_job(job, sql)
    storage = bigquery_storage_client(job)
    some = False
    try:
        batches = done.result().to_arrow_iterable(
            bqstorage_client=storage, max_stream_count=_STREAMS
        )
        for batch in batches:
            some = some or bool(batch.num_rows)
            if batch.num_rows:
                yield pa.Table.from_batches([batch])
    finally:
        if storage is not None:
            storage.transport.close()
    if not some:
        yield done.to_arrow()
