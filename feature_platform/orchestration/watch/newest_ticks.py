"""What Dagster keeps of a sensor's or schedule's ticks: which was the newest, where it stood."""

import dagster as dg
from dagster._core.definitions.selector import InstigatorSelector
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorTick,
    SensorInstigatorData,
    TickStatus,
)

# What is under way says nothing yet.
_GOOD = [TickStatus.SUCCESS, TickStatus.SKIPPED]
_ENDED = [*_GOOD, TickStatus.FAILURE]
# Seconds: no two ticks of a sensor are that close, and no clock of a database is that coarse.
_APART = 0.5


def selector_of(context: dg.SensorEvaluationContext, name: str) -> str:
    """What the ticks of a sensor or schedule are kept under, where a daemon ticks.

    Args:
        context: Of a sensor of the same code location.
        name: Its name.
    """
    assert context.code_location_origin is not None  # noqa: S101 - a daemon gives it
    assert context.repository_name is not None  # noqa: S101 - a daemon gives it
    return InstigatorSelector(
        location_name=context.code_location_origin.location_name,
        repository_name=context.repository_name,
        name=name,
    ).get_id()


def newest_tick(instance: dg.DagsterInstance, state: InstigatorState) -> InstigatorTick | None:
    """The newest tick that has ended: of a sensor the one that its state was stored with.

    Of all that are kept the newest by its time may be one of a clock that ran ahead.

    Args:
        instance: Asked once.
        state: Dagster's, of the sensor or schedule.
    """
    data = state.instigator_data
    last = data.last_tick_timestamp if isinstance(data, SensorInstigatorData) else None
    if last is None:
        ticks = instance.get_ticks("", state.selector_id, limit=1, statuses=_ENDED)
    else:
        # Dagster keeps a week of them, and sorts all that it is not told to leave out.
        ticks = instance.get_ticks(
            "", state.selector_id, after=last - _APART, before=last + _APART, statuses=_ENDED
        )
    return max(ticks, key=lambda tick: tick.tick_id, default=None)


def cursor_of(context: dg.SensorEvaluationContext) -> str | None:
    """The cursor that this sensor's newest tick left, though its daemon died before storing it.

    Dagster ends a tick in one commit and stores its cursor in a second one. It tells a sensor when
    the tick was that it stored a cursor with: those that ended after that one have a newer. A tick
    that failed is stored with the cursor of before: what the tick before it left is lost if that
    cursor is of the tick before that one, and any other was set by hand and counts.

    Args:
        context: Of the tick; asked for ticks once, and twice after one that failed.
    """
    if context.code_location_origin is None:
        return context.cursor  # nobody's tick is kept
    selector = selector_of(context, context.sensor_name)
    last = context.last_tick_completion_time
    if last is None and context.cursor:
        return context.cursor  # no tick stored it: typed in by who tries the sensor out
    ticks = context.instance.get_ticks(
        "",
        selector,
        after=None if last is None else last - _APART,
        limit=1 if last is None else None,
        statuses=_ENDED,
    )
    # By number: after a clock was put right older ticks have later times.
    newest = max(
        (tick for tick in ticks if tick.timestamp == last),
        key=lambda tick: tick.tick_id,
        default=None,
    )
    stored = newest.tick_id if newest else 0
    # A tick that failed leaves no cursor, and one that was broken off has none.
    left = [
        tick
        for tick in ticks
        if tick.tick_id > stored and tick.cursor and tick.status != TickStatus.FAILURE
    ]
    if left:
        return max(left, key=lambda tick: tick.tick_id).cursor
    if newest is None or newest.status != TickStatus.FAILURE:
        return context.cursor
    # More than two, since some may have been broken off. Before the first of all was no cursor.
    ticks = context.instance.get_ticks("", selector, before=last, limit=10, statuses=_GOOD)
    good = sorted((tick.tick_id, tick.cursor) for tick in ticks if tick.cursor)
    older, newer = [None, None, *(cursor for _, cursor in good)][-2:]
    return newer if newer and (context.cursor or None) == older else context.cursor
