"""Served feature values: read online now, or from the log."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import provider_of
from feature_platform.core.sql import identifier
from feature_platform.core.windows import Window
from feature_platform.errors import OnlineStoreError, SourceError, type_and_line
from feature_platform.skew.plain_values import values_of
from feature_platform.skew.sampled_requests import Requests
from feature_platform.skew.served_service import ServedFeature, ServedService, ServedView
from feature_platform.sources.relation import VIEW, open_relation

if TYPE_CHECKING:
    from feast import FeatureStore

_READ_AT_ONCE = 500


@dataclass(frozen=True)
class Answers:
    """Feature values, one per request, by the feature's full name.

    Attributes:
        cells: Feast's ``Value``; empty for null and for missing rows.
        times: Event times of the values; None for missing rows and computed features.
    """

    cells: Mapping[str, Sequence[Any]]
    times: Mapping[str, Sequence[datetime | None]]

    def beside(self, other: "Answers") -> "Answers":
        """Both together, for the same requests."""
        return Answers({**self.cells, **other.cells}, {**self.times, **other.times})


def served_online(store: "FeatureStore", service: ServedService, requests: Requests) -> Answers:
    """Read the service with ``get_online_features``, as a model does.

    Inputs of on-demand views are read too. If the requests lack the keys of some view, the other
    views are read one by one, without on-demand views.

    Raises:
        OnlineStoreError: The online store failed, or an on-demand feature view did.
    """
    whole = all(requests.answers(view) for view in service.views.values())
    values: dict[str, list[Any]] = {}
    times: dict[str, list[datetime | None]] = {}
    for start in range(0, len(requests), _READ_AT_ONCE):
        rows = range(start, min(start + _READ_AT_ONCE, len(requests)))
        try:
            part = _answered(store, service, requests, rows) if whole else Answers({}, {})
            rest = service.inputs if whole else (*service.features, *service.inputs)
            part = part.beside(_read(store, service, rest, requests, rows))
        except Exception as error:  # stores and transformations raise anything
            raise OnlineStoreError(
                f"feature service '{service.name}'",
                f"reading it online failed: {type_and_line(error)}",
                "check that the online store runs, that feast apply has made its tables, and that "
                "the service's on-demand views take nulls",
            ) from error
        for name, column in part.cells.items():
            values.setdefault(name, []).extend(column)
            times.setdefault(name, []).extend(part.times[name])
    return Answers(values, times)


def _answered(
    store: "FeatureStore", service: ServedService, requests: Requests, rows: range
) -> Answers:
    from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

    columns = {**requests.keys, **requests.data}
    asked = {name: list(column)[rows.start : rows.stop] for name, column in columns.items()}
    if not asked:
        asked = {DUMMY_ENTITY_ID: [DUMMY_ENTITY_VAL] * len(rows)}
    answer = store.get_online_features(
        features=service.service, entity_rows=asked, full_feature_names=service.full_names
    ).proto
    results = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    found = {each.name: results[each.column] for each in service.features if each.column in results}
    return Answers(
        cells={name: list(column.values) for name, column in found.items()},
        times={
            name: [_moment(each) for each in column.event_timestamps]
            for name, column in found.items()
        },
    )


def _read(
    store: "FeatureStore",
    service: ServedService,
    features: Sequence[ServedFeature],
    requests: Requests,
    rows: range,
) -> Answers:
    """Read features view by view, without the service."""
    from feature_platform.core.feast_protos import Value

    provider = provider_of(store)
    values: dict[str, list[Any]] = {}
    times: dict[str, list[datetime | None]] = {}
    for view in service.views.values():
        names = [each for each in features if each.view == view.name and not each.computed]
        if not names or not requests.answers(view):
            continue
        answers = provider.online_read(
            store.config,
            view.view,
            _entity_keys(view, requests, rows),
            [each.feature for each in names],
        )
        for each in names:
            values[each.name] = [(found or {}).get(each.feature, Value()) for _, found in answers]
            times[each.name] = [_aware(time) for time, _ in answers]
    return Answers(values, times)


def _entity_keys(view: ServedView, requests: Requests, rows: range) -> list[Any]:
    from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
    from feast.type_map import python_values_to_proto_values

    from feature_platform.core.feast_protos import EntityKey, Value

    if not view.keys:
        dummy = EntityKey(
            join_keys=[DUMMY_ENTITY_ID], entity_values=[Value(string_val=DUMMY_ENTITY_VAL)]
        )
        return [dummy] * len(rows)
    types = {column.name: column.dtype.to_value_type() for column in view.view.entity_columns}
    columns = [
        python_values_to_proto_values(
            list(requests.keys[asked][rows.start : rows.stop]), types[own]
        )
        for own, asked in view.join_keys.items()
    ]
    return [
        EntityKey(join_keys=list(view.join_keys), entity_values=list(key))
        for key in zip(*columns, strict=True)
    ]


@dataclass(frozen=True)
class Log:
    """Logged vectors of a window.

    Attributes:
        total: Their number.
        requests: The requests of a sample.
        answers: The answers of the sample.
        problem: Why there are none, if the log cannot be read.
    """

    total: int
    requests: Requests
    answers: Answers
    problem: str = ""


def logged_answers(
    store: "FeatureStore", service: ServedService, window: Window, *, limit: int, seed: int
) -> Log | None:
    """The vectors that the service logged in `window`, or a sample of them.

    Args:
        store: The Feast store.
        service: The service.
        window: Half-open window of log time.
        limit: Most vectors.
        seed: Seed of the sample.

    Returns:
        The vectors; None if the service does not log.

    Raises:
        SourceError: The log lacks a column that Feast writes.
    """
    from feast.feature_logging import LOG_TIMESTAMP_FIELD

    if service.service.logging_config is None:
        return None
    source = copy.copy(service.service.logging_config.destination.to_data_source())
    source.name = f"log of {service.name}"
    source.timestamp_field = source.timestamp_field or LOG_TIMESTAMP_FIELD
    try:
        with open_relation(store.config, source, [window], []):
            pass
    except SourceError as error:
        # Nothing has been logged yet.
        return Log(0, Requests((), {}, {}), Answers({}, {}), error.problem)
    keys = list(dict.fromkeys(key for view in service.views.values() for key in view.keys))
    return _vectors(store, service, source, window, keys, limit=limit, seed=seed)


def _vectors(
    store: "FeatureStore",
    service: ServedService,
    source: Any,
    window: Window,
    keys: Sequence[str],
    *,
    limit: int,
    seed: int,
) -> Log:
    from feast.feature_logging import REQUEST_ID_FIELD

    data = list(service.request_schema)
    stamps = {each.name: f"{each.name}__timestamp" for each in service.features}
    columns = [*keys, *data, *stamps, *stamps.values(), REQUEST_ID_FIELD]
    found: dict[str, list[Any]] = {name: [] for name in (*columns, source.timestamp_field)}
    cells: dict[str, list[Any]] = {name: [] for name in stamps}
    with open_relation(store.config, source, [window], columns) as relation:
        total = int(relation.rows(f"SELECT count(*) FROM {VIEW}")[0][0])
        marks = (REQUEST_ID_FIELD, *keys, source.timestamp_field)
        texts = ", ".join(f"{identifier(name)}::VARCHAR" for name in marks)
        drawn = f"md5(concat_ws(chr(31), '{int(seed)}', {texts}))"
        taken = f"SELECT * FROM {VIEW} ORDER BY {drawn} LIMIT {int(limit)}"
        for batch in relation.batches(taken):
            for name, column in found.items():
                column.extend(batch.column(name).to_pylist())
            for each in service.features:
                cells[each.name] += values_of(batch.column(each.name), each.value_type)
    requests = Requests(
        moments=tuple(_aware(moment) or window.end for moment in found[source.timestamp_field]),
        keys={key: found[key] for key in keys},
        data={name: found[name] for name in data},
    )
    times = {name: [_aware(time) for time in found[stamp]] for name, stamp in stamps.items()}
    return Log(total, requests, Answers(cells, times))


def _moment(timestamp: Any) -> datetime | None:
    if not timestamp.seconds and not timestamp.nanos:
        return None
    moment: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return moment


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
