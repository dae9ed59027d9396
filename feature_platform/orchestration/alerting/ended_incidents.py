"""Incidents that no event will ever end: of a check, a promise or a window that is no more."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg

from feature_platform.alerts.incident_ledger import IncidentLedger
from feature_platform.alerts.messages.incidents import WHOLE, Incident
from feature_platform.core.durations import in_words
from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.partitions import window_of
from feature_platform.orchestration.validation.check_declarations import CHECKS

# All checks of these kinds of assets are this package's, one per feature.
_REPORTS = ("drift", "skew")
_SEEN = "defined/"


@dataclass(frozen=True)
class Lives:
    """What incidents are about, as it is defined now; assets by their keys joined by slashes.

    Attributes:
        kinds: The kind of each asset.
        checks: Assets with the names of their checks, those that others added included.
        promised: Assets with a freshness policy.
        partitions: The partitions of the assets that have some.
        ttls: The TTL of feature views that have one.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    checks: Collection[tuple[str, str]] = ()
    promised: Collection[str] = ()
    partitions: Mapping[str, dg.TimeWindowPartitionsDefinition] = field(default_factory=dict)
    ttls: Mapping[str, timedelta] = field(default_factory=dict)

    def note(self, ledger: IncidentLedger) -> None:
        """Remember which checks with open incidents are defined here.

        A check that was never defined here may be another code location's, and is left alone.
        """
        for incident in ledger.open_incidents():
            if (incident.asset, incident.condition.check) in self.checks:
                ledger.move(f"{_SEEN}{incident.key}", 1)

    def over(self, ledger: IncidentLedger, incident: Incident, scope: str, now: datetime) -> str:
        """Why no event will ever end a scope of an incident; empty if one may."""
        kind, check = incident.condition.kind, incident.condition.check
        if kind == "check" and (incident.asset, check) not in self.checks:
            of_kind = self.kinds.get(incident.asset, "")
            ours = of_kind in _REPORTS or any(
                each.name == check for each in CHECKS.get(of_kind, ())
            )
            if ours or ledger.position(f"{_SEEN}{incident.key}"):
                return f"check '{check}' is gone from the definitions"
        if kind == "freshness" and incident.asset not in self.promised:
            return "its freshness policy is gone from the definitions"
        partitions = self.partitions.get(incident.asset)
        if scope == WHOLE or partitions is None:
            return ""
        window = _window(partitions, scope)
        if window is None:
            return f"{scope} is no partition any more: the start date or the cadence has changed"
        ttl = self.ttls.get(incident.asset)
        if kind in ("run", "gave_up") and ttl and window.end <= now - ttl:
            return f"{scope} is older than the TTL of {in_words(ttl)}: nothing of it is served"
        return ""


def _window(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> Window | None:
    """The window of a partition key; None if it is none of these partitions."""
    try:
        window = window_of(partitions, key)
        found = partitions.get_partition_key_for_timestamp(window.start.timestamp())
    except (ValueError, dg.DagsterError):
        return None
    return window if found == key and window.start >= partitions.start else None
