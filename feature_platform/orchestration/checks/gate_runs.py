"""The run that asks the gates of a view whether its windows may be served."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.errors import GateError

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class GateRun:
    """A run that puts windows online, or a command that does.

    Attributes:
        instance: Holds recorded verdicts.
        store: The Feast store.
        allow_failed: Whether windows that fail are served, with a warning.
        log: For warnings.
    """

    instance: dg.DagsterInstance
    store: "FeatureStore"
    allow_failed: bool = False
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))

    def refuse(self, view: str, problem: str, remedy: str) -> None:
        """Raise a GateError, or warn if failed checks are allowed."""
        subject = f"feature view '{view}'"
        if self.allow_failed:
            self.log.warning("%s: %s; served, since failed checks are allowed", subject, problem)
            return
        option = "--allow-failed-checks (in the UI: config allow_failed_checks: true)"
        raise GateError(subject, problem, f"{remedy} materialize with {option}")
