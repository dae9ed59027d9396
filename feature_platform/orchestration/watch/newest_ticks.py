"""The stored ticks of a sensor or schedule: the newest, and the cursor it left."""

from typing import Any

import dagster as dg
from dagster._core.definitions.selector import InstigatorSelector
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorTick,
    SensorInstigatorData,
    TickStatus,
)

# Without those that are still running.
_GOOD = [TickStatus.SUCCESS, TickStatus.SKIPPED]
_ENDED = [*_GOOD, TickStatus.FAILURE]
# Seconds. Two ticks of a sensor are further apart, and databases store times more exactly.
_APART = 0.5


def selector_of(context: dg.SensorEvaluationContext, name: str) -> str:
    """The id under which a daemon stores the ticks of a sensor or schedule of a code location."""
    assert context.code_location_origin is not None  # noqa: S101 - a daemon gives it
    assert context.repository_name is not None  # noqa: S101 - a daemon gives it
    return InstigatorSelector(
        location_name=context.code_location_origin.location_name,
        repository_name=context.repository_name,
        name=name,
    ).get_id()


def newest_tick(instance: dg.DagsterInstance, state: InstigatorState) -> InstigatorTick | None:
    """The newest tick of a sensor or schedule that has ended, in one query.

    Of a sensor it is the tick that its state names: the one with the latest time may come from a
    clock that ran ahead.
    """
    data = state.instigator_data
    last = data.last_tick_timestamp if isinstance(data, SensorInstigatorData) else None
    if last is None:
        ticks = instance.get_ticks("", state.selector_id, limit=1, statuses=_ENDED)
    else:
        # Dagster keeps a week of them, and sorts all that the filter leaves.
        ticks = instance.get_ticks(
            "", state.selector_id, after=last - _APART, before=last + _APART, statuses=_ENDED
        )
    return max(ticks, key=lambda tick: tick.tick_id, default=None)


def cursor_of(context: dg.SensorEvaluationContext) -> str | None:
    """The cursor that this sensor's newest tick left, even if its daemon died before storing it.

    Dagster ends a tick in one commit and stores its cursor in a second one, with the time of the
    tick: ticks that ended after that time have newer cursors. A failed tick is stored with the
    cursor that it was given. If that cursor is older than the one of the last good tick, the
    latter was lost; any other cursor was set by hand, and counts.

    Ticks are queried once, and twice after a failed one.
    """
    if context.code_location_origin is None:
        return context.cursor  # no ticks are stored
    selector = selector_of(context, context.sensor_name)
    last = context.last_tick_completion_time
    if last is None and context.cursor:
        return context.cursor  # given by hand, to try the sensor out
    limits: dict[str, Any] = {"limit": 1} if last is None else {"after": last - _APART}
    ticks = context.instance.get_ticks("", selector, statuses=_ENDED, **limits)
    # By id: older ticks have later times after a clock that ran ahead was corrected.
    newest = max(
        (tick for tick in ticks if tick.timestamp == last),
        key=lambda tick: tick.tick_id,
        default=None,
    )
    stored = newest.tick_id if newest else 0
    # A failed tick leaves no cursor, and an interrupted one has none.
    left = [
        tick
        for tick in ticks
        if tick.tick_id > stored and tick.cursor and tick.status != TickStatus.FAILURE
    ]
    if left:
        return max(left, key=lambda tick: tick.tick_id).cursor
    if newest is None or newest.status != TickStatus.FAILURE:
        return context.cursor
    # More than two, since some may have been interrupted. The first tick had no cursor before it.
    ticks = context.instance.get_ticks("", selector, before=last, limit=10, statuses=_GOOD)
    good = sorted((tick.tick_id, tick.cursor) for tick in ticks if tick.cursor)
    older, newer = [None, None, *(cursor for _, cursor in good)][-2:]
    return newer if newer and (context.cursor or None) == older else context.cursor
