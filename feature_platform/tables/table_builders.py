"""Who builds a source table from the repo's SQL: DuckDB into Parquet, PostgreSQL, or BigQuery."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from feature_platform.core.feast_seams import postgres_connection
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, first_line
from feature_platform.repo.project import FeastProject
from feature_platform.sources.source_columns import time_columns
from feature_platform.tables.raw_tables import raw_table_binder


class TableBuilder(Protocol):
    """Builds one window of a source table."""

    @property
    def resources(self) -> frozenset[str]:
        """The keys of the Dagster resources that `build` takes."""
        ...

    def build(
        self, project: FeastProject, source: str, window: Window, now: datetime, resources: Any
    ) -> str:
        """Replace exactly that window of the table; give back where the rows went.

        Raises:
            SourceError: The SQL is wrong, or the warehouse refused it; nothing was written.
        """
        ...


def table_builder_for(project: FeastProject) -> TableBuilder | None:
    """The builder for a project's offline store; None where the repo has no SQL for any source.

    Raises:
        SourceError: The repo has SQL, but nobody builds tables in this kind of offline store.

    """
    if not any(project.sql_file(name) for name in project.sources):
        return None
    if all("://" in getattr(source, "path", "") for source in project.sources.values()):
        return None  # files in a bucket are built by whoever owns the bucket
    kind = str(project.config.offline_store.type)
    if kind == "bigquery":
        return BigQueryBuilder()
    if kind == "postgres":
        return PostgresBuilder()
    if all(hasattr(source, "file_format") for source in project.sources.values()):
        return ParquetBuilder()
    raise SourceError(
        f"project '{project.name}'",
        f"has SQL for its sources, but nothing here builds tables in offline store '{kind}'",
        "remove the sql folder and let your warehouse build them",
    )


@dataclass(frozen=True)
class ParquetBuilder:
    """DuckDB reads the raw tables that ``raw_tables.py`` binds, and writes one file a window."""

    resources: frozenset[str] = frozenset()

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
class PostgresBuilder:
    """PostgreSQL runs the SQL in one transaction, where Feast's offline store lives."""

    resources: frozenset[str] = frozenset()

    def build(
        self, project: FeastProject, source: str, window: Window, now: datetime, resources: Any
    ) -> str:
        """Replace the window's rows; see :class:`TableBuilder`."""
        import psycopg

        del resources
        store = project.config.offline_store
        statements = _warehouse_statements(project, source, window, now, "postgres")
        try:
            # As Feast connects: certificates and the search path are its settings.
            with postgres_connection(store) as connection:
                connection.autocommit = True
                for statement in statements:
                    connection.execute(statement)
        except psycopg.Error as error:
            _require_inside(source, window, error)
            raise SourceError(
                f"source '{source}'",
                f"PostgreSQL at {store.host}:{store.port} could not build window {window}: "
                f"{first_line(error)}",
                "check the server and the raw tables, then rerun",
            ) from error
        return f"window {window} of {warehouse_table(project, source)}"


@dataclass(frozen=True)
class BigQueryBuilder:
    """BigQuery runs the SQL in one transaction, through dagster-gcp's resource ``bigquery``."""

    resources: frozenset[str] = frozenset({"bigquery"})

    def build(
        self, project: FeastProject, source: str, window: Window, now: datetime, resources: Any
    ) -> str:
        """Replace the window's rows; see :class:`TableBuilder`."""
        from google.api_core.exceptions import GoogleAPIError

        try:
            with resources.bigquery.get_client() as client:
                for statement in _warehouse_statements(project, source, window, now, "bigquery"):
                    client.query_and_wait(statement)
        except GoogleAPIError as error:
            _require_inside(source, window, error)
            raise SourceError(
                f"source '{source}'",
                f"BigQuery could not build window {window}: {first_line(error)}",
                "check the raw tables and the permissions of the credentials, then rerun",
            ) from error
        return f"window {window} of {warehouse_table(project, source)}"


def _require_inside(source: str, window: Window, error: Exception) -> None:
    """Raise what a build says of an event time outside of its window, if that is the error."""
    from feature_platform.tables.source_sql import OUTSIDE

    if OUTSIDE in str(error):
        raise SourceError(
            f"source '{source}'",
            f"window {window} was not built: {first_line(error)}",
            "derive the event time from $window_end, as $window_end - INTERVAL 1 MICROSECOND, "
            "and rebuild",
        ) from error


def _warehouse_statements(
    project: FeastProject, source: str, window: Window, now: datetime, dialect: Any
) -> list[str]:
    from feature_platform.tables.source_sql import create_table_statement, insert_statements

    path, feast_source = project.sql_file(source), project.sources[source]
    assert path is not None  # noqa: S101 - only sources with SQL are built
    sql, table, moment = (
        path.read_text(encoding="utf-8"),
        warehouse_table(project, source),
        time_columns(feast_source)[0],
    )
    return [
        create_table_statement(sql, dialect, table, moment, name=str(path)),
        *insert_statements(sql, dialect, table, moment, window, now, name=str(path)),
    ]


def warehouse_table(project: FeastProject, source: str) -> str:
    """The dotted name of a source's table.

    Raises:
        SourceError: The source is a query, which nobody can write to.
    """
    options = project.sources[source].to_proto()
    for kind in ("bigquery_options", "custom_options"):
        if options.HasField(kind) and (found := _table_of(getattr(options, kind))):
            return found
    raise SourceError(
        f"source '{source}'",
        "is a query, and the repo has SQL that builds its table",
        f"name a table in the source, or remove {project.sql_file(source)}",
    )


def _table_of(options: Any) -> str:
    if hasattr(options, "table"):
        return str(options.table)
    # Feast keeps the options of its PostgreSQL source as JSON.
    return str(json.loads(options.configuration).get("table") or "")
