"""Requests to compare with: keys that the sources really hold, put together as a model would."""

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

    Attributes:
        moments: When each was, or is to be, answered; aware.
        keys: Join keys as requests use them; those of views that hold no key are missing.
        data: What on-demand views take from the request.
        populations: View to the number of keys that its materialized windows hold.
        failures: View to why no key could be drawn of it.
        made_up: Whether `data` was drawn by type for want of anything real.
    """

    moments: tuple[datetime, ...]
    keys: Mapping[str, Sequence[Any]]
    data: Mapping[str, Sequence[Any]]
    populations: Mapping[str, int]
    failures: Mapping[str, str] = field(default_factory=dict)
    made_up: bool = False

    def __len__(self) -> int:
        return len(self.moments)

    def answers(self, view: ServedView) -> bool:
        """Whether they hold the keys of `view`."""
        return set(view.keys) <= set(self.keys)

    def key_of(self, view: ServedView, row: int) -> Key:
        """The key of `view` in one request; the empty one for a view without entities."""
        return tuple(self.keys[key][row] for key in view.keys)

    def rows(self) -> dict[str, list[Any]]:
        """What ``get_online_features`` takes."""
        return {name: list(values) for name, values in {**self.keys, **self.data}.items()}


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

    Every key has rows of its own; keys of independent entities are paired at random, and where two
    views share a part of their keys, a pair that the source holds is looked for first.

    Args:
        store: The Feast store.
        service: The service.
        moment: When they are to be answered.
        limit: Requests at most.
        seed: The same one draws the same requests from the same sources.
        data: Values that requests carry, by name; what is missing is drawn by type.

    Raises:
        SourceError: No source of the service can be read.
    """
    failures: dict[str, str] = {}
    populations: dict[str, int] = {}
    samples: list[tuple[ServedView, list[Key]]] = []
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
            samples.append((view, keys))
    rows = _combined(samples, limit)
    known = {key for view, _ in samples for key in view.keys}
    if not known:
        # Nothing but requests to compute on, or views without entities.
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


def _combined(samples: Sequence[tuple[ServedView, list[Key]]], limit: int) -> list[dict[str, Any]]:
    """One request a row; each view leads in turn, so that its own keys are what is asked for."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    most = min(limit, max((len(keys) for _, keys in samples), default=0))
    found = [_Finder(view, keys) for view, keys in samples]
    shared = _share_keys([view for view, _ in samples])
    for number in range(most * len(found) if shared else most):
        if len(rows) == limit:
            break
        lead = number % len(found)
        row: dict[str, Any] = {}
        for finder in (found[lead], *found[:lead], *found[lead + 1 :]):
            finder.complete(row, number // len(found) if shared else number)
        rows.setdefault(tuple(sorted((k, repr(v)) for k, v in row.items())), row)
    return list(rows.values())


def _share_keys(views: Sequence[ServedView]) -> bool:
    names = [key for view in views for key in view.keys]
    return len(set(names)) < len(names)


class _Finder:
    """Finds a key of a view that fits what a request has already."""

    def __init__(self, view: ServedView, keys: list[Key]) -> None:
        self.view = view
        self.keys = keys
        self._by_part: dict[tuple[str, ...], dict[Key, list[Key]]] = {}

    def complete(self, row: dict[str, Any], number: int) -> None:
        """Add the join keys that `row` lacks."""
        names = self.view.keys
        known = tuple(name for name in names if name in row)
        if len(known) == len(names):
            return
        fitting = self._fitting(known).get(tuple(row[name] for name in known), self.keys)
        key = fitting[number % len(fitting)]
        for name, value in zip(names, key, strict=True):
            row.setdefault(name, value)

    def _fitting(self, known: tuple[str, ...]) -> dict[Key, list[Key]]:
        if known not in self._by_part:
            places = [self.view.keys.index(name) for name in known]
            grouped: dict[Key, list[Key]] = {}
            for key in self.keys:
                grouped.setdefault(tuple(key[place] for place in places), []).append(key)
            self._by_part[known] = grouped
        return self._by_part[known]


def _values(value_type: Any, count: int, draw: random.Random, moment: datetime) -> list[Any]:
    """Request data for want of any: both sides get the same, whatever it is."""
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
