"""Schedules and sensors whose ticks are looked at."""

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
        on: Whether it ticks unless somebody switches it off.
    """

    name: str
    kind: Literal["sensor", "schedule"]
    on: bool = False

    @classmethod
    def of(cls, defined: Any) -> "Ticking":
        """As it is defined.

        Args:
            defined: A sensor, or a schedule of either of Dagster's kinds.
        """
        kind: Literal["sensor", "schedule"] = (
            "sensor" if isinstance(defined, dg.SensorDefinition) else "schedule"
        )
        on = defined.default_status.value == InstigatorStatus.RUNNING.value
        return cls(defined.name, kind, on=on)

    def ticks(self, state: InstigatorState | None) -> bool:
        """Whether it is switched on.

        Args:
            state: Dagster's, which goes by the definitions until somebody switches it. Of a
                schedule that they switch off it is deleted.
        """
        if state is None:
            return self.on
        return state.status == InstigatorStatus.RUNNING or (
            self.on and state.status == InstigatorStatus.DECLARED_IN_CODE
        )

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
