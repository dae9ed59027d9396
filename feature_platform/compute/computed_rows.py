"""Views that Feast computes while it materializes them: transformed, aggregated, derived."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.feast_seams import dataframe_backend, provider_of, rows_for_online_store
from feature_platform.core.windows import Window
from feature_platform.encoding.feast_rows import Row
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.errors import TransformationError, first_line
from feature_platform.repo.computability import is_computed_here, require_computable

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class ComputedRows:
    """What a view is in one window.

    Attributes:
        table: One row a key, the latest: keys, features, and the times under the names that the
            view's batch source (of a derived view its sink) gives them.
        event_times: The event times of `table`, in UTC.
        rows_read: Source rows read, those of all its parents.
        rows_without_key: How many of them lack a part of their key.
    """

    table: pa.Table
    event_times: pa.Array
    rows_read: int
    rows_without_key: int

    def within(self, window: Window, *, reverse: bool = False) -> "ComputedRows":
        """Those with an event time in the window, or only those without."""
        inside = pc.and_(
            pc.greater_equal(self.event_times, pa.scalar(window.start, self.event_times.type)),
            pc.less(self.event_times, pa.scalar(window.end, self.event_times.type)),
        )
        return self.filter(pc.invert(inside) if reverse else inside)

    def filter(self, kept: pa.Array) -> "ComputedRows":
        """Those for which `kept` is true."""
        return ComputedRows(
            self.table.filter(kept),
            self.event_times.filter(kept),
            self.rows_read,
            self.rows_without_key,
        )


def computed_rows(store: "FeatureStore", layout: ViewLayout, window: Window) -> ComputedRows:
    """What a view is in a window, as Feast's local engine computes it from that window alone.

    Nothing is written. The window's rows are held in memory, as with Feast.

    Args:
        store: The Feast store.
        layout: The view.
        window: Half-open.

    Raises:
        TransformationError: It cannot be computed, its function failed, or what it made lacks keys,
            features or times.
        SourceError: A source is missing, unreadable, or lacks a column.
    """
    from feast.infra.common.materialization_job import MaterializationTask
    from feast.infra.compute_engines.dag.context import ExecutionContext

    from feature_platform.compute.local_plan import WindowPlan, require_columns, whole_rows

    view = layout.view
    require_computable(view, store.config)
    if not is_computed_here(store.config):
        raise TransformationError(
            f"feature view '{view.name}'",
            f"its batch_engine '{store.config.batch_engine.type}' computes it elsewhere, and only "
            "writes what it computes",
            "look at it in the online store",
        )
    provider = provider_of(store)
    engine = provider.batch_engine
    context = ExecutionContext(
        project=store.project,
        repo_config=store.config,
        offline_store=provider.offline_store,
        online_store=provider.online_store,
        entity_defs=[],
    )
    task = MaterializationTask(
        project=store.project,
        feature_view=view,
        start_time=window.start,
        end_time=window.end - timedelta(microseconds=1),
    )
    backend = dataframe_backend(engine, context)
    plan = WindowPlan(store.registry, task, backend, store.config, window)
    table = plan.build().execute(context).data.combine_chunks()
    keys = [key.name for key in layout.keys if key.source is not None]
    moment, created = _times_of(layout)
    features = [feature.name for feature in layout.features]
    require_columns(view, table, [*keys, *features, moment, *([created] if created else [])])
    table = whole_rows(table, [table[name] for name in keys])
    event_times = _event_times(view, table[moment])
    for key in layout.keys:
        if key.source is None:  # a view without entities has one row, under Feast's dummy key
            blank = pa.array([""] * table.num_rows)
            there = key.name in table.column_names
            table = (table.drop_columns([key.name]) if there else table).append_column(
                key.name, blank
            )
    named = {
        moment: layout.source.timestamp_field,
        **({created: layout.source.created_timestamp_column} if created else {}),
    }
    table = table.rename_columns([named.get(name, name) for name in table.column_names])
    return ComputedRows(table, event_times, plan.rows_read, plan.rows_without_key)


def rows_of(computed: ComputedRows, layout: ViewLayout) -> list[Row]:
    """Computed rows as Feast's engine hands them to an online store, times in UTC.

    Raises:
        TransformationError: A value does not fit its feature's type.
    """
    if not computed.table.num_rows:
        return []
    try:
        found = rows_for_online_store(computed.table, layout.view, layout.join_keys)
    except (ValueError, TypeError, AssertionError) as error:  # the last is Feast's, of a type
        raise TransformationError(
            f"feature view '{layout.name}'",
            f"what was computed does not fit its schema ({first_line(error)})",
            "declare the types that come out, or convert the columns in the transformation",
        ) from error
    return [
        (key, values, _aware(time), None if created is None else _aware(created))
        for key, values, time, created in found
    ]


def compute_elsewhere(store: "FeatureStore", view: Any, window: Window) -> None:
    """Let a compute engine that is not local make the rows of a window.

    It writes them where it runs, through the online store's class.

    Args:
        store: The Feast store.
        view: The feature view.
        window: Half-open; Feast's inclusive end is put a microsecond before it.

    Raises:
        TransformationError: It cannot be computed.
    """
    for _ in _jobs(store, view, window):
        pass


def _jobs(store: "FeatureStore", view: Any, window: Window) -> Iterator[Any]:
    from feast.infra.common.materialization_job import (
        MaterializationJobStatus,
        MaterializationTask,
    )
    from tqdm import tqdm  # type: ignore[import-untyped]

    require_computable(view, store.config)
    task = MaterializationTask(
        project=store.project,
        feature_view=view,
        start_time=window.start,
        end_time=window.end - timedelta(microseconds=1),
        tqdm_builder=lambda length: tqdm(total=length, disable=True),
    )
    engine = provider_of(store).batch_engine
    for job in engine.materialize(store.registry, task):
        if job.status() == MaterializationJobStatus.ERROR:
            raise job.error() or RuntimeError("the compute engine failed without saying why")
        yield job


def _times_of(layout: ViewLayout) -> tuple[str, str | None]:
    """The names that the two times have behind the field mapping."""
    source = layout.source
    mapping = dict(source.field_mapping or {})
    created = source.created_timestamp_column or None
    moment = mapping.get(source.timestamp_field, source.timestamp_field)
    return moment, mapping.get(created, created) if created else None


def _event_times(view: Any, column: pa.ChunkedArray) -> pa.Array:
    kind = pa.timestamp("us", "UTC")
    whole = column.combine_chunks()
    problem = ""
    if not pa.types.is_timestamp(whole.type):
        problem = f"of type {whole.type}"
    elif whole.null_count:
        problem = f"null in {whole.null_count} rows"
    if problem:
        raise TransformationError(
            f"feature view '{view.name}'",
            f"the event times that were computed are {problem}",
            "let its transformation return the event time of every row, as a timestamp",
        )
    # Those that have lost their zone are UTC, as everywhere in Feast; nanoseconds are cut.
    return whole.cast(pa.timestamp("us", whole.type.tz), safe=False).cast(kind)


def _aware(moment: datetime) -> datetime:
    """Feast takes pandas times, and those of a transformation may have lost their zone, UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
