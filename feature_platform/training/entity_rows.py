"""Entity rows: the examples of a training set, with their times and labels."""

import glob
import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import with_config

from feature_platform.core.config_files import CONFIG, Duration
from feature_platform.core.windows import Window
from feature_platform.errors import RepoError, SourceError
from feature_platform.repo.cadences import CADENCES, Cadence
from feature_platform.repo.service_layout import FIRST_TIME

if TYPE_CHECKING:
    import pandas as pd

    from feature_platform.repo.project import FeastProject

KnownBy = Literal["event", "created"]
"""Which time of a source's row says when it was known."""
Bind = Any
"""``bind(connection, window)`` of a repo's ``raw_tables.py``; None without one."""


@with_config(CONFIG)
@dataclass(frozen=True)
class EntityRows:
    """Where the entity rows of a service come from: exactly one of the first three.

    Attributes:
        path: A Parquet file, a folder, or a glob pattern of either, relative to the repo.
        sql: A file with one DuckDB query, relative to the repo, with the parameters of a source's
            SQL (``$window_start``, ``$window_end``, ``$computed_at``) and its raw tables.
        label_view: A label view of the repo; its conflict policy chooses among labelers.
        timestamp: The column of the moment at which features are joined.
        label: The label column, for the checks; None without one.
        partitions: Length of the windows of snapshots; None makes one snapshot of all rows.
        lookahead: How far after a window's end `sql` may read labels that come late, such as
            chargebacks. Features are not affected.
        known_by: ``created`` joins only what had been written by the moment, by the sources'
            created time; ``event`` whatever happened by then, written later or not. None is
            ``event`` and has the check ``no_leak`` warn of what was written later.

    Raises:
        RepoError: Not exactly one of the three is given, or SQL without partitions.
    """

    path: str | None = None
    sql: str | None = None
    label_view: str | None = None
    timestamp: str = "event_timestamp"
    label: str | None = None
    partitions: Cadence | None = None
    lookahead: Duration = timedelta(0)
    known_by: KnownBy | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("path", "sql", "label_view") if getattr(self, name)]
        if len(given) != 1:
            raise RepoError(
                "entity rows",
                f"come from {' and '.join(given) or 'nowhere'}",
                "give exactly one of path, sql and label_view",
            )
        if self.sql and not self.partitions:
            raise RepoError(
                f"entity rows of '{self.sql}'",
                "are SQL for one window, and partitions is not set",
                f"set partitions to {' or '.join(map(repr, CADENCES))}",
            )

    @property
    def origin(self) -> str:
        """Their origin, for manifests and errors."""
        return str(self.path or self.sql or f"label view {self.label_view}")


def read_entity_rows(
    project: "FeastProject",
    rows: EntityRows,
    window: Window | None = None,
    *,
    now: datetime | None = None,
    bind: Bind = None,
) -> pa.Table:
    """The entity rows of one window, or all of them, as `entity_table` makes them.

    Labels after `now` are unknown; `bind` creates the raw tables for `rows.sql`.
    """
    moment = now or datetime.now(UTC)
    if rows.sql:
        assert window is not None  # noqa: S101 - SQL always has partitions
        table = _queried(project, rows, window, moment, bind)
    elif rows.label_view:
        table = _labelled(project, rows, window, moment)
    else:
        table = read_parquet(project.repo_dir, str(rows.path))
    table = entity_table(table, rows.timestamp, rows.origin)
    if window is not None:
        time = pc.field(rows.timestamp)
        table = table.filter((time >= window.start) & (time < window.end))
    return table


def entity_table(rows: "pa.Table | pd.DataFrame", timestamp: str, origin: str) -> pa.Table:
    """Entity rows with times in UTC microseconds, in the same order.

    Times without a zone are UTC, as in Feast. Nanoseconds are truncated, not rounded, which could
    join a feature that came after the row. SourceError for anything that is not such a table.
    """
    table = rows if isinstance(rows, pa.Table) else _arrow(rows, origin)
    # One type for the same values, whatever encoding a file or frame has.
    table = table.cast(pa.schema([(field.name, _plain_type(field.type)) for field in table.schema]))
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise SourceError(
            f"entity rows of {origin}",
            f"have more than one column {', '.join(map(repr, twice))}",
            "give each column a name of its own",
        )
    if timestamp not in table.column_names:
        raise SourceError(
            f"entity rows of {origin}",
            f"have no column '{timestamp}' (they have {', '.join(table.column_names) or 'none'})",
            "add the time at which features are joined, or name its column",
        )
    column = table.column(timestamp)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed(column, timestamp, origin)
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        raise SourceError(
            f"entity rows of {origin}",
            f"their column '{timestamp}' is of type {column.type}, not a time",
            "store it as a timestamp (UTC)",
        )
    if column.null_count:
        raise SourceError(
            f"entity rows of {origin}",
            f"{column.null_count} of {len(column)} have no '{timestamp}'",
            "leave them out: without a time no feature can be joined",
        )
    try:
        times = _utc_microseconds(column)
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"entity rows of {origin}",
            f"their column '{timestamp}' holds times out of range ({error})",
            "correct them; microseconds reach from year 1 to 9999",
        ) from error
    place = table.column_names.index(timestamp)
    return table.set_column(place, timestamp, times).combine_chunks()


def entity_hash(table: pa.Table) -> str:
    """SHA-256 of the rows in their order; the same for a file and a frame."""
    parts = [part for column in table.columns for part in _validity_and_values(column)]
    rows = pa.table(parts, names=[str(place) for place in range(len(parts))]).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        for batch in rows.to_batches(max_chunksize=65_536):
            writer.write_batch(batch)
    names = "".join(f"{field.name!r} {field.type}\n" for field in table.schema)
    return hashlib.sha256(names.encode() + sink.getvalue()).hexdigest()


def nullable_dtype(kind: pa.DataType) -> Any:
    """Pandas' nullable type of integers and booleans; None for other types."""
    import pandas as pd

    if pa.types.is_boolean(kind):
        return pd.BooleanDtype()
    if not pa.types.is_integer(kind):
        return None
    return pd.api.types.pandas_dtype(str(kind).replace("u", "U").replace("i", "I", 1))


def read_parquet(folder: Path, path: str) -> pa.Table:
    """A Parquet file, those of a folder in order of name, or those that match a glob pattern."""
    import pyarrow.parquet as pq

    where = folder / path
    files = _files(where)
    if not files:
        raise SourceError(
            f"entity rows '{path}'", f"there is no Parquet file at {where}", "correct the path"
        )
    file = files[0]
    try:
        tables = []
        for file in files:
            tables.append(pq.ParquetFile(file).read())
        return pa.concat_tables(tables)
    except (OSError, pa.ArrowException) as error:
        which = "" if len(files) == 1 else f" up to {file}"
        raise SourceError(
            f"entity rows '{path}'",
            f"they cannot be read{which} ({' '.join(str(error).split())[:200]})",
            "check that each file is complete Parquet with the same columns",
        ) from error


def _files(where: Path) -> Sequence[Path]:
    if where.is_file():
        return [where]
    if where.is_dir():
        return sorted(where.glob("**/*.parquet"))
    found = glob.glob(str(where), recursive=True)  # noqa: PTH207 - a pattern may be absolute
    return [Path(each) for each in sorted(found)]


def _queried(
    project: "FeastProject", rows: EntityRows, window: Window, now: datetime, bind: Bind
) -> pa.Table:
    import duckdb

    from feature_platform.core.sql import spilling_connection
    from feature_platform.tables.source_sql import SourceSql

    path = project.repo_dir / str(rows.sql)
    if not path.is_file():
        raise RepoError(f"entity rows '{rows.sql}'", f"there is no file {path}", "correct the path")
    query = SourceSql(path.read_text(), str(rows.sql)).render(window, now)
    with spilling_connection() as connection:
        # Keep the order of the query.
        connection.execute("SET preserve_insertion_order = true")
        if bind is not None:
            until = max(window.end, min(now, window.end + rows.lookahead))
            bind(connection, Window(window.start, until))
        try:
            return connection.execute(query).to_arrow_table()
        except duckdb.Error as error:
            raise SourceError(
                f"entity rows '{rows.sql}'",
                f"DuckDB could not compute window {window}: {str(error).splitlines()[0]}",
                "correct the query",
            ) from error


def _labelled(
    project: "FeastProject", rows: EntityRows, window: Window | None, now: datetime
) -> pa.Table:
    from feast.labeling.conflict_policy import ConflictPolicy
    from feast.labeling.conflict_resolver import resolve_conflicts

    from feature_platform.sources.window_digests import read_window_table

    views = {view.name: view for view in project.contents.label_views}
    view = views.get(rows.label_view)
    source = getattr(view, "batch_source", None)
    if view is None or source is None:
        raise RepoError(
            f"label view '{rows.label_view}'",
            "the repo does not define it" if view is None else "has no batch source to read",
            f"choose one of: {', '.join(sorted(views)) or '(the repo has none)'}"
            if view is None
            else "give it a source (for a push source: a batch_source)",
        )
    renamed = dict(source.field_mapping or {})
    found = read_window_table(project.store(), source, window or Window(FIRST_TIME, now))
    found = found.rename_columns([renamed.get(name, name) for name in found.column_names])
    times = (source.timestamp_field, source.created_timestamp_column or "")
    time, created = (renamed.get(name, name) for name in times)
    keys, labels = list(view.join_keys), [field.name for field in view.features]
    kept = [*keys, time, *labels]
    missing = [name for name in kept if name not in found.column_names]
    if missing:
        raise SourceError(
            f"label view '{rows.label_view}'",
            f"its source '{source.name}' has no column {', '.join(map(repr, missing))} "
            f"(it has {', '.join(found.column_names)})",
            "add the column to the table, or map its name in the source's field_mapping",
        )
    frame = _in_order(found, [time, created]).to_pandas(types_mapper=nullable_dtype)
    if view.conflict_policy != ConflictPolicy.MAJORITY_VOTE:
        # Of labels with one event time the one created last; Feast takes any.
        frame = frame.drop_duplicates([*keys, time], keep="last")
    frame = resolve_conflicts(
        frame,
        join_key_columns=keys,
        feature_name_columns=labels,
        timestamp_field=time,
        labeler_field=view.labeler_field,
        conflict_policy=view.conflict_policy,
    )
    frame = frame.sort_values([time, *keys], kind="stable")
    # pandas loses the type of an empty column.
    schema = pa.schema([found.schema.field(name) for name in kept])
    table = pa.Table.from_pandas(frame[kept], schema=schema, preserve_index=False)
    return table.rename_columns([*keys, rows.timestamp, *labels])


def _in_order(table: pa.Table, first: Sequence[str]) -> pa.Table:
    """The rows in an order of their content, since files are read in any order."""
    names = [name for name in dict.fromkeys([*first, *sorted(table.column_names)]) if name]
    plain = [name for name in names if not pa.types.is_nested(table.schema.field(name).type)]
    return table.sort_by([(name, "ascending") for name in plain])


def _arrow(frame: "pd.DataFrame", origin: str) -> pa.Table:
    if not hasattr(frame, "columns"):
        raise SourceError(
            f"entity rows of {origin}",
            f"are of type {type(frame).__name__}, not a table",
            "give a pandas DataFrame or a pyarrow Table",
        )
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SourceError(
            f"entity rows of {origin}",
            f"are not a table ({' '.join(map(str, error.args))})",
            "give each column a name of its own and values of one type",
        ) from error


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def _validity_and_values(column: pa.ChunkedArray) -> list[pa.ChunkedArray]:
    """The validity and the values of a column, without what memory has in place of nulls."""
    kind = column.type
    valid = column.is_valid().cast(pa.uint8())
    if pa.types.is_boolean(kind):
        return [valid, column.cast(pa.uint8()).fill_null(0)]
    if column.null_count and pa.types.is_primitive(kind):
        zero = pa.py_buffer(bytes(kind.bit_width // 8))
        column = column.fill_null(pa.Array.from_buffers(kind, 1, [None, zero])[0])
    return [valid, column]


def _parsed(column: pa.ChunkedArray, timestamp: str, origin: str) -> pa.ChunkedArray:
    with suppress(pa.ArrowInvalid):
        return column.cast(pa.timestamp("us", "UTC"))
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"entity rows of {origin}",
            f"their column '{timestamp}' is text that is not a time ({error})",
            "store it as a timestamp (UTC)",
        ) from error


def _utc_microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        numbers = column.cast(pa.int64())
        cut = pc.divide(numbers, 1000)
        # Division truncates towards zero; times before 1970 go down too.
        below = pc.less(numbers, pc.multiply(cut, 1000)).cast(pa.int64())
        return pc.subtract(cut, below).cast(pa.timestamp("us", "UTC"))
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    return column.cast(pa.timestamp("us", zone)).cast(pa.timestamp("us", "UTC"))
