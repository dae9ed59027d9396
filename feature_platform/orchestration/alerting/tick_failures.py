"""Alerts on sensors and schedules whose ticks fail.

Ticks are not in the event log, so that they are read by name: one indexed query per sensor and
schedule of the project, however many views there are.
"""

from collections.abc import Mapping
from datetime import datetime

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from feature_platform.alerts.messages.incidents import WHOLE, Evidence, Finding, utc
from feature_platform.orchestration.watch.error_chain import innermost
from feature_platform.orchestration.watch.newest_ticks import newest_tick, selector_of
from feature_platform.orchestration.watch.ticking import TICK, Ticking


def tick_findings(
    context: dg.SensorEvaluationContext,
    ticking: Mapping[str, Ticking],
    latest: Mapping[str, tuple[int, bool]],
    now: datetime,
) -> list[Finding]:
    """Findings from the newest ticks that have ended.

    A failure is a warning. It is an error if it is not the first in a row, or of a schedule, whose
    next tick may be a day away. Switching a sensor or schedule off ends its incident.

    Args:
        context: The context of the tick; without a daemon there are no findings.
        ticking: The sensors and schedules, by the asset of their incidents.
        latest: The event of the last finding on each, and whether it was bad.
        now: The moment.
    """
    if context.code_location_origin is None:
        return []  # the ids of the ticks are unknown
    instance, found = context.instance, []
    states = {state.selector_id: state for state in instance.all_instigator_state()}
    for asset, each in ticking.items():
        state = states.get(selector_of(context, each.name))
        event, is_open = latest.get(asset, (0, False))
        tick = newest_tick(instance, state) if state else None
        failed = tick is not None and tick.status == TickStatus.FAILURE
        on = each.ticks(state)
        if not ((failed and on) or is_open):
            continue
        repeated = each.kind == "schedule"
        if not on:
            ended, failed, sentence = now, False, "it was switched off"
        elif tick is None:
            continue
        else:
            ended = utc(tick.end_timestamp or tick.timestamp)
            repeated = repeated or tick.consecutive_failure_count > 1
            sentence = _sentence(tick) if failed else "it ticked"
        # A retried tick keeps its id, so that the time of its end is its number; later than that
        # of the last finding, which may come from a clock that ran ahead and was corrected.
        ahead = event + 1 if event > _number(now) else 0
        found.append(
            Finding(
                asset=asset,
                condition=TICK,
                event=max(_number(ended), ahead),
                at=ended,
                scopes={WHOLE: failed},
                severity="error" if repeated else "warn",
                evidence=Evidence(sentence),
            )
        )
    return found


def _number(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _sentence(tick: InstigatorTick) -> str:
    if tick.error is None:
        return "its tick failed without an error"
    return f"its tick raised: {innermost(tick.error).message.strip()}"
