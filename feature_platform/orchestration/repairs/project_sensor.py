"""The declaration of a sensor of a project: a module declares one, the list of sensors names it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.watch.newest_ticks import cursor_of
from feature_platform.orchestration.watch.watching_sensor import build_watching_sensor


@dataclass(frozen=True, kw_only=True)
class SensorTick:
    """The result of one tick; ``str`` of it says what was found.

    Attributes:
        cursor: The next cursor.
        requests: Runs to start.
    """

    cursor: str
    requests: Sequence[dg.RunRequest] = ()


Tick = Callable[[AutomatedProject, dg.DagsterInstance, str | None, datetime], SensorTick]
"""From a project, the instance, the cursor and the moment to what the tick found."""


@dataclass(frozen=True)
class ProjectSensor:
    """A sensor that automation can give every project.

    Attributes:
        name: Its name after that of the project. The field of this name in `AutomationSettings`, if
            there is one, switches it on or off.
        description: What it does, for Dagster's pages.
        tick: What it does.
        starts: The arguments of `dagster.sensor` that say what its runs may be (``target``,
            ``jobs``). None for a sensor that starts no runs; its errors are its message.
        needs_training_sets: Whether it is left out where no service has a training set.
    """

    name: str
    description: str
    tick: Tick
    starts: Callable[[AutomatedProject], Mapping[str, Any]] | None = None
    needs_training_sets: bool = False

    def applies_to(self, project: AutomatedProject) -> bool:
        """Whether the settings ask for it, and it has what it needs."""
        wanted = bool(getattr(project.settings, self.name, True))
        return wanted and (bool(project.sets) or not self.needs_training_sets)

    def build(self, project: AutomatedProject) -> dg.SensorDefinition:
        """The sensor of one project."""
        settings, status = project.settings, dg.DefaultSensorStatus

        def look(instance: dg.DagsterInstance, cursor: str | None) -> tuple[str, str]:
            found = self.tick(project, instance, cursor, datetime.now(UTC))
            return found.cursor, str(found)

        if self.starts is None:
            return build_watching_sensor(project.name, self.name, self.description, settings, look)

        @dg.sensor(
            name=project.sensor_name(self.name),
            minimum_interval_seconds=settings.every_seconds,
            default_status=status.RUNNING if settings.running else status.STOPPED,
            description=self.description,
            **self.starts(project),
        )
        def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
            found = self.tick(project, context.instance, cursor_of(context), datetime.now(UTC))
            context.log.info("%s", found)
            return dg.SensorResult(
                run_requests=found.requests or None,
                skip_reason=None if found.requests else str(found),
                cursor=found.cursor,
            )

        return evaluate
