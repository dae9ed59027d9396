"""Value by value: what is served against what training holds, each difference with its cause."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from feature_platform.store.skew_requests import Requests
from feature_platform.store.skew_service import ServedFeature, ServedView
from feature_platform.store.skew_values import (
    is_default,
    is_null,
    python_value,
    same,
    same_type,
)

Cause = Literal[
    *("match", "absent", "stale", "late", "ahead", "expired"),
    *("null", "default", "type", "value"),
]
"""What one value is:

- ``match``: served as trained.
- ``absent``: neither side has a row of that key; it counts for nothing.
- ``stale``: training has a newer row, which is not materialized yet and need not be.
- ``late``: the same, but it should have been materialized by now.
- ``ahead``: a stream has pushed a newer value than the batch source holds.
- ``expired``: served although it is older than the TTL, where training holds null.
- ``null``: one side has null where the other has a value.
- ``default``: one side has 0, empty text, false or an empty list where the other has another value,
  or serving has it where training has null.
- ``type``: the values are of two types.
- ``value``: the values differ.
"""

WRONG: tuple[Cause, ...] = ("late", "null", "default", "type", "value")
"""Causes that are skew whatever was asked; what is `EXPIRED` is so where it was really asked."""

_CLOCK = timedelta(seconds=1)  # Feast's own SQLite store cuts event times to seconds
_EXAMPLES = 5


@dataclass(frozen=True)
class Example:
    """One value that is served otherwise than training has it.

    Attributes:
        key: Join keys of the request.
        served: What is served.
        training: What training holds.
        cause: Why.
    """

    key: Mapping[str, Any]
    served: Any
    training: Any
    cause: Cause


@dataclass(frozen=True)
class Parity:
    """How a feature's values compare.

    Attributes:
        counts: Cause to number of values.
        lags: Seconds by which served values are older than training's, of those that are.
        served: The values served, without the absent ones; None for null.
        training: Those that training holds, in the same order.
        examples: The first differences, wrong ones before others.
    """

    counts: Mapping[Cause, int]
    lags: tuple[float, ...]
    served: tuple[Any, ...]
    training: tuple[Any, ...]
    examples: tuple[Example, ...]

    @property
    def compared(self) -> int:
        """Values compared; absent ones are not."""
        return sum(self.counts.values()) - self.counts.get("absent", 0)

    def share(self, *causes: Cause) -> float:
        """Share of the compared values with one of these causes; NaN where none was compared."""
        found = sum(self.counts.get(cause, 0) for cause in causes)
        return found / self.compared if self.compared else float("nan")


@dataclass(frozen=True)
class Sides:
    """Both sides of one view's features, a value a request.

    Attributes:
        served: Feature's full name to Feast's ``Value``.
        served_times: Event times of what was served, by feature's full name.
        training: Feature's full name to Feast's ``Value``.
        training_times: Event times of the rows training has.
        materialized: For requests whose newest row is not materialized: what the windows hold.
    """

    served: Mapping[str, Sequence[Any]]
    served_times: Mapping[str, Sequence[datetime | None]]
    training: Mapping[str, Sequence[Any]]
    training_times: Sequence[datetime | None]
    materialized: Mapping[int, tuple[datetime | None, Mapping[str, Any]]] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class Lag:
    """How far behind serving may be, and what is online.

    Attributes:
        allowed: A row may be so old and not be online; None where any row may be missing.
        judged_by_windows: Whether the windows that are online now were online at the requests'
            moments: they were if that is now, and nobody knows if it was a while ago.
    """

    allowed: timedelta | None
    judged_by_windows: bool


def view_causes(
    view: ServedView, feature: ServedFeature, requests: Requests, sides: Sides, lag: Lag
) -> list[Cause]:
    """The cause of every request's value of a feature that is read, not computed."""
    served, training = sides.served[feature.name], sides.training[feature.name]
    times = sides.served_times[feature.name]
    return [
        _cause(
            view,
            feature,
            requests.moments[row],
            row,
            served[row],
            training[row],
            times[row],
            sides,
            lag,
        )
        for row in range(len(requests))
    ]


def _cause(  # noqa: PLR0911 - one cause a line
    view: ServedView,
    feature: ServedFeature,
    moment: datetime,
    row: int,
    served: Any,
    training: Any,
    served_time: datetime | None,
    sides: Sides,
    lag: Lag,
) -> Cause:
    time = sides.training_times[row]
    if time is None and is_null(served):
        return "absent"
    if same(served, training):
        return "match"
    if time is None:
        ttl = view.layout.ttl if view.layout else None
        if ttl and served_time and served_time < moment - ttl + _CLOCK:
            return "expired"
    if served_time and (time is None or served_time > time + _CLOCK):
        return "ahead" if view.view.stream_source is not None else kind_of(served, training)
    older = served_time is None or time is None or served_time < time - _CLOCK
    if not older or time is None:
        return kind_of(served, training)
    if lag.judged_by_windows:
        if any(time in window for window in view.windows):
            return kind_of(served, training)
        known = sides.materialized.get(row)
        if known is not None and not same(served, known[1][feature.feature]):
            return kind_of(served, training)
    waited = moment - time
    return "late" if lag.allowed is not None and waited > lag.allowed else "stale"


def kind_of(served: Any, training: Any) -> Cause:
    """How two values differ that do."""
    if is_null(served):
        return "null"
    if is_null(training):
        # What fillna(0) makes where serving has no value.
        return "default" if is_default(served) else "null"
    if not same_type(served, training):
        return "type"
    return "default" if is_default(served) != is_default(training) else "value"


def computed_causes(
    feature: ServedFeature,
    served: Sequence[Any],
    training: Sequence[Any],
    inputs: Sequence[Sequence[Cause]],
) -> list[Cause]:
    """The causes of what an on-demand view computes: those of its inputs where they differ."""
    found: list[Cause] = []
    for row, (ours, theirs) in enumerate(zip(served, training, strict=True)):
        causes = {each[row] for each in inputs} - {"match"}
        if causes == {"absent"} and len(inputs):
            found.append("absent" if same(ours, theirs, computed=True) else kind_of(ours, theirs))
        elif same(ours, theirs, computed=feature.computed):
            found.append("match")
        else:
            worst = sorted(causes - {"absent"}, key=_RANK.index)
            found.append(worst[0] if worst else kind_of(ours, theirs))
    return found


_RANK: tuple[Cause, ...] = (*WRONG, "expired", "stale", "ahead", "absent", "match")


def parity(
    causes: Sequence[Cause],
    served: Sequence[Any],
    training: Sequence[Any],
    keys: Sequence[Mapping[str, Any]],
    moments: Sequence[datetime],
    lags: Sequence[float | None],
) -> Parity:
    """Put the values of one feature together; every key and moment counts once.

    Args:
        causes: One a request.
        served: Feast's ``Value`` a request.
        training: Likewise.
        keys: The join keys of the feature's view a request; those of one key at one moment count
            once.
        moments: When each was asked.
        lags: Seconds by which the served value is older; None where it is not.
    """
    counts: Counter[Cause] = Counter()
    chosen: list[int] = []
    seen: set[tuple[datetime, tuple[tuple[str, str], ...]]] = set()
    for row, key in enumerate(keys):
        mark = (moments[row], tuple((name, repr(value)) for name, value in key.items()))
        if mark in seen:
            continue
        seen.add(mark)
        counts[causes[row]] += 1
        if causes[row] != "absent":
            chosen.append(row)
    differing = [row for row in chosen if causes[row] != "match"]
    differing.sort(key=lambda row: _RANK.index(causes[row]))
    return Parity(
        counts=dict(counts),
        lags=tuple(lag for row in chosen if (lag := lags[row]) is not None),
        served=tuple(python_value(served[row]) for row in chosen),
        training=tuple(python_value(training[row]) for row in chosen),
        examples=tuple(
            Example(keys[row], python_value(served[row]), python_value(training[row]), causes[row])
            for row in differing[:_EXAMPLES]
        ),
    )
