"""What a daemon keeps of the ticks of one code location's sensors and schedules."""

import time
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._utils.error import SerializableErrorInfo

_LOCATION, _REPOSITORY = RegisteredCodeLocationOrigin("features"), "__repository__"


@dataclass
class Ticks:
    """The ticks, each of them half a minute after the one before."""

    instance: dg.DagsterInstance
    clock: float = field(default_factory=lambda: time.time() - 300)

    def tick(
        self,
        name: str,
        status: TickStatus,
        said: str = "registry is gone",
        in_a_row: int = 1,
        **more: Any,
    ) -> InstigatorTick:
        """A tick, stored with its state if it has ended."""
        self.clock += 30
        # As Dagster keeps it: what was raised is the cause of an error of its own.
        cause = SerializableErrorInfo(f"RegistryError: {said}\n", [], "RegistryError")
        error = SerializableErrorInfo("SensorExecutionError\n", [], "SensorExecutionError", cause)
        failed, ended = status == TickStatus.FAILURE, status != TickStatus.STARTED
        if ended:
            self.keep(name)
        return self.instance.create_tick(
            TickData(
                instigator_origin_id="any",
                instigator_name=name,
                instigator_type=_type(name),
                status=status,
                timestamp=self.clock,
                end_timestamp=self.clock + 1 if ended else None,
                error=error if failed else None,
                selector_id=_origin(name).get_selector().get_id(),
                run_ids=[],
                consecutive_failure_count=in_a_row if failed else 0,
                **more,
            )
        )

    def keep(self, name: str, status: InstigatorStatus = InstigatorStatus.RUNNING) -> None:
        """What is kept beside the ticks: of a sensor when the newest was."""
        data = (
            SensorInstigatorData(last_tick_timestamp=self.clock)
            if _type(name) == InstigatorType.SENSOR
            else ScheduleInstigatorData("0 0 * * *")
        )
        state = InstigatorState(_origin(name), _type(name), status, data)
        known = {each.selector_id for each in self.instance.all_instigator_state()}
        if state.selector_id in known:
            self.instance.update_instigator_state(state)
        else:
            self.instance.add_instigator_state(state)

    def context(self, name: str, **more: Any) -> dg.SensorEvaluationContext:
        """What the daemon gives a sensor of the location when it ticks."""
        return dg.SensorEvaluationContext(
            None,
            instance=self.instance,
            repository_name=_REPOSITORY,
            code_location_origin=_LOCATION,
            sensor_name=name,
            **more,
        )


def _origin(name: str) -> RemoteInstigatorOrigin:
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(_LOCATION, _REPOSITORY), name)


def _type(name: str) -> InstigatorType:
    return InstigatorType.SCHEDULE if name.endswith("_schedule") else InstigatorType.SENSOR
