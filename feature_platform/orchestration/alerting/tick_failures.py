"""Sensors and schedules that raise: nothing is started or looked after by them, and nobody hears.

A tick that failed is in no event log, so that it is asked for by name: one look at the index for
each sensor and schedule of the project, however many views there are.
"""

from collections.abc import Mapping
from datetime import datetime

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from feature_platform.alerts.messages.incidents import WHOLE, Evidence, Finding, utc
from feature_platform.orchestration.watch.newest_ticks import newest_tick, selector_of
from feature_platform.orchestration.watch.ticking import TICK, Ticking


def tick_findings(
    context: dg.SensorEvaluationContext,
    ticking: Mapping[str, Ticking],
    told: Mapping[str, tuple[int, bool]],
    now: datetime,
) -> list[Finding]:
    """What the newest ticks say that have ended.

    A failure is a warning, and an error when it was not the first in a row, or is a schedule's,
    whose next tick may be a day away. Whoever switches a sensor off that fails has seen to it.

    Args:
        context: Of the tick that looks; where no daemon ticks nothing is found.
        ticking: They, by what incidents call them.
        told: What was found before of each of them: the event, and whether it was bad.
        now: The moment.
    """
    if context.code_location_origin is None:
        return []  # whose they are cannot be known
    instance, found = context.instance, []
    states = {state.selector_id: state for state in instance.all_instigator_state()}
    for asset, each in ticking.items():
        state = states.get(selector_of(context, each.name))
        event, is_open = told.get(asset, (0, False))
        tick = newest_tick(instance, state) if state else None
        failed = tick is not None and tick.status == TickStatus.FAILURE
        on = each.ticks(state)
        if not ((failed and on) or is_open):
            continue
        again = each.kind == "schedule"
        if not on:
            ended, failed, said = now, False, "it was switched off"
        elif tick is None:
            continue
        else:
            ended = utc(tick.end_timestamp or tick.timestamp)
            again = again or tick.consecutive_failure_count > 1
            said = _sentence(tick) if failed else "it ticked"
        # A tick that is tried again keeps its number: what decides is which ended last, unless
        # what was told before is from a clock that ran ahead and was put right.
        ahead = event + 1 if event > _number(now) else 0
        found.append(
            Finding(
                asset=asset,
                condition=TICK,
                event=max(_number(ended), ahead),
                at=ended,
                scopes={WHOLE: failed},
                severity="error" if again else "warn",
                evidence=Evidence(said),
            )
        )
    return found


def _number(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _sentence(tick: InstigatorTick) -> str:
    """What it raised; Dagster wraps that, and the innermost error is the one to act on."""
    error = tick.error
    if error is None:
        return "its tick failed without an error"
    while error.cause is not None:
        error = error.cause
    return f"its tick raised: {error.message.strip()}"
