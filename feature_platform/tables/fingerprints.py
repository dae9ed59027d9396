"""What the windows of a source hold now, in one query a source, and a stamp that is cheaper still.

A stamp says whether a query is worth it: as long as it is the same, so is the content. Files have
one (names, sizes, times of change). For a table that the repo builds by SQL the content is what the
SQL would give now, computed from the raw tables without writing the table; its stamp is that of the
raw tables, if the repo can tell. PostgreSQL and BigQuery compute all of it themselves, and tell
when a table was written to.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.core.sql import identifier, literal, spilling_connection
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, first_line
from feature_platform.sources.newest_sql import NewestRows
from feature_platform.sources.relation import VIEW, Relation, open_relation
from feature_platform.sources.source_columns import parquet_source, time_columns
from feature_platform.sources.warehouse import (
    NUMBER,
    Sums,
    WarehouseKind,
    open_warehouse,
    warehouse_kind,
)
from feature_platform.sources.window_digests import digests_of, relation_digests, window_digests
from feature_platform.tables.source_sql import columns_built, render, render_windows
from feature_platform.tables.sql_tables import tables_read

if TYPE_CHECKING:
    from datetime import datetime

    from feast import FeatureStore
    from feast.data_source import DataSource

    from feature_platform.sources.window_digests import WindowDigest

Bind = Callable[[Any, Window], object]
# So many windows are computed by one statement.
_TOGETHER = 50


@dataclass(frozen=True)
class BuiltBy:
    """How the repo builds a source table on DuckDB.

    Attributes:
        sql: File of the source's SQL.
        bind: Gives a connection the raw tables of a window, and of the time before it that the
            SQL looks back on.
        raw_tables: The module that `bind` is from; part of the stamp.
        stamp: Says something else whenever the raw tables hold something else; None where only
            reading them tells.
    """

    sql: Path
    bind: Bind
    raw_tables: Path | None = None
    stamp: Callable[[], str] | None = None


@dataclass(frozen=True)
class BuiltThere:
    """How the repo builds a source table in a warehouse.

    Attributes:
        sql: File of the source's SQL.
        warehouse: Which one.
        table: The table's dotted name.
    """

    sql: Path
    warehouse: WarehouseKind
    table: str


def source_stamp(
    store: "FeatureStore", source: "DataSource", built: BuiltBy | BuiltThere | None
) -> str | None:
    """What stays the same as long as the source's content does; None where only a query tells.

    Args:
        store: The Feast store, whose repo relative paths start at.
        source: A batch source.
        built: How the repo builds it; None where somebody else does.

    Raises:
        SourceError: The warehouse cannot be reached.
    """
    if warehouse_kind(store.config, source) is not None:
        assert not isinstance(built, BuiltBy)  # noqa: S101 - DuckDB builds files
        return _written_there(store, source, built)
    assert not isinstance(built, BuiltThere)  # noqa: S101 - a warehouse builds no files
    if built is not None:
        if built.stamp is None:
            return None
        files = [built.sql, *([built.raw_tables] if built.raw_tables else [])]
        said = [built.stamp(), *(file.read_text(encoding="utf-8") for file in files)]
        return _hashed(said)
    tables = _local_files(store, source)
    return None if tables is None else _hashed([_stat(table) for table in tables])


def source_contents(  # noqa: PLR0917  as `window_digests`, and who builds it
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None,
    built: BuiltBy | BuiltThere | None,
    now: "datetime",
) -> "Mapping[Window, WindowDigest]":
    """The digest of each window, as a materialization of it would record it now.

    Args:
        store: The Feast store.
        source: A batch source.
        windows: Windows that do not overlap.
        columns: The columns that count; None counts all.
        built: How the repo builds the source; None where somebody else does.
        now: What ``$computed_at`` stands for.

    Raises:
        SourceError: The source, or what it is built from, cannot be read.
    """
    if not windows:
        return {}
    if built is None:
        digests = window_digests(store, source, windows, columns)
    elif isinstance(built, BuiltThere):
        digests = _as_built_there(store, source, sorted(windows), columns, built, now)
    else:
        digests = _as_built(source, sorted(windows), columns, built, now)
    return {digest.window: digest for digest in digests}


def newest_event(
    store: "FeatureStore", source: "DataSource", windows: Sequence[Window]
) -> "datetime | None":
    """The greatest event time of the source's rows in the windows; None without a row.

    Raises:
        SourceError: The source cannot be read.
    """
    if not windows:
        return None
    with open_relation(store.config, source, windows, [], NewestRows(keys=())) as relation:
        time = identifier(relation.timestamp)
        # As text: DuckDB needs another package for times with a zone.
        ((newest,),) = relation.rows(f"SELECT epoch_us(max({time})) FROM {VIEW}")
    return None if newest is None else _moment(int(newest))


def _moment(microseconds: int) -> "datetime":
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _written_there(
    store: "FeatureStore", source: "DataSource", built: BuiltThere | None
) -> str | None:
    said = []
    if built is not None:
        said = [built.sql.read_text(encoding="utf-8")]
        tables = tables_read(built.sql)
    else:
        origin = str(source.get_table_query_string())
        if origin.startswith("("):
            return None  # a query may give something else although no table has changed
        tables = [origin.strip("`")]
    with open_warehouse(store.config, source) as warehouse:
        stamp = warehouse.stamp(tables)
    return None if stamp is None else _hashed([*said, stamp])


def _as_built_there(  # noqa: PLR0917  as `source_contents`
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None,
    built: BuiltThere,
    now: "datetime",
) -> "list[WindowDigest]":
    name, dialect = str(built.sql), built.warehouse
    sql = built.sql.read_text(encoding="utf-8")
    given = columns_built(sql, dialect, name=name)
    created = time_columns(source)[1]
    with open_warehouse(store.config, source) as warehouse:
        # As an insert casts them; where there is no table yet, as it will be made.
        types = warehouse.types(built.table) or given
        counted = sorted(
            each for each in (types if columns is None else columns) if each != created
        )
        if lacking := [each for each in counted if each not in given or each not in types]:
            raise _gives_no_column(source, lacking[0], given, built.sql)
        together = len(windows) if dialect == "postgres" else _TOGETHER
        found: list[Sums] = []
        for start in range(0, len(windows), together):
            part = windows[start : start + together]
            rows = render_windows(sql, dialect, part, now, NUMBER, name=name)
            sums = warehouse.sums(rows, {each: types[each] for each in counted})
            found += [sums.get(number, Sums()) for number in range(len(part))]
    return digests_of(windows, counted, found)


def _gives_no_column(
    source: "DataSource", column: str, given: Iterable[str], sql: Path
) -> SourceError:
    return SourceError(
        f"source '{source.name}'",
        f"its SQL gives no column '{column}' (it gives {', '.join(given)})",
        f"add it to {sql.name}",
    )


def _as_built(
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None,
    built: BuiltBy,
    now: "datetime",
) -> "list[WindowDigest]":
    import duckdb

    name = str(built.sql)
    subject = f"source '{source.name}'"
    try:
        sql = built.sql.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory(prefix="feature-platform-") as folder:
            with spilling_connection() as connection:
                built.bind(connection, Window(windows[0].start, windows[-1].end))
                for number in range(0, len(windows), _TOGETHER):
                    part = windows[number : number + _TOGETHER]
                    # A statement of its own for each window, and one scan for what they share.
                    queries = [render(sql, "duckdb", each, now, name=name) for each in part]
                    united = " UNION ALL ".join(f"(SELECT * FROM ({each}))" for each in queries)
                    target = literal(str(Path(folder) / f"{number:06}.parquet"))
                    # Through Parquet, as the table is: its types are not all of DuckDB's.
                    connection.execute(f"COPY ({united}) TO {target} (FORMAT parquet)")
            with spilling_connection() as connection:
                pattern = literal(str(Path(folder) / "*.parquet"))
                connection.execute(
                    f"CREATE TEMP VIEW {VIEW} AS SELECT * FROM read_parquet({pattern})"
                )
                described = connection.execute(f"DESCRIBE {VIEW}").fetchall()
                types = {str(row[0]): str(row[1]) for row in described}
                created = source.created_timestamp_column or None
                counted = list(types) if columns is None else list(columns)
                if unknown := [each for each in counted if each not in types]:
                    raise _gives_no_column(source, unknown[0], types, built.sql)
                relation = Relation(connection, source.name, types, source.timestamp_field, created)
                return relation_digests(
                    relation, windows, [each for each in counted if each != created]
                )
    except (duckdb.Error, OSError) as error:
        raise SourceError(
            subject,
            f"what its SQL gives now cannot be computed: {first_line(error)}",
            f"check {built.sql.name} and the raw tables",
        ) from error


def _local_files(store: "FeatureStore", source: "DataSource") -> list[Path] | None:
    from feast.infra.offline_stores.file_source import FileSource

    parquet = parquet_source(source)
    if parquet is None:
        return None
    path = str(FileSource.get_uri_for_file_path(store.config.repo_path, parquet.path))
    path = path.removeprefix("file://")
    if "://" in path:
        return None
    local = Path(path)
    if local.is_dir():
        return sorted(local.rglob("*.parquet"))
    if local.exists():
        return [local]
    # The part before the first wildcard is a folder that is there or not.
    fixed = [part for part in local.parts if not set(part) & set("*?[")]
    folder = Path(*local.parts[: len(fixed)]) if local.parts[: len(fixed)] == tuple(fixed) else None
    if folder is None:
        return None
    return sorted(folder.glob(str(local.relative_to(folder)))) if folder != local else []


def _stat(file: Path) -> str:
    found = file.stat()
    return f"{file}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}"


def _hashed(said: Sequence[str]) -> str:
    return hashlib.sha256("\x1e".join(said).encode()).hexdigest()[:16]
