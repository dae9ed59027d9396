"""Requests to compare: keys that the sources have, combined as a model would ask for them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from feature_platform.errors import SourceError
from feature_platform.offline.point_in_time import sampled_keys
from feature_platform.skew.served_service import ServedService, ServedView
from feature_platform.sources.relation import open_relation

if TYPE_CHECKING:
    from feast import FeatureStore

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Requests:
    """Requests to a feature service, by column.

    `data` is for on-demand views, `made_up` if some was drawn by type. `populations` are numbers of
    keys in the materialized windows, `failures` say why no key could be drawn, both by view.
    """

    moments: tuple[datetime, ...]
    keys: Mapping[str, Sequence[Any]]
    data: Mapping[str, Sequence[Any]]
    populations: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    made_up: bool = False

    def __len__(self) -> int:
        return len(self.moments)

    def answers(self, view: ServedView) -> bool:
        """Whether they have the keys of `view`."""
        return set(view.keys) <= set(self.keys)

    def some(self, rows: Sequence[int], earlier: timedelta = timedelta(0)) -> "Requests":
        """Some of the requests, at an earlier moment."""
        keys, data = (
            {name: [column[row] for row in rows] for name, column in columns.items()}
            for columns in (self.keys, self.data)
        )
        return Requests(tuple(self.moments[row] - earlier for row in rows), keys, data)


def sampled_requests(
    store: "FeatureStore",
    service: ServedService,
    *,
    moment: datetime,
    limit: int,
    seed: int,
    data: Mapping[str, Sequence[Any]],
) -> Requests:
    """Requests for keys drawn from the materialized windows of the service's views.

    Every key has rows of its own. Keys of independent entities are paired at random; if two views
    share a part of their keys, pairs that the source has are preferred. Request data that `data`
    lacks is drawn by type. SourceError if no source of the service can be read.
    """
    failures: dict[str, str] = {}
    populations: dict[str, int] = {}
    samples: list[_Sample] = []
    for place, view in enumerate(service.readable()):
        try:
            total, keys = _keys(store, view, limit=limit, seed=seed + place)
        except SourceError as error:
            failures[view.name] = str(error)
            if len(failures) == len(service.readable()):
                raise
            continue
        populations[view.name] = total
        if view.keys and keys:
            samples.append(_Sample(view, keys))
    rows = _combined(samples, limit)
    known = {key for sample in samples for key in sample.view.keys}
    if not known:
        # No keys: only request data to compute on, or views without entities.
        asks_nothing = not any(view.keys for view in service.views.values())
        count = (limit if service.request_schema else 1) if asks_nothing else 0
        rows = [{} for _ in range(count)]
    values = {
        name: _values(value_type, len(rows), random.Random(f"{seed} {name}"), moment)  # noqa: S311
        if name not in data
        else [data[name][row % len(data[name])] for row in range(len(rows))]
        for name, value_type in service.request_schema.items()
    }
    return Requests(
        moments=(moment,) * len(rows),
        keys={key: [row[key] for row in rows] for key in sorted(known)},
        data=values,
        populations=populations,
        failures=failures,
        made_up=bool(set(service.request_schema) - set(data)),
    )


def _keys(
    store: "FeatureStore", view: ServedView, *, limit: int, seed: int
) -> tuple[int, list[Key]]:
    """The number of keys in the materialized windows, and a sample of them."""
    layout = view.layout
    assert layout is not None  # noqa: S101 - only readable views come here
    if not view.windows:
        return 0, []
    columns = list(layout.source_keys)
    with open_relation(store.config, layout.source, view.windows, columns) as relation:
        if not columns:
            return 1, []
        total, table = sampled_keys(relation, layout, limit=limit, seed=seed)
    values = [table.column(key).to_pylist() for key in view.join_keys]
    return total, list(zip(*values, strict=True))


class _Sample:
    """The drawn keys of one view."""

    def __init__(self, view: ServedView, keys: list[Key]) -> None:
        self.view = view
        self.keys = keys
        self._by_part: dict[tuple[str, ...], dict[Key, list[Key]]] = {}

    def complete(self, row: dict[str, Any], number: int) -> None:
        """Add the missing join keys to `row`, of a key that fits those it has if there is one."""
        names = self.view.keys
        known = tuple(name for name in names if name in row)
        if len(known) == len(names):
            return
        fitting = self._keys_by(known).get(tuple(row[name] for name in known), self.keys)
        key = fitting[number % len(fitting)]
        for name, value in zip(names, key, strict=True):
            row.setdefault(name, value)

    def _keys_by(self, known: tuple[str, ...]) -> dict[Key, list[Key]]:
        if known not in self._by_part:
            places = [self.view.keys.index(name) for name in known]
            grouped: dict[Key, list[Key]] = {}
            for key in self.keys:
                grouped.setdefault(tuple(key[place] for place in places), []).append(key)
            self._by_part[known] = grouped
        return self._by_part[known]


def _combined(samples: Sequence[_Sample], limit: int) -> list[dict[str, Any]]:
    """The keys of each request; views lead in turn, so that the keys of each are asked for."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    most = min(limit, max((len(sample.keys) for sample in samples), default=0))
    names = [key for sample in samples for key in sample.view.keys]
    rounds = len(samples) if len(set(names)) < len(names) else 1
    for number in range(most * rounds):
        if len(rows) == limit:
            break
        lead = number % len(samples)
        row: dict[str, Any] = {}
        for sample in (samples[lead], *samples[:lead], *samples[lead + 1 :]):
            sample.complete(row, number // rounds)
        rows.setdefault(tuple(sorted((k, repr(v)) for k, v in row.items())), row)
    return list(rows.values())


def _values(value_type: Any, count: int, draw: random.Random, moment: datetime) -> list[Any]:
    """Random request data; both sides get the same."""
    name = value_type.name
    if name.endswith("_LIST"):
        inner = name.removesuffix("_LIST")
        return [[_value(inner, draw, moment) for _ in range(3)] for _ in range(count)]
    return [_value(name, draw, moment) for _ in range(count)]


def _value(name: str, draw: random.Random, moment: datetime) -> Any:
    if name in ("INT32", "INT64"):
        return draw.randint(0, 100)
    if name in ("FLOAT", "DOUBLE"):
        return round(draw.uniform(0, 100), 3)
    if name == "BOOL":
        return draw.random() < 0.5  # noqa: PLR2004
    if name == "UNIX_TIMESTAMP":
        return moment - timedelta(seconds=draw.randint(0, 86_400))
    if name == "BYTES":
        return draw.choice((b"a", b"b", b"c"))
    return draw.choice(("a", "b", "c"))
