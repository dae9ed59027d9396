"""Limits of automation: which repairs it starts, how many at a time, and when it gives up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

import dagster as dg
from pydantic import PlainValidator, StrictBool, StrictFloat, StrictInt, with_config
from pydantic.json_schema import SkipJsonSchema

from feature_platform.core.config_files import CONFIG, Config, Duration, invalid
from feature_platform.errors import RepoError

Cause = Literal["source_changed", "definition_changed", "gap"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
_AT_LEAST_ONE = ("every_seconds", "runs_a_tick", "runs_at_once", "windows_a_run", "tries")


def _python_only(_written: Any) -> Any:
    raise invalid("cannot be written in YAML", "give AutomationSettings to the builder, in Python")


_PythonOnly = PlainValidator(_python_only)


@with_config(CONFIG)
@dataclass(frozen=True)
class AutomationSettings:
    """What automation may do.

    Attributes:
        source_changed: Whether to materialize windows again after their source has changed.
        definition_changed: Whether to apply a changed repo and materialize what it changes.
        gap: Whether to fill missing windows.
        freshness: Whether to watch event times.
        online: Whether to check that the online store still holds what was written to it.
        drift: Whether sustained drift makes a new training set of the services concerned.
        retrain: The job that is started after it, with the tag ``feature_platform/service``: a
            `dagster.define_asset_job` or a ``@job``. None starts none.
        condition: A declarative automation condition for every feature view, for repos whose
            upstream changes Dagster knows of; see `follow_upstream`. None leaves materialization
            to schedules and sensors.
        running: Whether the sensors start switched on.
        every_seconds: Seconds between two ticks of a sensor.
        runs_a_tick: Maximum number of runs a sensor starts per tick.
        runs_at_once: Maximum number of queued and running repairs.
        windows_a_run: Maximum number of windows per run.
        tries: How often a window is tried before it becomes an alert.
        wait: Before the second try; doubles before each further one.
        grace: How long after its time a window counts as missing.
        lookback: How far back to look for views without a TTL.
        scans_a_tick: Maximum number of sources read per tick; the others follow in the next.
        scan_seconds: Seconds of a tick after which no further source is read.
    """

    source_changed: StrictBool = True
    definition_changed: StrictBool = True
    gap: StrictBool = True
    freshness: StrictBool = True
    online: StrictBool = True
    drift: StrictBool = True
    retrain: Annotated[Any, _PythonOnly, SkipJsonSchema()] = None
    condition: Annotated[
        dg.AutomationCondition[dg.AssetKey] | None, _PythonOnly, SkipJsonSchema()
    ] = None
    running: StrictBool = False
    every_seconds: StrictInt = 60
    runs_a_tick: StrictInt = 5
    runs_at_once: StrictInt = 10
    windows_a_run: StrictInt = 400
    tries: StrictInt = 3
    wait: Duration = timedelta(minutes=10)
    grace: Duration = timedelta(minutes=30)
    lookback: Duration = timedelta(days=90)
    scans_a_tick: StrictInt = 50
    scan_seconds: StrictFloat = 3.0

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise RepoError(
                    "automation",
                    f"{name} is {getattr(self, name)}",
                    "give at least 1, or leave automation out",
                )

    @classmethod
    def parse(cls, written: Mapping[str, Any]) -> "AutomationSettings":
        """Read the settings of a component: the same names, durations as ``10m``, ``26h``, ``2d``.

        Raises:
            RepoError: A name is unknown, or a value is not of its type.
        """
        return Config(written, RepoError, "automation").check(cls)
