"""How far automation goes: which repairs it starts by itself, how many, and when it gives up."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal

import dagster as dg

from feature_platform.errors import RepoError

Cause = Literal["source_changed", "definition_changed", "gap"]
# What cannot be written in YAML.
_OBJECTS = ("condition", "retrain")
CAUSES: tuple[Cause, ...] = ("source_changed", "definition_changed", "gap")


@dataclass(frozen=True)
class AutomationSettings:
    """What automation may do.

    Attributes:
        source_changed: Whether windows are materialized again when their source has changed.
        definition_changed: Whether a changed repo is applied, and what it changes materialized.
        gap: Whether missing windows are filled.
        freshness: Whether event times are watched.
        online: Whether the online store is looked at: what was put there has to be there still.
        drift: Whether sustained drift makes a new training set of the services concerned.
        retrain: The job that is started after it, with the tag ``feature_platform/service``: what
            `dagster.define_asset_job` or ``@job`` gives; None starts none.
        condition: A declarative automation condition for every feature view, where Dagster is told
            of upstream changes; see `follow_upstream`. None leaves it to schedules and sensors.
        running: Whether the sensors start switched on.
        every_seconds: How often each sensor looks, seconds.
        runs_a_tick: Runs that a sensor starts at most, each time it looks.
        runs_at_once: Runs of all repairs that are queued or under way at most.
        windows_a_run: Windows of a run at most.
        tries: How often a window is tried before it becomes an alert.
        wait: Before the second try; twice as long before each further one.
        grace: How long after its time a window counts as missing.
        lookback: How far back views without a TTL are looked after.
        scans_a_tick: Sources read at most, each time a sensor looks; the others are next.
        scan_seconds: No further source is read after that time.
    """

    source_changed: bool = True
    definition_changed: bool = True
    gap: bool = True
    freshness: bool = True
    online: bool = True
    drift: bool = True
    retrain: Any = None
    condition: dg.AutomationCondition[dg.AssetKey] | None = None
    running: bool = False
    every_seconds: int = 60
    runs_a_tick: int = 5
    runs_at_once: int = 10
    windows_a_run: int = 400
    tries: int = 3
    wait: timedelta = timedelta(minutes=10)
    grace: timedelta = timedelta(minutes=30)
    lookback: timedelta = timedelta(days=90)
    scans_a_tick: int = 50
    scan_seconds: float = 3.0

    def __post_init__(self) -> None:
        for name in ("every_seconds", "runs_a_tick", "runs_at_once", "windows_a_run", "tries"):
            if getattr(self, name) < 1:
                raise RepoError(
                    "automation",
                    f"{name} is {getattr(self, name)}",
                    "give at least 1, or leave automation out",
                )

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> "AutomationSettings":
        """From YAML: the same names; times as ``10m``, ``26h``, ``2d``.

        Raises:
            RepoError: A name is unknown, or a value is not of its type.
        """
        from feature_platform.repo.view_settings import read_duration

        known = {each.name: each for each in fields(cls) if each.name not in _OBJECTS}
        given: dict[str, Any] = {}
        for name, value in said.items():
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise RepoError(
                    "automation",
                    f"has the unknown setting '{name}'",
                    f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}",
                )
            default = known[name].default
            given[name] = read_duration(value) if isinstance(default, timedelta) else value
            if given[name] is None or not _fits(value, default):
                raise RepoError(
                    "automation",
                    f"{name} is {value!r}",
                    f"write it as the default is written: {_shown(default)}",
                )
        return cls(**given)


def _fits(value: object, default: object) -> bool:
    if isinstance(default, timedelta):
        return True  # it was read already
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)


def _shown(default: object) -> str:
    if isinstance(default, timedelta):
        return f"{default // timedelta(minutes=1)}m"
    return str(default).lower()
