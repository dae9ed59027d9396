"""Sensors and schedules that raise: nothing is started or looked after by them, and nobody hears.

A tick that failed is in no event log, so that it is asked for by name: one look at the index for
each sensor and schedule of the project, however many views there are.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import dagster as dg
from dagster._core.definitions.selector import InstigatorSelector
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorTick, TickStatus

from feature_platform.alerts.incidents import WHOLE, Condition, Evidence, Finding, Subject, utc

TICK = Condition("tick")
# What is under way says nothing yet.
_ENDED = (TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE)


@dataclass(frozen=True)
class Ticking:
    """A sensor or a schedule that the project relies on.

    Attributes:
        name: Its name in Dagster.
        kind: Which of the two.
    """

    name: str
    kind: Literal["sensor", "schedule"]

    def subject(self, project: str, repo: str, profile: str | None) -> Subject:
        """What messages about it say; a project's asset keys have no part ``automation``."""
        return Subject(
            f"{project}/automation/{self.name}",
            project,
            self.kind,
            self.name,
            repo=repo,
            profile=profile,
        )


CONDITIONS = Ticking("default_automation_condition_sensor", "sensor")
"""The sensor that Dagster adds where assets have automation conditions; of the code location."""


def tick_findings(
    instance: dg.DagsterInstance,
    repository: tuple[str, str],
    ticking: Mapping[str, Ticking],
    open_before: Collection[str],
    since: datetime,
) -> list[Finding]:
    """What the newest ticks say that have ended.

    A failure is a warning, and an error when it was not the first in a row, or is a schedule's,
    whose next tick may be a day away. Whoever switches a sensor off that fails has seen to it.

    Args:
        instance: Asked for ticks: once a sensor or schedule, and once more for each that fails.
        repository: The code location they are in, and the repository in it.
        ticking: They, by what incidents call them.
        open_before: Those with an open incident; of the others only failures are told.
        since: Sensors' ticks from before count as told.
    """
    location, name = repository
    found = []
    for asset, each in ticking.items():
        selector = InstigatorSelector(
            location_name=location, repository_name=name, name=each.name
        ).get_id()
        # Dagster keeps a week of a sensor's ticks and sorts all that it is not told to leave out. A
        # schedule has few, and makes up for missed ones under the time that they were due.
        after = since.timestamp() if each.kind == "sensor" else None
        newest = instance.get_ticks("", selector, after=after, limit=1, statuses=list(_ENDED))
        failed = bool(newest) and newest[0].status == TickStatus.FAILURE
        is_open = asset in open_before
        if (failed or is_open) and _is_off(instance, selector):
            if is_open:
                found.append(_over(asset))
        elif newest and (failed or is_open):
            found.append(_finding(asset, each, newest[0], failed=failed))
    return found


def _finding(asset: str, ticking: Ticking, tick: InstigatorTick, *, failed: bool) -> Finding:
    ended = tick.end_timestamp or tick.timestamp
    again = ticking.kind == "schedule" or tick.consecutive_failure_count > 1
    return Finding(
        asset=asset,
        condition=TICK,
        # A tick that is tried again keeps its number; what decides is which ended last.
        event=int(ended * 1000),
        at=utc(ended),
        scopes={WHOLE: failed},
        severity="error" if again else "warn",
        evidence=Evidence(_sentence(tick) if failed else "it ticked"),
    )


def _over(asset: str) -> Finding:
    now = datetime.now(UTC)
    return Finding(
        asset=asset,
        condition=TICK,
        event=int(now.timestamp() * 1000),
        at=now,
        scopes={WHOLE: False},
        severity="warn",
        evidence=Evidence("it was switched off"),
    )


def _is_off(instance: dg.DagsterInstance, selector: str) -> bool:
    state = instance.get_instigator_state("", selector)
    return state is not None and state.status == InstigatorStatus.STOPPED


def _sentence(tick: InstigatorTick) -> str:
    """What it raised; Dagster wraps that, and the innermost error is the one to act on."""
    error = tick.error
    if error is None:
        return "its tick failed without an error"
    while error.cause is not None:
        error = error.cause
    return f"its tick raised: {error.message.strip()}"
