"""A Feast offline store over files with a correct point-in-time join in bounded memory."""

import copy
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from feast.data_format import ParquetFormat
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.utils import compute_non_entity_date_range
from pydantic import field_validator

from feature_platform.errors import SourceError
from feature_platform.offline.as_of_join import AsOf, JoinTarget, fetched, newest_rows
from feature_platform.offline.offline_write import append_rows, is_absent, write_logs
from feature_platform.offline.pulled_rows import latest_rows
from feature_platform.offline.requested_features import (
    RequestedView,
    requested_views,
    require_columns,
)
from feature_platform.offline.retrieval_job import ArrowRetrievalJob
from feature_platform.offline.retrieval_rows import (
    EntityRows,
    RangeOf,
    entity_rows,
    entity_rows_of_range,
    entity_rows_of_sql,
)
from feature_platform.offline.source_open import open_source
from feature_platform.offline.source_table import Reading, SourceTable, processors
from feature_platform.sources.source_columns import parquet_source

if TYPE_CHECKING:
    import pandas as pd
    from feast.data_source import DataSource
    from feast.feature_view import FeatureView
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.repo_config import RepoConfig

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMGT]i?)?B\s*$", re.IGNORECASE)
_BYTES_PER_ROW = 256  # of a batch while it is looked up


class PointInTimeOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Configuration of `PointInTimeOfflineStore`: the fields of Feast's duckdb store, and these."""

    type: str = "feature_platform.plugins.PointInTimeOfflineStore"
    """Offline store type selector"""

    memory_limit: str = "1GB"
    """Memory for reading sources and for DuckDB, such as 512MB; beyond it DuckDB spills to disk.
    Entity rows and the result are not counted."""

    threads: int | None = None
    """How many pieces of a source to read at a time; None is one per processor."""

    @field_validator("memory_limit")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        if not _SIZE.match(value):
            raise ValueError(f"memory_limit '{value}' is not a size, such as 512MB or 2GB")
        return value

    def workers(self) -> int:
        """How many threads read."""
        return max(self.threads or processors(), 1)

    def reading(self) -> Reading:
        """How much of a source is read at a time: a quarter of the memory limit."""
        found = _SIZE.match(self.memory_limit)
        assert found is not None  # noqa: S101 - validated
        power = "KMGT".index(found[2][0].upper()) + 1 if found[2] else 0
        limit = float(found[1]) * 1000**power
        rows = int(min(max(limit / 4 / self.workers() / _BYTES_PER_ROW, 8_192), 262_144))
        return Reading(self.workers(), rows, self.memory_limit)


class PointInTimeOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Feast's duckdb store with its own point-in-time join.

    Every entity row is returned, in order, duplicates too. Each gets the newest source row whose
    event time is not after its own and not older than the TTL, both ends included. Of rows equal in
    event time it is the one created last, then the one with the greater content, as in
    materialization. Times without a zone are UTC. Integers stay integers.

    Reads what Feast's duckdb store reads (Parquet files, folders and partitions, Delta, Iceberg,
    local or in object stores). Entity rows can also be SQL, or all keys in a range of time.
    """

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(  # noqa: PLR0917 - Feast's signature
        config: "RepoConfig",
        feature_views: "list[FeatureView]",
        feature_refs: list[str],
        entity_df: "pd.DataFrame | str | None",
        registry: "BaseRegistry",
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> ArrowRetrievalJob:
        """Join features to entity rows, at the time of each.

        Args:
            config: The repo's configuration.
            feature_views: The views, each with the projection it is requested through.
            feature_refs: ``view:feature``.
            entity_df: A data frame, or DuckDB SQL, in which the registry's batch sources are
                tables. None takes every (join keys, event time) of the views in a range.
            registry: For on-demand views, and the sources that SQL names.
            project: The project of the registry.
            full_feature_names: Whether feature names have their view's name as a prefix.
            filter_by_created_timestamp: Whether a row must also have been created by then.
            start_date: Start of the range; None is the longest TTL (or 30 days) before its end.
            end_date: End of the range, included; None is now.

        Raises:
            SourceError: Entity rows lack a column or have keys of a wrong type, a feature is not
                in its view, or a source lacks a column or cannot be read.
        """
        views = requested_views(feature_views, feature_refs, full_feature_names=full_feature_names)
        if entity_df is None:
            start, end = compute_non_entity_date_range(
                feature_views, start_date=start_date, end_date=end_date
            )
            given = _of_range(config, views, start, end)
            bounds = (start, end)
        else:
            given = _given(config, entity_df, registry, project)
            bounds = given.bounds
        require_columns(views, given.table.column_names, "entity rows")
        return ArrowRetrievalJob(
            lambda: _joined(config, views, given, known=filter_by_created_timestamp),
            config,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in given.table.column_names if name != given.timestamp],
                min_event_timestamp=bounds[0],
                max_event_timestamp=bounds[1],
            ),
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names=full_feature_names,
        )

    @staticmethod
    def pull_latest_from_table_or_query(  # noqa: PLR0917 - Feast's signature
        config: "RepoConfig",
        data_source: "DataSource",
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> ArrowRetrievalJob:
        """The latest row of each key whose event time lies in a range, both ends included.

        Rows without a part of their key are left out, as materialization leaves them out.

        Raises:
            SourceError: The source lacks a column or cannot be read, once the job is run.
        """
        source = _timed(data_source, timestamp_field, created_timestamp_column)
        return ArrowRetrievalJob(
            lambda: latest_rows(
                config, source, join_key_columns, feature_name_columns, (start_date, end_date)
            ),
            config,
        )

    @staticmethod
    def pull_all_from_table_or_query(  # noqa: PLR0917 - Feast's signature
        config: "RepoConfig",
        data_source: "DataSource",
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> ArrowRetrievalJob:
        """Every row whose event time lies in a range, both ends included.

        Raises:
            SourceError: The source lacks a column or cannot be read, once the job is run.
        """
        created = [created_timestamp_column] if created_timestamp_column else []
        columns = list(
            dict.fromkeys([*join_key_columns, *feature_name_columns, timestamp_field, *created])
        )

        def evaluate() -> pa.Table:
            store = _settings(config)
            source = open_source(config, data_source, store.workers())
            source.require(columns)
            found = source.read_between(
                timestamp_field, columns, start_date, end_date, store.reading().batch_rows
            )
            schema = pa.schema([source.schema.field(name) for name in columns])
            return pa.Table.from_batches([batch for batch, _ in found], schema)

        return ArrowRetrievalJob(evaluate, config)

    @staticmethod
    def offline_write_batch(
        config: "RepoConfig",
        feature_view: "FeatureView",
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Add rows to the batch source of a feature view.

        Raises:
            SourceError: The view has no batch source.
            ValueError: The columns are not those of the source, in its order.
        """
        source = feature_view.batch_source
        if source is None:
            raise SourceError(
                f"feature view '{feature_view.name}'",
                "it has no batch source to write to",
                "give it one (for a push source: a batch_source)",
            )
        columns = table.column_names
        if not is_absent(config, source):
            columns = [name for name, _ in source.get_table_column_names_and_types(config)]
        if columns != table.column_names:
            # Feast's callers expect a ValueError here.
            raise ValueError(
                f"source '{source.name}': the rows to write have columns {table.column_names}; "
                f"give {columns}, in this order"
            )
        append_rows(config, source, table)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: "RepoConfig",
        data: pa.Table | Path,
        source: LoggingSource,  # noqa: ARG004 - Feast's signature
        logging_config: LoggingConfig,
        registry: "BaseRegistry",  # noqa: ARG004
    ) -> None:
        """Add logged features to the destination of a feature service.

        Raises:
            SourceError: The destination is not files.
        """
        destination = logging_config.destination
        if not isinstance(destination, FileLoggingDestination):
            raise SourceError(
                "logging destination",
                f"is a {type(destination).__name__}",
                "give the feature service a FileLoggingDestination",
            )
        write_logs(config, destination, data)

    @staticmethod
    def compute_monitoring_metrics(
        config: "RepoConfig",
        data_source: "DataSource",
        *args: Any,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Feast's statistics of a source; a file source without a format is Parquet."""
        return list(
            DuckDBOfflineStore.compute_monitoring_metrics(
                config, _with_format(data_source), *args, **kwargs
            )
        )

    @staticmethod
    def get_monitoring_max_timestamp(
        config: "RepoConfig", data_source: "DataSource", timestamp_field: str
    ) -> datetime | None:
        """The last event time of a source."""
        found: datetime | None = DuckDBOfflineStore.get_monitoring_max_timestamp(
            config, _with_format(data_source), timestamp_field
        )
        return found


def _settings(config: "RepoConfig") -> PointInTimeOfflineStoreConfig:
    found = config.offline_store
    if isinstance(found, PointInTimeOfflineStoreConfig):
        return found
    return PointInTimeOfflineStoreConfig()  # called while another store is configured


def _given(
    config: "RepoConfig", entity_df: "pd.DataFrame | str", registry: "BaseRegistry", project: str
) -> EntityRows:
    if not isinstance(entity_df, str):
        return entity_rows(entity_df)
    sources: Mapping[str, DataSource] = {
        source.name: getattr(source, "batch_source", None) or source
        for source in registry.list_data_sources(project, allow_cache=True)
    }
    return entity_rows_of_sql(entity_df, config, sources, _settings(config).memory_limit)


def _of_range(
    config: "RepoConfig", views: list[RequestedView], start: datetime, end: datetime
) -> EntityRows:
    opened = _opened(config, views)
    return entity_rows_of_range(
        [
            RangeOf(
                opened[view.name],
                tuple((view.column(opened[view.name], key), name) for key, name in view.keys),
                view.column(opened[view.name], view.source.timestamp_field),
            )
            for view in views
        ],
        start,
        end,
        _settings(config).reading().batch_rows,
    )


def _opened(config: "RepoConfig", views: list[RequestedView]) -> dict[str, SourceTable]:
    """The source of each view, opened once where views share it."""
    threads = _settings(config).workers()
    opened: list[tuple[Any, SourceTable]] = []
    found = {}
    for view in views:
        for source, table in opened:
            if source == view.source:
                found[view.name] = table
                break
        else:
            found[view.name] = open_source(config, view.source, threads)
            opened.append((view.source, found[view.name]))
    return found


def _joined(
    config: "RepoConfig", views: list[RequestedView], given: EntityRows, *, known: bool
) -> pa.Table:
    reading = _settings(config).reading()
    sources = _opened(config, views)
    target = JoinTarget(given.table, given.moments)
    result = given.table
    for view in views:
        source = sources[view.name]
        created = view.source.created_timestamp_column
        join = AsOf(
            source=source,
            keys=tuple((view.column(source, key), name) for key, name in view.keys),
            time=view.column(source, view.source.timestamp_field),
            created=view.column(source, created) if created else None,
            ttl=view.ttl if isinstance(view.ttl, timedelta) else None,
            known=known and bool(created),
            order=tuple(view.column(source, name) for name in view.all_features),
        )
        rows = newest_rows(join, target, reading)
        columns = [view.column(source, feature) for feature, _ in view.features]
        for (feature, name), values in zip(
            view.features, fetched(source, rows, columns, reading), strict=True
        ):
            declared = view.declared.get(feature)
            if pa.types.is_null(values.type) and declared is not None:
                values = values.cast(declared)  # noqa: PLW2901 - a column that is null throughout
            result = result.append_column(name, values)
    return result


def _with_format(source: "DataSource") -> "DataSource":
    if parquet_source(source) is None or source.file_format is not None:
        return source
    found = copy.copy(source)
    found.file_options = copy.copy(source.file_options)
    found.file_options.file_format = ParquetFormat()
    return found


def _timed(source: "DataSource", timestamp: str, created: str | None) -> "DataSource":
    """The source, its times under the names they have in the table."""
    found = copy.copy(source)
    found.timestamp_field = timestamp
    found.created_timestamp_column = created or ""
    return found
