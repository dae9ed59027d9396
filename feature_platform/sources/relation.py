"""A Feast batch source as a DuckDB view of the rows of some windows, whatever it is stored in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from feature_platform.core.sql import identifier, literal, record_batches, spilling_connection
from feature_platform.core.windows import Window, merge
from feature_platform.errors import MissingTableError, SourceError, type_and_line
from feature_platform.sources.newest_sql import KEYS_TOTAL, NewestRows
from feature_platform.sources.pulled_files import write_parts
from feature_platform.sources.source_columns import parquet_source, time_columns

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RepoConfig

VIEW = "source_rows"
"""The name of the view inside `Relation.connection`."""
_GLOB = frozenset("*?[")
_NANOSECONDS = frozenset({"TIMESTAMP_NS", "TIMESTAMPTZ_NS"})
_NEVER = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC))


@dataclass(frozen=True)
class Relation:
    """The rows of some windows of a source, as the view `source_rows` of a DuckDB connection.

    Attributes:
        connection: An in-memory DuckDB whose time zone is UTC.
        source: Name of the batch source.
        columns: Source column names and their DuckDB types, in source order.
        timestamp: The event time column; a TIMESTAMP WITH TIME ZONE of microseconds in the view.
        created: The created time column, of the same type, if the source has one.
    """

    connection: duckdb.DuckDBPyConnection
    source: str
    columns: dict[str, str]
    timestamp: str
    created: str | None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL on the view and return all rows of its (small) result.

        Raises:
            SourceError: DuckDB could not read or compute it.
        """
        try:
            return list(self.connection.execute(sql).fetchall())
        except duckdb.Error as error:
            raise _unreadable(self.source, error) from error

    def schema(self, sql: str) -> pa.Schema:
        """The Arrow schema of a query's result."""
        return record_batches(self.connection, f"{sql} LIMIT 0", 1).schema

    def batches(self, sql: str, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Run SQL on the view and stream its result.

        Yields:
            Record batches of at most `rows` rows (rounded up to DuckDB's vectors).

        Raises:
            SourceError: DuckDB could not read or compute it.
        """
        try:
            reader = record_batches(self.connection, sql, rows)
            yield from (batch for batch in reader if batch.num_rows)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise _unreadable(self.source, error) from error


@contextmanager
def open_relation(
    config: "RepoConfig",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None = None,
    newest: NewestRows | None = None,
) -> Iterator[Relation]:
    """Open the rows of `source` whose event time lies in one of `windows`.

    Parquet files are read by DuckDB itself, with the filter pushed into them, whichever offline
    store is configured. Everything else comes through the offline store's own
    ``pull_all_from_table_or_query``, a part at a time, and is kept in Parquet files in a temporary
    folder until the relation is closed: opening reads all of it once, and memory does not follow
    its size. The rows at the (there inclusive) end are cut off.

    Args:
        config: The repo's configuration; relative paths start at its repo.
        source: A batch source.
        windows: Half-open windows of event time; they may overlap.
        columns: Source columns that are needed; None means all.
        newest: Rows that are enough, where a warehouse can choose them; all may be there as well.

    Raises:
        SourceError: The table, a column, or a file of it is missing or unreadable.
    """
    with spilling_connection() as connection:
        yield _open(connection, config, source, merge(windows), columns, newest)


def _open(  # noqa: PLR0917  as `open_relation`
    connection: duckdb.DuckDBPyConnection,
    config: "RepoConfig",
    source: "DataSource",
    windows: list[Window],
    columns: Sequence[str] | None,
    newest: NewestRows | None,
) -> Relation:
    parquet = parquet_source(source)
    if parquet is not None:
        origin = _register_parquet(connection, config, parquet)
    else:
        origin = _pulled(connection, config, source, windows, columns, newest)
    types = _columns_of(connection, source.name, origin)
    timestamp, created = time_columns(source)
    needed = list(types) if columns is None else list(dict.fromkeys(columns))
    times = [timestamp, *([created] if created else [])]
    _require(source.name, types, [*needed, *times])
    chosen = list(dict.fromkeys([*needed, *times]))
    selected = [_selected(name, types[name], is_time=name in times) for name in chosen]
    where = " OR ".join(
        _raw_range(source.name, timestamp, types[timestamp], window) for window in windows
    )
    connection.execute(
        f"CREATE TEMP VIEW {VIEW} AS SELECT {', '.join(selected)} FROM {origin} "
        f"WHERE {where or 'false'}"
    )
    return Relation(
        connection=connection,
        source=source.name,
        columns={name: types[name] for name in chosen},
        timestamp=timestamp,
        created=created,
    )


def _register_parquet(
    connection: duckdb.DuckDBPyConnection, config: "RepoConfig", source: "FileSource"
) -> str:
    from feast.infra.offline_stores.file_source import FileSource

    path = FileSource.get_uri_for_file_path(config.repo_path, source.path)
    if "://" in path and not path.startswith("file://"):
        connection.register("remote_rows", _remote_dataset(source, path))
        return "remote_rows"
    local = Path(path.removeprefix("file://"))
    many = local.is_dir() or (bool(_GLOB & set(str(local))) and not local.exists())
    pattern = str(local / "**" / "*.parquet") if local.is_dir() else str(local)
    globbed = f"SELECT 1 FROM glob({literal(pattern)}) LIMIT 1"
    if not (connection.execute(globbed).fetchall() if many else local.exists()):
        raise MissingTableError(
            f"source '{source.name}'",
            f"there is no Parquet file at '{source.path}' (resolved to {local})",
            "build the source table, or correct the path in its FileSource",
        )
    return (
        f"read_parquet({literal(pattern)}, union_by_name = true, "
        f"hive_partitioning = {'true' if many else 'false'})"
    )


def _remote_dataset(source: "FileSource", path: str) -> Any:
    import pyarrow.dataset as ds
    from feast.infra.offline_stores.file_source import FileSource

    try:
        credentials = source.resolve_credentials() if source.connection_ref else None
        filesystem, inner = FileSource.create_filesystem_and_path(
            path, source.s3_endpoint_override, credentials
        )
        if filesystem is None:
            return ds.dataset(path, format="parquet", partitioning="hive")
        return ds.dataset(inner, filesystem=filesystem, format="parquet", partitioning="hive")
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"source '{source.name}'",
            f"'{source.path}' cannot be opened ({error})",
            "check the path and the credentials of its object store",
        ) from error


def _pulled(  # noqa: PLR0917  as `open_relation`
    connection: duckdb.DuckDBPyConnection,
    config: "RepoConfig",
    source: "DataSource",
    windows: list[Window],
    columns: Sequence[str] | None,
    newest: NewestRows | None,
) -> str:
    """Put what the offline store gives into files of the connection's folder; SQL that reads them.

    Files and not a table: DuckDB would hold as much of a table in memory as it is allowed to.
    """
    from feature_platform.sources.offline_batches import offline_batches  # which needs this module

    timestamp, created = time_columns(source)
    ((folder,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    try:
        if columns is None:
            listed = source.get_table_column_names_and_types(config)
            columns = [name for name, _ in listed]
        added = (timestamp, created, KEYS_TOTAL)
        plain = [name for name in dict.fromkeys(columns) if name not in added]
        # Without a window there are no rows, but columns all the same.
        batches = offline_batches(config, source, windows or [_NEVER], plain, newest)
        files = write_parts(Path(folder), batches)
    except Exception as error:  # every offline store raises its own
        raise not_given(source, error) from error
    selects = []
    # One without rows may have no types, or no columns: some offline stores give nothing so.
    held = [(part, file) for part, file in files if pq.read_metadata(file).num_rows]
    for part, file in held or files[:1]:
        read = f"read_parquet({literal(str(file))})"
        types = _columns_of(connection, source.name, read)
        _require(source.name, types, [timestamp])
        where = _raw_range(source.name, timestamp, types[timestamp], part)
        selects.append(f"SELECT * FROM {read} WHERE {where}")
    # A column that is empty in one of them has no type there, and that of the others here.
    return f"({' UNION ALL BY NAME '.join(selects)})"


def not_given(source: "DataSource", error: Exception) -> SourceError:
    """What to say when an offline store fails."""
    return SourceError(
        f"source '{source.name}'",
        f"the offline store could not read it ({type_and_line(error)})",
        "check that the table, its columns and the connection exist",
    )


def _columns_of(connection: duckdb.DuckDBPyConnection, source: str, origin: str) -> dict[str, str]:
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {origin}").fetchall()
    except (duckdb.Error, OSError) as error:
        raise _unreadable(source, error) from error
    return {str(row[0]): str(row[1]) for row in described}


def _require(source: str, types: dict[str, str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in types]
    if missing:
        raise SourceError(
            f"source '{source}'",
            f"it has no column {', '.join(repr(name) for name in missing)} "
            f"(it has {', '.join(sorted(types))})",
            "add the column to the table, or map its name in the source's field_mapping",
        )


def _selected(name: str, kind: str, *, is_time: bool) -> str:
    column = identifier(name)
    if kind in _NANOSECONDS:
        # Cut, not rounded: rounding up would move a row into the next window.
        nanos = f"epoch_ns({column})"
        cut = f"make_timestamp(({nanos} - (({nanos} % 1000) + 1000) % 1000) // 1000)"
        zone = " AT TIME ZONE 'UTC'" if is_time or kind == "TIMESTAMPTZ_NS" else ""
        return f"({cut}{zone}) AS {column}"
    if is_time and kind != "TIMESTAMP WITH TIME ZONE":
        return f"({column}::TIMESTAMP AT TIME ZONE 'UTC') AS {column}"
    return column


def _raw_range(source: str, name: str, kind: str, window: Window) -> str:
    """The window on the column as it is stored, so that Parquet statistics prune row groups."""
    column = identifier(name)
    if kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
        cast, form = kind, "%Y-%m-%d %H:%M:%S.%f+00"
    elif kind.startswith("TIMESTAMP") or kind == "DATE":
        cast, form = ("TIMESTAMP" if kind == "DATE" else kind), "%Y-%m-%d %H:%M:%S.%f"
    elif kind == "VARCHAR":
        column, cast, form = f"{column}::TIMESTAMP", "TIMESTAMP", "%Y-%m-%d %H:%M:%S.%f"
    else:
        raise SourceError(
            f"source '{source}'",
            f"its event time column '{name}' is of type {kind}",
            "store it as a timestamp (microseconds, UTC)",
        )
    start, end = (
        f"{literal(moment.strftime(form))}::{cast}" for moment in (window.start, window.end)
    )
    return f"({column} >= {start} AND {column} < {end})"


def _unreadable(source: str, error: Exception) -> SourceError:
    return SourceError(
        f"source '{source}'",
        f"it cannot be read ({type_and_line(error)})",
        "check that every file of it is whole and that the columns have the declared types",
    )
