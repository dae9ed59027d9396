"""Values compared one by one: what is served against what training has, with a cause for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from feature_platform.skew.plain_values import is_default, is_null, python_value, same
from feature_platform.skew.served_service import ServedView

Cause = Literal[
    "match", "absent", "stale", "late", "ahead", "expired", "null", "default", "type", "value"
]
CAUSES: Mapping[Cause, str] = {
    "match": "served as trained",
    "null": "null on one side",
    "default": "a default on one side: 0, empty, false, or no elements",
    "value": "another value",
    "type": "a value of another type",
    "late": "from an older row, though the newer one should be online by now",
    "expired": "older than the TTL, where training holds null",
    "stale": "from an older row; the newer one is not due yet",
    "ahead": "pushed since by a stream",
    "absent": "no row on either side; not counted",
}
"""What one value is. A default served where training has null is ``default`` too."""

WRONG: tuple[Cause, ...] = ("late", "null", "default", "type", "value")
"""Causes that are always skew; ``expired`` is skew in a log only."""
_RANK: tuple[Cause, ...] = (*WRONG, "expired", "stale", "ahead", "absent", "match")

CLOCK = timedelta(seconds=1)  # Feast's own SQLite store cuts event times to seconds
_EXAMPLES = 5


@dataclass(frozen=True)
class Example:
    """A value that is served otherwise than trained, with the join keys of the request."""

    key: Mapping[str, Any]
    served: Any
    training: Any
    cause: Cause


@dataclass(frozen=True)
class Parity:
    """The values of one feature on both sides, without absent ones; `counts` has those too.

    `lags` are the seconds by which served values are older than training's, of those that are;
    `examples` the first differences, wrong ones before others.
    """

    counts: Mapping[Cause, int]
    lags: tuple[float, ...]
    served: tuple[Any, ...]
    training: tuple[Any, ...]
    examples: tuple[Example, ...]

    @property
    def compared(self) -> int:
        """Number of compared values, without absent ones."""
        return sum(self.counts.values()) - self.counts.get("absent", 0)

    def share(self, *causes: Cause) -> float:
        """Share of the compared values with one of these causes; NaN if none was compared."""
        found = sum(self.counts.get(cause, 0) for cause in causes)
        return found / self.compared if self.compared else float("nan")


@dataclass(frozen=True)
class Pair:
    """One value (Feast's ``Value``) on both sides, with the event times of both rows.

    `held` is the value in the materialized windows, None if it is training's or unknown; `due` the
    event time of the newest row that should be online by now.
    """

    served: Any
    training: Any
    served_time: datetime | None
    time: datetime | None
    moment: datetime
    held: Any | None = None
    due: datetime | None = None


def cause_of(pair: Pair, view: ServedView, *, online: bool) -> Cause:
    """The cause of one value of a feature that is read, not computed.

    `online` says that it was just read; for a log, the materialized windows are unknown.
    """
    if pair.time is None and is_null(pair.served):
        return "absent"
    if same(pair.served, pair.training):
        return "match"
    if pair.time is None:
        return _without_row(pair, view)
    if pair.served_time and pair.served_time >= pair.time - CLOCK:
        pushed = view.streamed and pair.served_time > pair.time + CLOCK
        return "ahead" if pushed else kind_of(pair.served, pair.training)
    if online:
        due = any(pair.time in window for window in view.windows)
        if due or (pair.held is not None and not same(pair.served, pair.held)):
            return kind_of(pair.served, pair.training)
    behind = pair.served_time is None or (pair.due and pair.served_time < pair.due - CLOCK)
    return "late" if pair.due and behind else "stale"


def _without_row(pair: Pair, view: ServedView) -> Cause:
    """The cause of a served value where training has no row within the TTL."""
    time = pair.served_time
    if view.ttl and time and time < pair.moment - view.ttl + CLOCK:
        return "expired"
    return "ahead" if view.streamed and time else kind_of(pair.served, pair.training)


def kind_of(served: Any, training: Any) -> Cause:
    """How two different values differ."""
    if is_null(served):
        return "null"
    if is_null(training):
        # fillna(0) makes a default where serving has no value.
        return "default" if is_default(served) else "null"
    if served.WhichOneof("val") != training.WhichOneof("val"):
        return "type"
    return "default" if is_default(served) != is_default(training) else "value"


def computed_causes(
    served: Sequence[Any],
    training: Sequence[Any],
    inputs: Sequence[Sequence[Cause]],
) -> list[Cause]:
    """The causes of values of an on-demand view: those of its inputs if they differ."""
    found: list[Cause] = []
    for row, (ours, theirs) in enumerate(zip(served, training, strict=True)):
        causes = {each[row] for each in inputs} - {"match"}
        equal = same(ours, theirs, computed=True)
        if equal:
            found.append("absent" if causes == {"absent"} else "match")
        elif causes - {"absent"}:
            found.append(min(causes, key=_RANK.index))
        else:
            found.append(kind_of(ours, theirs))
    return found


def parity(
    causes: Sequence[Cause],
    served: Sequence[Any],
    training: Sequence[Any],
    *,
    keys: Sequence[Mapping[str, Any]],
    moments: Sequence[datetime],
    lags: Sequence[float | None],
) -> Parity:
    """Summarize the values of one feature, one per request; each key counts once per moment."""
    counts: Counter[Cause] = Counter()
    compared: list[int] = []
    seen: set[tuple[datetime, tuple[tuple[str, str], ...]]] = set()
    for row, key in enumerate(keys):
        mark = (moments[row], tuple((name, repr(value)) for name, value in key.items()))
        if mark in seen:
            continue
        seen.add(mark)
        counts[causes[row]] += 1
        if causes[row] != "absent":
            compared.append(row)
    differing = [row for row in compared if causes[row] != "match"]
    differing.sort(key=lambda row: _RANK.index(causes[row]))
    return Parity(
        counts=dict(counts),
        lags=tuple(lag for row in compared if (lag := lags[row]) is not None),
        served=tuple(python_value(served[row]) for row in compared),
        training=tuple(python_value(training[row]) for row in compared),
        examples=tuple(
            Example(keys[row], python_value(served[row]), python_value(training[row]), causes[row])
            for row in differing[:_EXAMPLES]
        ),
    )
