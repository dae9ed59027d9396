"""Builders of source tables from the repo's SQL: DuckDB into Parquet files, or a SQL warehouse."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, first_line
from feature_platform.repo.project import FeastProject
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.sql.sql_warehouse import BuildResource, SqlWarehouse
from feature_platform.sources.warehouses import configured_warehouse
from feature_platform.tables.raw_tables import raw_table_binder


class TableBuilder(Protocol):
    """Builds one window of a source table."""

    @property
    def resources(self) -> Mapping[str, BuildResource]:
        """The Dagster resources that `build` takes, by key."""

    def build(
        self, project: FeastProject, source: str, window: Window, now: datetime, resources: Any
    ) -> str:
        """Replace exactly that window of the table; return where the rows went.

        Raises:
            SourceError: The SQL is wrong, or the warehouse refused it; nothing was written.
        """


def table_builder_for(project: FeastProject) -> TableBuilder | None:
    """The builder for a project's offline store; None where the repo has no SQL for any source.

    Raises:
        SourceError: The repo has SQL, but nothing here builds tables in this kind of offline store.
    """
    if not any(project.sql_file(name) for name in project.sources):
        return None
    if all("://" in getattr(source, "path", "") for source in project.sources.values()):
        return None  # files in a bucket are built elsewhere
    warehouse = configured_warehouse(project.config)
    if isinstance(warehouse, SqlWarehouse):
        return WarehouseBuilder(warehouse, warehouse.build_resources(project.config))
    if all(hasattr(source, "file_format") for source in project.sources.values()):
        return ParquetBuilder()
    raise SourceError(
        f"project '{project.name}'",
        "has SQL for its sources, but nothing here builds tables in offline store "
        f"'{project.config.offline_store.type}'",
        "remove the sql folder and let your warehouse build them",
    )


@dataclass(frozen=True)
class ParquetBuilder:
    """DuckDB reads the raw tables that ``raw_tables.py`` binds, and writes one file per window."""

    resources: Mapping[str, BuildResource] = field(default_factory=dict)

    def build(
        self, project: FeastProject, source: str, window: Window, now: datetime, resources: Any
    ) -> str:
        """Write the window's Parquet file; see :class:`TableBuilder`."""
        from feature_platform.tables.window_build import build_parquet_window

        del resources
        feast_source = project.sources[source]
        sql = project.sql_file(source)
        assert sql is not None  # noqa: S101 - only sources with SQL are built
        path = project.repo_dir / feast_source.path
        if "://" in feast_source.path or path.name != "*.parquet":
            raise SourceError(
                f"source '{source}'",
                f"its path {feast_source.path} is not a folder of Parquet files here",
                "give it a local path that ends in /*.parquet, or remove its SQL from the repo",
            )
        built = build_parquet_window(
            raw_table_binder(project),
            sql,
            path.parent.resolve(),
            window,
            now,
            event_timestamp_column=time_columns(feast_source)[0],
        )
        return f"{built.rows} rows in {built.path}"


@dataclass(frozen=True)
class WarehouseBuilder:
    """A SQL warehouse replaces the window in one transaction; see :class:`TableBuilder`."""

    warehouse: SqlWarehouse
    resources: Mapping[str, BuildResource] = field(default_factory=dict)

    def build(
        self, project: FeastProject, source: str, window: Window, now: datetime, resources: Any
    ) -> str:
        """Create the table unless it exists, and replace the window's rows."""
        from feature_platform.tables.source_sql import SourceSql
        from feature_platform.tables.window_statements import (
            OUTSIDE,
            create_table_statement,
            insert_script,
        )

        path, table = project.sql_file(source), warehouse_table(self.warehouse, project, source)
        assert path is not None  # noqa: S101 - only sources with SQL are built
        sql, dialect = SourceSql.read(path), self.warehouse.dialect
        moment, _ = time_columns(project.sources[source])
        scripts = [
            create_table_statement(sql, dialect, table, moment),
            insert_script(sql, dialect, table, moment, window, now),
        ]
        try:
            self.warehouse.run_scripts(project.config, scripts, resources)
        except Exception as error:  # each driver raises its own
            if OUTSIDE in str(error):
                raise SourceError(
                    f"source '{source}'",
                    f"window {window} was not built: {first_line(error)}",
                    "derive the event time from $window_end, as $window_end - INTERVAL 1 "
                    "MICROSECOND, and rebuild",
                ) from error
            raise SourceError(
                f"source '{source}'",
                f"{self.warehouse.place(project.config)} could not build window {window}: "
                f"{first_line(error)}",
                "check the raw tables, the connection and its permissions, then rerun",
            ) from error
        return f"window {window} of {table}"


def warehouse_table(warehouse: SqlWarehouse, project: FeastProject, source: str) -> str:
    """The dotted name of a source's table.

    Raises:
        SourceError: The source is a query, which cannot be written to.
    """
    table = warehouse.table_of(project.sources[source])
    if table is None:
        raise SourceError(
            f"source '{source}'",
            "is a query, and the repo has SQL that builds its table",
            f"name a table in the source, or remove {project.sql_file(source)}",
        )
    return table
