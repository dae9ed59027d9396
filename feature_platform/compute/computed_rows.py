"""The rows of views that Feast computes: transformed, aggregated, derived."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.feast_seams import dataframe_backend, provider_of, rows_for_online_store
from feature_platform.core.times import in_utc
from feature_platform.core.windows import Window
from feature_platform.encoding.feast_rows import Row
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.errors import TransformationError, first_line
from feature_platform.repo.computability import is_computed_here, require_computable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from feast import FeatureStore

    from feature_platform.sources.opened_window import OpenedWindow


@dataclass(frozen=True)
class ComputedRows:
    """The rows of a view that were computed from one window.

    Attributes:
        table: The latest row of each key: keys, features, and the times under their names in the
            view's batch source (the sink of a derived view).
        event_times: The event times of `table`, in UTC.
        rows_read: Source rows read, including those of its parents.
        rows_without_key: How many of them lack a part of their key.
    """

    table: pa.Table
    event_times: pa.Array
    rows_read: int
    rows_without_key: int

    def within(self, window: Window, *, reverse: bool = False) -> "ComputedRows":
        """The rows with an event time in the window; with `reverse`, the others."""
        inside = pc.and_(
            pc.greater_equal(self.event_times, pa.scalar(window.start, self.event_times.type)),
            pc.less(self.event_times, pa.scalar(window.end, self.event_times.type)),
        )
        return self.filter(pc.invert(inside) if reverse else inside)

    def filter(self, kept: pa.Array) -> "ComputedRows":
        """The rows for which `kept` is true."""
        return replace(
            self, table=self.table.filter(kept), event_times=self.event_times.filter(kept)
        )


def computed_rows(
    store: "FeatureStore",
    layout: ViewLayout,
    window: Window,
    opened: "Mapping[str, OpenedWindow]",
) -> ComputedRows:
    """Compute a view's rows from one window with Feast's local engine; nothing is written.

    The window's rows are held in memory, as with Feast.

    Args:
        store: The Feast store.
        layout: The view.
        window: Half-open.
        opened: The window of each of its batch sources, with all columns, by the source's name.

    Raises:
        TransformationError: The view cannot be computed, its function failed, or the result lacks
            keys, features or times.
        SourceError: A source is missing, unreadable, or lacks a column.
    """
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
    task = _task(store, view, window)
    backend = dataframe_backend(engine, context)
    plan = WindowPlan(store.registry, task, backend, opened, window)
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
            if key.name in table.column_names:
                table = table.drop_columns([key.name])
            table = table.append_column(key.name, blank)
    named = {moment: layout.source.timestamp_field}
    if created:
        named[created] = layout.source.created_timestamp_column
    table = table.rename_columns([named.get(name, name) for name in table.column_names])
    return ComputedRows(table, event_times, plan.rows_read, plan.rows_without_key)


def rows_of(computed: ComputedRows, layout: ViewLayout) -> list[Row]:
    """Convert computed rows to those that Feast's engine gives an online store, times in UTC.

    Raises:
        TransformationError: A value does not fit its feature's type.
    """
    if not computed.table.num_rows:
        return []
    try:
        found = rows_for_online_store(computed.table, layout.view, layout.join_keys)
    except (ValueError, TypeError, AssertionError) as error:  # Feast asserts types
        raise TransformationError(
            f"feature view '{layout.name}'",
            f"what was computed does not fit its schema ({first_line(error)})",
            "declare the types that come out, or convert the columns in the transformation",
        ) from error
    return [
        (key, values, in_utc(time), None if created is None else in_utc(created))
        for key, values, time, created in found
    ]


def compute_elsewhere(store: "FeatureStore", view: Any, window: Window) -> None:
    """Let a compute engine that is not local compute a window, and write it where it runs.

    Raises:
        TransformationError: The view cannot be computed.
    """
    from feast.infra.common.materialization_job import MaterializationJobStatus
    from tqdm import tqdm  # type: ignore[import-untyped]

    require_computable(view, store.config)
    task = _task(store, view, window)
    task.tqdm_builder = lambda length: tqdm(total=length, disable=True)
    engine = provider_of(store).batch_engine
    for job in engine.materialize(store.registry, task):
        if job.status() == MaterializationJobStatus.ERROR:
            raise job.error() or RuntimeError("the compute engine failed without an error")


def _task(store: "FeatureStore", view: Any, window: Window) -> Any:
    from feast.infra.common.materialization_job import MaterializationTask

    return MaterializationTask(
        project=store.project,
        feature_view=view,
        start_time=window.start,
        end_time=window.end - timedelta(microseconds=1),  # Feast includes it
    )


def _times_of(layout: ViewLayout) -> tuple[str, str | None]:
    """The names of the two time columns after the field mapping."""
    source = layout.source
    mapping = dict(source.field_mapping or {})
    created = source.created_timestamp_column or None
    moment = mapping.get(source.timestamp_field, source.timestamp_field)
    return moment, mapping.get(created, created) if created else None


def _event_times(view: Any, column: pa.ChunkedArray) -> pa.Array:
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
    # Times that have lost their zone are UTC, as everywhere in Feast; nanoseconds are cut off.
    return whole.cast(pa.timestamp("us", whole.type.tz), safe=False).cast(pa.timestamp("us", "UTC"))
