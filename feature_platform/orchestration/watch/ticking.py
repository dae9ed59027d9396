"""Sensors and schedules whose failed ticks become alerts."""

from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from feature_platform.alerts.messages.incidents import Condition, Subject

TICK = Condition("tick")


@dataclass(frozen=True)
class Ticking:
    """A sensor or a schedule that the project relies on.

    Attributes:
        name: Its name in Dagster.
        kind: Which of the two.
        on: Whether its definition switches it on.
    """

    name: str
    kind: Literal["sensor", "schedule"]
    on: bool = False

    @classmethod
    def of(cls, defined: Any) -> "Ticking":
        """From a definition: a sensor, or a schedule of either of Dagster's kinds."""
        kind: Literal["sensor", "schedule"] = (
            "sensor" if isinstance(defined, dg.SensorDefinition) else "schedule"
        )
        on = defined.default_status.value == InstigatorStatus.RUNNING.value
        return cls(defined.name, kind, on=on)

    def ticks(self, state: InstigatorState | None) -> bool:
        """Whether it is switched on, by its state in Dagster; without one, by its definition."""
        if state is None:
            return self.on
        return state.status == InstigatorStatus.RUNNING or (
            self.on and state.status == InstigatorStatus.DECLARED_IN_CODE
        )

    def subject(self, project: str, repo: str, profile: str | None) -> Subject:
        """The subject of alerts on it, with a key that no asset has."""
        return Subject(
            f"{project}/automation/{self.name}",
            project,
            self.kind,
            self.name,
            repo=repo,
            profile=profile,
        )


CONDITIONS = Ticking("default_automation_condition_sensor", "sensor")
"""The sensor of the code location that Dagster adds for assets with automation conditions."""
