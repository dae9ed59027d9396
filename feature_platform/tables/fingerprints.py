"""The content hash of a source's windows as a build would make them now, and cheaper stamps.

A stamp says whether hashing is worth it: while it is the same, so is the content. For files it is
their names, sizes and times of change. For a table that the repo builds, the content is what its
SQL would give now, computed from the raw tables without writing the table, and the stamp is that of
the raw tables, if the repo has one. A SQL warehouse computes both itself.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.core.sql import literal, spilling_connection
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, first_line
from feature_platform.sources.raw_columns import column_types
from feature_platform.sources.relation import VIEW, Relation
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.sql.sql_warehouse import NUMBER
from feature_platform.sources.warehouse import Sums
from feature_platform.sources.warehouses import sql_warehouse_of, warehouse_of
from feature_platform.sources.window_digests import digests_of, relation_digests, window_digests
from feature_platform.tables.source_sql import SourceSql
from feature_platform.tables.sql_tables import tables_read

if TYPE_CHECKING:
    from datetime import datetime

    from feast import FeatureStore
    from feast.data_source import DataSource

    from feature_platform.sources.window_digests import WindowDigest

Bind = Callable[[Any, Window], object]
# Windows per statement, if the query is repeated for each.
_TOGETHER = 50


@dataclass(frozen=True)
class DuckDbBuild:
    """How the repo builds a source table on DuckDB.

    Attributes:
        sql: File of the source's SQL.
        bind: Gives a connection the raw tables of a window, and of the time before it that the SQL
            looks back on.
        raw_tables: The module that `bind` is from; part of the stamp.
        stamp: Changes whenever the raw tables change; None where only reading them tells.
    """

    sql: Path
    bind: Bind
    raw_tables: Path | None = None
    stamp: Callable[[], str] | None = None


@dataclass(frozen=True)
class WarehouseBuild:
    """How the repo builds a source table in its SQL warehouse.

    Attributes:
        sql: File of the source's SQL.
        table: The table's dotted name.
    """

    sql: Path
    table: str


def source_stamp(
    store: "FeatureStore", source: "DataSource", build: DuckDbBuild | WarehouseBuild | None
) -> str | None:
    """A text that stays the same as long as the source's content does; None if only hashing tells.

    Args:
        store: The Feast store, whose repo relative paths start at.
        source: A batch source.
        build: How the repo builds it; None if the repo does not.

    Raises:
        SourceError: The warehouse cannot be reached.
    """
    if isinstance(build, DuckDbBuild):
        if build.stamp is None:
            return None
        files = [build.sql, *([build.raw_tables] if build.raw_tables else [])]
        return _hashed([build.stamp(), *(file.read_text(encoding="utf-8") for file in files)])
    sql = [build.sql.read_text(encoding="utf-8")] if build else []
    tables = tables_read(build.sql) if build else None
    stamp = warehouse_of(store.config, source).stamp(store.config, source, tables)
    return None if stamp is None else _hashed([*sql, *stamp])


def source_contents(  # noqa: PLR0917  as `window_digests`, and who builds it
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None,
    build: DuckDbBuild | WarehouseBuild | None,
    now: "datetime",
) -> "Mapping[Window, WindowDigest]":
    """The digest of each window, as materializing the window would record it now.

    Args:
        store: The Feast store.
        source: A batch source.
        windows: Windows that do not overlap.
        columns: The columns that count; None counts all.
        build: How the repo builds the source; None if the repo does not.
        now: The value of ``$computed_at``.

    Raises:
        SourceError: The source, or what it is built from, cannot be read.
    """
    if not windows:
        return {}
    if build is None:
        digests = window_digests(store, source, windows, columns)
    elif isinstance(build, WarehouseBuild):
        digests = _built_in_warehouse(store, source, sorted(windows), columns, build, now)
    else:
        digests = _built_on_duckdb(source, sorted(windows), columns, build, now)
    return {digest.window: digest for digest in digests}


def _built_in_warehouse(  # noqa: PLR0917  as `source_contents`
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None,
    build: WarehouseBuild,
    now: "datetime",
) -> "list[WindowDigest]":
    warehouse = sql_warehouse_of(store.config, source)
    assert warehouse is not None  # noqa: S101 - only a SQL warehouse has such a build
    sql, dialect = SourceSql.read(build.sql), warehouse.dialect
    selected = sql.columns(dialect)
    created = time_columns(source)[1]
    with warehouse.opened(store.config, source) as session:
        # An insert casts to the table's types; a new table has the types of the query.
        types = session.types(build.table) or selected
        chosen = types if columns is None else columns
        counted = sorted(each for each in chosen if each != created)
        _require_selected(source, build.sql, counted, [each for each in types if each in selected])
        together = len(windows) if dialect.has_lateral else _TOGETHER
        found: list[Sums] = []
        for start in range(0, len(windows), together):
            part = windows[start : start + together]
            rows = sql.render_windows(part, now, dialect, NUMBER)
            sums = warehouse.sums_by_number(session, rows, {each: types[each] for each in counted})
            found += [sums.get(number, Sums()) for number in range(len(part))]
    return digests_of(windows, counted, found)


def _built_on_duckdb(
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None,
    build: DuckDbBuild,
    now: "datetime",
) -> "list[WindowDigest]":
    import duckdb

    sql = SourceSql.read(build.sql)
    timestamp, created = time_columns(source)
    try:
        with tempfile.TemporaryDirectory(prefix="feature-platform-") as folder:
            with spilling_connection() as connection:
                build.bind(connection, Window(windows[0].start, windows[-1].end))
                for number in range(0, len(windows), _TOGETHER):
                    part = windows[number : number + _TOGETHER]
                    # The query repeated for each window, and one scan for what they share.
                    queries = [sql.render(each, now) for each in part]
                    united = " UNION ALL ".join(f"(SELECT * FROM ({each}))" for each in queries)
                    target = literal(str(Path(folder) / f"{number:06}.parquet"))
                    # Through Parquet, as the table is: it does not have all types of DuckDB.
                    connection.execute(f"COPY ({united}) TO {target} (FORMAT parquet)")
            with spilling_connection() as connection:
                origin = f"read_parquet({literal(str(Path(folder) / '*.parquet'))})"
                connection.execute(f"CREATE TEMP VIEW {VIEW} AS SELECT * FROM {origin}")
                types = column_types(connection, source.name, VIEW)
                counted = list(types) if columns is None else list(columns)
                _require_selected(source, build.sql, counted, types)
                relation = Relation(connection, source.name, types, timestamp, created)
                return relation_digests(
                    relation, windows, [each for each in counted if each != created]
                )
    except (duckdb.Error, OSError) as error:
        raise SourceError(
            f"source '{source.name}'",
            f"its SQL cannot be computed: {first_line(error)}",
            f"check {build.sql.name} and the raw tables",
        ) from error


def _require_selected(
    source: "DataSource", sql: Path, needed: Iterable[str], selected: Iterable[str]
) -> None:
    selected = list(selected)
    for column in needed:
        if column not in selected:
            raise SourceError(
                f"source '{source.name}'",
                f"its SQL gives no column '{column}' (it gives {', '.join(selected)})",
                f"add it to {sql.name}",
            )


def _hashed(texts: Sequence[str]) -> str:
    return hashlib.sha256("\x1e".join(texts).encode()).hexdigest()[:16]
