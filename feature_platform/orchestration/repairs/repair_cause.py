"""The declaration of a cause of repairs: what is wrong with windows, and how it is found."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.errors import reason_of
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.watch.automation_settings import Cause

if TYPE_CHECKING:
    from feature_platform.registry.registry_change import RegistryChange

_log = logging.getLogger(__name__)
_SOURCE = "source "


@dataclass
class Findings:
    """What is wrong now.

    Attributes:
        wrong: View or `source_log_key` to partition key to a token of what the window is to hold.
            Names with nothing wrong are included, so that their attempts are forgotten.
        notes: Further remarks for people, such as sources that could not be read.
        change: What ``feast apply`` has to change before anything is repaired.
    """

    wrong: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    change: "RegistryChange | None" = None

    def note_failure(self, view: str, error: Exception) -> None:
        """Say that a view could not be looked at; nothing is wrong with the others for that."""
        _log.warning("feature view '%s' could not be looked at", view, exc_info=True)
        self.notes.append(f"feature view '{view}' could not be looked at: {reason_of(error)}")


@dataclass(frozen=True)
class RepairCause:
    """One cause of repairs, for which a project has one sensor.

    Attributes:
        name: Of the cause; see `ProjectSensor.name`.
        description: What the sensor does.
        label: The cause in a word or two, for tables.
        reason: The cause as a clause, for messages.
        find: Finds what is wrong, given the log of the sensor, which it may update.
        views_per_run: How many views one run may materialize.
        tags_definition: Whether runs are tagged with the token, which is a view's `signature`.
    """

    name: Cause
    description: str
    label: str
    reason: str
    find: Callable[[AutomatedProject, dg.DagsterInstance, AttemptLog, datetime], Findings]
    views_per_run: int = 25
    tags_definition: bool = False


def source_log_key(source: str) -> str:
    """The name of a source in `Findings` and logs, which cannot collide with a view's name."""
    return f"{_SOURCE}{source}"


def source_of_log_key(name: str) -> str:
    """The name that `source_log_key` was made of."""
    return name.removeprefix(_SOURCE)
