"""What a training set holds for the same requests: Feast's point-in-time join, and its transforms.

Read by the engine rather than by ``get_historical_features``: some offline stores drop entity rows
(dask), and none says when a value is from.
"""

from collections.abc import Mapping, Sequence
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

if TYPE_CHECKING:
    from feast import FeatureStore

_BEGINNING = datetime(1700, 1, 1, tzinfo=UTC)  # a nanosecond timestamp goes back to 1677


@dataclass(frozen=True)
class Truth:
    """What training holds, by the feature's full name; a value a request.

    Attributes:
        cells: Feast's ``Value``; an empty one for null and where there is no row.
        times: Event times of the rows, by view; None where there is no row.
        failures: Why a view, or an on-demand view, has no values; by the service's name for it.
    """

    cells: Mapping[str, Sequence[Any]]
    times: Mapping[str, Sequence[datetime | None]]
    failures: Mapping[str, str]


@dataclass
class _Joined:
    """One view's rows beside the requests."""

    columns: dict[str, pa.Array]
    cells: dict[str, list[Any]]
    times: list[datetime | None]


@dataclass
class _Work:
    cells: dict[str, list[Any]] = field(default_factory=dict)
    times: dict[str, list[datetime | None]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    columns: dict[str, pa.Array] = field(default_factory=dict)


def training_truth(store: "FeatureStore", service: ServedService, requests: Requests) -> Truth:
    """What a training set for `requests` holds, at the moment of each.

    A view whose source cannot be read is a failure of that view alone.

    Args:
        store: The Feast store.
        service: The service.
        requests: Its requests.
    """
    work = _Work()
    for view in service.readable():
        if not requests.answers(view):
            continue
        try:
            joined = _joined(store, view, requests)
        except FeaturePlatformError as error:
            work.failures[view.name] = str(error)
            continue
        work.times[view.name] = joined.times
        for name, column in joined.cells.items():
            work.cells[f"{view.name}__{name}"] = column
        for name, array in joined.columns.items():
            work.columns[f"{view.name}__{name}"] = array
    for on_demand in service.on_demand:
        _compute(on_demand, service, requests, work)
    return Truth(work.cells, work.times, work.failures)


def materialized_truth(
    store: "FeatureStore", view: ServedView, requests: Requests, rows: Sequence[int]
) -> Mapping[int, Mapping[str, Any]]:
    """What the materialized windows alone hold for some of the requests, by row and feature."""
    wanted = _some(requests, rows, timedelta(0))
    joined = _joined(store, view, wanted, within=view.windows)
    return {
        row: {name: column[place] for name, column in joined.cells.items()}
        for place, row in enumerate(rows)
    }


def times_before(
    store: "FeatureStore",
    view: ServedView,
    requests: Requests,
    rows: Sequence[int],
    earlier: timedelta,
) -> Mapping[int, datetime | None]:
    """Event times of the rows that some requests would have met so much earlier, by request."""
    joined = _joined(store, view, _some(requests, rows, earlier))
    return dict(zip(rows, joined.times, strict=True))


def _some(requests: Requests, rows: Sequence[int], earlier: timedelta) -> Requests:
    return Requests(
        moments=tuple(requests.moments[row] - earlier for row in rows),
        keys={key: [column[row] for row in rows] for key, column in requests.keys.items()},
        data={},
        populations={},
    )


def _joined(
    store: "FeatureStore",
    view: ServedView,
    requests: Requests,
    *,
    within: Sequence[Window] | None = None,
) -> _Joined:
    from feature_platform.core.feast_protos import Value

    layout = view.layout
    assert layout is not None  # noqa: S101 - only readable views come here
    count = len(requests)
    if not count:
        return _Joined({}, {name: [] for name in view.features}, [])
    moments = list(requests.moments)
    whole = Window(
        covered(moments, layout.ttl, _BEGINNING), max(moments) + timedelta(microseconds=1)
    )
    windows = [whole]
    if within is not None:
        windows = [each for window in within if (each := window.intersection(whole))]
    kinds = {feature.name: feature.value_type for feature in layout.features}
    with open_relation(store.config, layout.source, windows, source_columns(layout)) as relation:
        batches = list(rows_as_of(relation, layout, _question(view, requests)))
    if not batches:
        nothing = {name: pa.nulls(count) for name in view.features}
        blank = {name: [Value() for _ in range(count)] for name in view.features}
        return _Joined(nothing, blank, [None] * count)
    found = pa.Table.from_batches(batches)
    places = {row: place for place, row in enumerate(found.column(ROW).to_pylist())}
    # In the order of the requests, with nulls where there is no row.
    order = pa.array([places.get(row) for row in range(count)], pa.int64())
    table = found.combine_chunks().take(order)
    columns = {name: _one(table.column(name)) for name in view.features}
    values = {}
    for name, column in columns.items():
        try:
            values[name] = values_of(column, kinds[name])
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise SourceError(
                f"feature '{view.name}:{name}'",
                f"the source holds {column.type}, which is no {kinds[name].name} ({error})",
                "declare the type the source has, or cast the column there",
            ) from error
    times = [
        None if time is None else time.astimezone(UTC)
        for time in table.column(EVENT_TIME).to_pylist()
    ]
    return _Joined(columns, values, times)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _question(view: ServedView, requests: Requests) -> pa.Table:
    count = len(requests)
    columns: dict[str, Any] = {
        ROW: pa.array(range(count), pa.int64()),
        MOMENT: pa.array(requests.moments, pa.timestamp("us", "UTC")),
    }
    for own, asked in view.join_keys.items():
        columns[own] = pa.array(requests.keys[asked])
    return pa.table(columns)


def _compute(on_demand: Any, service: ServedService, requests: Requests, work: _Work) -> None:
    """Run an on-demand view as ``get_historical_features`` does, on what training holds."""
    name = on_demand.projection.name_to_use()
    inputs = [
        f"{source.name_to_use()}__{feature.name}"
        for source in on_demand.source_feature_view_projections.values()
        for feature in source.features
    ]
    missing = [each for each in inputs if each not in work.columns]
    if missing or any(key not in requests.data for key in on_demand.get_request_data_schema()):
        work.failures[name] = f"its input {', '.join(missing) or 'from the request'} is not known"
        return
    try:
        made = _transformed(on_demand, service, requests, work)
        for each in service.features:
            if each.view == name:
                work.cells[each.name] = values_of(made[each.feature], each.value_type)
    except Exception as error:  # noqa: BLE001 - whatever the transformation raises
        work.failures[name] = (
            f"its transformation fails on what training holds ({type_and_line(error)})"
        )


def _transformed(
    on_demand: Any, service: ServedService, requests: Requests, work: _Work
) -> dict[str, pa.Array]:
    moments = pa.array(requests.moments, pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {key: pa.array(each) for key, each in requests.keys.items()}
    columns["event_timestamp"] = moments
    columns |= {key: pa.array(each) for key, each in requests.data.items()}
    plain: dict[str, str] = {} if service.full_names else _plain_names(service, work)
    columns |= {plain.get(full, full): array for full, array in work.columns.items()}
    table = on_demand.transform_arrow(pa.table(columns), service.full_names)
    found = {}
    for feature in on_demand.projection.features:
        full = f"{on_demand.projection.name_to_use()}__{feature.name}"
        column = table.column(full if full in table.column_names else feature.name)
        found[feature.name] = _one(column)
    return found


def _plain_names(service: ServedService, work: _Work) -> dict[str, str]:
    return {
        f"{view.name}__{feature}": feature
        for view in service.views.values()
        for feature in view.features
        if f"{view.name}__{feature}" in work.columns
    }
