"""Served feature values: read online now, or from the log."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import entity_key_messages, provider_of
from feature_platform.core.sql import identifier
from feature_platform.core.times import in_utc
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
    """Feast's ``Value`` (empty for null) and event times, one per request, by the full name.

    A missing row has an empty value and no time, a computed feature has no time.
    """

    cells: dict[str, list[Any]] = field(default_factory=dict)
    times: dict[str, list[datetime | None]] = field(default_factory=dict)


def served_online(store: "FeatureStore", service: ServedService, requests: Requests) -> Answers:
    """Read the service with ``get_online_features``, as a model does.

    Inputs of on-demand views are read too. If the requests lack the keys of some view, or a view is
    not filled, the other views are read one by one, without on-demand views.
    """
    whole = not service.unfilled and all(requests.answers(view) for view in service.views.values())
    alone = service.inputs if whole else (*service.features, *service.inputs)
    answers = Answers()
    # Feast answers with the first row alone where a view computes one request at a time.
    step = 1 if any(view.singleton for view in service.on_demand) else _READ_AT_ONCE
    for start in range(0, len(requests), step):
        part = requests.some(range(start, min(start + step, len(requests))))
        try:
            if whole:
                _read_service(store, service, part, answers)
            for view in service.views.values():
                features = [each for each in alone if each.view == view.name and not each.computed]
                if features and part.answers(view):
                    _read_view(store, view, features, part, answers)
        except Exception as error:  # stores and transformations raise anything
            raise OnlineStoreError(
                f"feature service '{service.name}'",
                f"reading it online failed: {type_and_line(error)}",
                "check that the online store runs, that feast apply has made its tables, and that "
                "the service's on-demand views take nulls",
            ) from error
    return answers


def _read_service(
    store: "FeatureStore", service: ServedService, requests: Requests, answers: Answers
) -> None:
    from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

    asked = {**requests.keys, **requests.data}
    if not asked:
        asked = {DUMMY_ENTITY_ID: [DUMMY_ENTITY_VAL] * len(requests)}
    answer = store.get_online_features(
        features=service.service, entity_rows=asked, full_feature_names=service.full_names
    ).proto
    columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    for each in service.features:
        if each.column in columns:
            column = columns[each.column]
            answers.cells.setdefault(each.name, []).extend(column.values)
            times = [_moment(stamp) for stamp in column.event_timestamps]
            answers.times.setdefault(each.name, []).extend(times)


def _read_view(
    store: "FeatureStore",
    view: ServedView,
    features: Sequence[ServedFeature],
    requests: Requests,
    answers: Answers,
) -> None:
    """Read features of one view, without the service."""
    from feature_platform.core.feast_protos import Value

    rows = provider_of(store).online_read(
        store.config, view.view, _entity_keys(view, requests), [each.feature for each in features]
    )
    for each in features:
        cells = [(found or {}).get(each.feature, Value()) for _, found in rows]
        answers.cells.setdefault(each.name, []).extend(cells)
        answers.times.setdefault(each.name, []).extend(time and in_utc(time) for time, _ in rows)


def _entity_keys(view: ServedView, requests: Requests) -> list[Any]:
    from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
    from feast.type_map import python_values_to_proto_values

    from feature_platform.core.feast_protos import Value

    types = {column.name: column.dtype.to_value_type() for column in view.view.entity_columns}
    values = {
        own: python_values_to_proto_values(list(requests.keys[asked]), types[own])
        for own, asked in view.join_keys.items()
    } or {DUMMY_ENTITY_ID: [Value(string_val=DUMMY_ENTITY_VAL)] * len(requests)}
    return entity_key_messages(len(requests), values, values)


@dataclass(frozen=True)
class Log:
    """The number of logged vectors of a window, and a sample of them.

    `problem` says why there are none, if the log cannot be read.
    """

    total: int
    requests: Requests
    answers: Answers
    problem: str = ""


def logged_answers(
    store: "FeatureStore", service: ServedService, window: Window, *, limit: int, seed: int
) -> Log | None:
    """At most `limit` of the vectors logged in `window`; None if the service does not log."""
    from feast.feature_logging import LOG_TIMESTAMP_FIELD, REQUEST_ID_FIELD

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
        return Log(0, Requests((), {}, {}), Answers(), error.problem)
    keys = list(dict.fromkeys(key for view in service.views.values() for key in view.keys))
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
    moments = found[source.timestamp_field]
    requests = Requests(
        moments=tuple(in_utc(moment) if moment else window.end for moment in moments),
        keys={key: found[key] for key in keys},
        data={name: found[name] for name in data},
    )
    times = {
        name: [time and in_utc(time) for time in found[stamp]] for name, stamp in stamps.items()
    }
    return Log(total, requests, Answers(cells, times))


def _moment(timestamp: Any) -> datetime | None:
    if not timestamp.seconds and not timestamp.nanos:
        return None
    moment: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return moment
