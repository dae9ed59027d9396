"""Value by value: what is served against what training holds, each difference with its cause."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from feature_platform.core.windows import Window
from feature_platform.skew.plain_values import is_default, is_null, python_value, same, same_type

Cause = Literal[
    "match", "absent", "stale", "late", "ahead", "expired", "null", "default", "type", "value"
]
"""What one value is:

- ``match``: served as trained.
- ``absent``: neither side has a row of that key; it counts for nothing.
- ``stale``: training has a newer row, which is not materialized yet and need not be.
- ``late``: the same, but that row or an older one should have been materialized by now.
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
class Pair:
    """One value on both sides.

    Attributes:
        served: Feast's ``Value`` as it was served.
        training: As training holds it.
        served_time: Event time of what was served; None where nothing was.
        time: Event time of training's row; None where it has none.
        moment: When it was asked for.
        held: What the materialized windows hold, if that is something else than `training`; None
            where that is not known.
        due: Event time of the newest row that should be online by now; None without one.
    """

    served: Any
    training: Any
    served_time: datetime | None
    time: datetime | None
    moment: datetime
    held: Any | None = None
    due: datetime | None = None


@dataclass(frozen=True)
class Serving:
    """What may be expected of a view's online store.

    Attributes:
        ttl: How long a row counts; None is for ever.
        streamed: Whether a stream writes to it too.
        windows: What is online; None where the windows of the moment are not known, as for a log.
    """

    ttl: timedelta | None
    streamed: bool
    windows: Sequence[Window] | None


def cause_of(pair: Pair, serving: Serving) -> Cause:
    """What one value of a feature is that is read, not computed."""
    if pair.time is None and is_null(pair.served):
        return "absent"
    if same(pair.served, pair.training):
        return "match"
    if pair.time is None:
        return _without_row(pair, serving)
    if pair.served_time and pair.served_time >= pair.time - _CLOCK:
        pushed = serving.streamed and pair.served_time > pair.time + _CLOCK
        return "ahead" if pushed else kind_of(pair.served, pair.training)
    return _from_older_row(pair, pair.time, serving)


def _from_older_row(pair: Pair, time: datetime, serving: Serving) -> Cause:
    """Training has a row of `time`, and what is served comes from an older one, or from none."""
    if serving.windows is not None:
        due = any(time in window for window in serving.windows)
        if due or (pair.held is not None and not same(pair.served, pair.held)):
            return kind_of(pair.served, pair.training)
    if pair.due is None:
        return "stale"
    behind = pair.served_time is None or pair.served_time < pair.due - _CLOCK
    return "late" if behind else "stale"


def _without_row(pair: Pair, serving: Serving) -> Cause:
    """Something is served where training has no row that counts."""
    time = pair.served_time
    if serving.ttl and time and time < pair.moment - serving.ttl + _CLOCK:
        return "expired"
    return "ahead" if serving.streamed and time else kind_of(pair.served, pair.training)


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
        elif same(ours, theirs, computed=True):
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
    *,
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
