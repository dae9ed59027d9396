"""What a training set has for the same requests: Feast's point-in-time join and transformations.

Our own point-in-time join rather than ``get_historical_features``: some offline stores drop entity
rows (dask), and none returns the event times of the joined rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import EVENT_TIME
from feature_platform.errors import FeaturePlatformError, SourceError, type_and_line
from feature_platform.offline.point_in_time import MOMENT, ROW, covered, rows_as_of
from feature_platform.skew.plain_values import values_of
from feature_platform.skew.sampled_requests import Requests
from feature_platform.skew.served_service import ServedService, ServedView
from feature_platform.sources.latest_rows import source_columns
from feature_platform.sources.relation import open_relation
from feature_platform.training.singleton_views import computed_row_by_row

if TYPE_CHECKING:
    from feast import FeatureStore

_BEGINNING = datetime(1700, 1, 1, tzinfo=UTC)  # a nanosecond timestamp goes back to 1677


@dataclass
class Truth:
    """What training has, one value per request, by full name or by the service's name for a view.

    `cells` (Feast's ``Value``) are empty for null and without a row, `times` None without a row.
    `failures` say why a view has no values; `columns` are the read features alone.
    """

    cells: dict[str, list[Any]] = field(default_factory=dict)
    times: dict[str, list[datetime | None]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    columns: dict[str, pa.Array] = field(default_factory=dict)


def training_truth(store: "FeatureStore", service: ServedService, requests: Requests) -> Truth:
    """What a training set has for `requests`, at the moment of each.

    A view whose source cannot be read is a failure of that view only.
    """
    truth = Truth()
    for view in service.readable():
        if not requests.answers(view):
            continue
        try:
            joined = joined_rows(store, view, requests)
        except FeaturePlatformError as error:
            truth.failures[view.name] = str(error)
            continue
        truth.cells |= joined.cells
        truth.times |= joined.times
        truth.columns |= joined.columns
    for on_demand in service.on_demand:
        _compute(on_demand, service, requests, truth)
    return truth


def joined_rows(
    store: "FeatureStore",
    view: ServedView,
    requests: Requests,
    *,
    within: Sequence[Window] | None = None,
) -> Truth:
    """The newest row of each request at its moment, of the source or of some windows of it."""
    from feature_platform.core.feast_protos import Value

    layout = view.layout
    assert layout is not None  # noqa: S101 - only readable views come here
    count = len(requests)
    names = {f"{view.name}__{name}": name for name in view.features}
    if not count:
        return Truth({full: [] for full in names}, {view.name: []})
    first = covered(list(requests.moments), layout.ttl, _BEGINNING)
    whole = Window(first, max(requests.moments) + timedelta(microseconds=1))
    within = [whole] if within is None else within
    windows = [each for window in within if (each := window.intersection(whole))]
    keys = {own: pa.array(requests.keys[asked]) for own, asked in view.join_keys.items()}
    asked = pa.table(
        {
            ROW: pa.array(range(count), pa.int64()),
            MOMENT: pa.array(requests.moments, pa.timestamp("us", "UTC")),
            **keys,
        }
    )
    with open_relation(store.config, layout.source, windows, source_columns(layout)) as relation:
        batches = list(rows_as_of(relation, layout, asked))
    if not batches:
        return Truth(
            cells={full: [Value() for _ in range(count)] for full in names},
            times={view.name: [None] * count},
            columns={full: pa.nulls(count) for full in names},
        )
    joined = pa.Table.from_batches(batches)
    places = {row: place for place, row in enumerate(joined.column(ROW).to_pylist())}
    # In the order of the requests, with nulls where there is no row.
    order = pa.array([places.get(row) for row in range(count)], pa.int64())
    table = joined.combine_chunks().take(order)
    types = {feature.name: feature.value_type for feature in layout.features}
    times = table.column(EVENT_TIME).to_pylist()
    found = Truth(times={view.name: [time and time.astimezone(UTC) for time in times]})
    for full, name in names.items():
        column = found.columns[full] = _one_chunk(table.column(name))
        try:
            found.cells[full] = values_of(column, types[name])
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise SourceError(
                f"feature '{view.name}:{name}'",
                f"the source holds {column.type}, which is no {types[name].name} ({error})",
                "declare the type the source has, or cast the column there",
            ) from error
    return found


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _compute(on_demand: Any, service: ServedService, requests: Requests, truth: Truth) -> None:
    """Run an on-demand view as ``get_historical_features`` does, on the values of training."""
    name = on_demand.projection.name_to_use()
    inputs = [
        f"{source.name_to_use()}__{feature.name}"
        for source in on_demand.source_feature_view_projections.values()
        for feature in source.features
    ]
    missing = [each for each in inputs if each not in truth.columns]
    if missing or any(key not in requests.data for key in on_demand.get_request_data_schema()):
        truth.failures[name] = f"its input {', '.join(missing) or 'from the request'} is not known"
        return
    try:
        made = _transformed(on_demand, service, requests, truth)
        for each in service.features:
            if each.view == name:
                truth.cells[each.name] = values_of(made[each.feature], each.value_type)
    except Exception as error:  # noqa: BLE001 - transformations raise anything
        truth.failures[name] = (
            f"its transformation fails on what training holds ({type_and_line(error)})"
        )


def _transformed(
    on_demand: Any, service: ServedService, requests: Requests, truth: Truth
) -> dict[str, pa.Array]:
    columns: dict[str, Any] = {key: pa.array(each) for key, each in requests.keys.items()}
    columns["event_timestamp"] = pa.array(requests.moments, pa.timestamp("us", "UTC"))
    columns |= {key: pa.array(each) for key, each in requests.data.items()}
    for view in service.views.values():
        for feature in view.features:
            full = f"{view.name}__{feature}"
            if full in truth.columns:
                columns[full if service.full_names else feature] = truth.columns[full]
    computed_row_by_row([on_demand])
    table = on_demand.transform_arrow(pa.table(columns), service.full_names)
    found = {}
    for feature in on_demand.projection.features:
        full = f"{on_demand.projection.name_to_use()}__{feature.name}"
        column = table.column(full if full in table.column_names else feature.name)
        found[feature.name] = _one_chunk(column)
    return found
