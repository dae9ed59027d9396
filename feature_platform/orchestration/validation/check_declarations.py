"""The default checks: each declared once, with its name, what it expects, and its repair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from feature_platform.alerts.messages.incidents import Remedy
from feature_platform.alerts.messages.repair import STALE


@dataclass(frozen=True)
class CheckDeclaration:
    """A check that every repo gets.

    Attributes:
        name: Its name in Dagster.
        description: What holds if it passes.
        per_feature: What holds if the report's check of one ``{feature}`` passes; empty if it has
            no such checks.
        blocking: Whether a window that fails it is not served.
        severity: Severity of a failure, unless its results say it themselves.
        remedy: What alerts say about a failure.
    """

    name: str
    description: str
    per_feature: str = ""
    blocking: bool = False
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    remedy: Remedy = field(default_factory=Remedy)

    def spec(self, asset: dg.AssetKey, *, description: str = "") -> dg.AssetCheckSpec:
        """The check of one asset; `description` replaces the general one."""
        return dg.AssetCheckSpec(
            name=self.name,
            asset=asset,
            blocking=self.blocking,
            description=description or self.description,
        )


_WARN = dg.AssetCheckSeverity.WARN

REGISTRY = CheckDeclaration(
    "registry_matches_repo",
    "Nothing in the repo differs from what the registry holds.",
    remedy=Remedy("feast apply"),
)

FILLED = CheckDeclaration(
    "on_demand_views_are_filled",
    "No on-demand view is read from the online store, where nothing of this project writes it.",
)

SCHEMA = CheckDeclaration(
    "schema", "Columns and types that the feature views declare are there.", blocking=True
)
KEYS = CheckDeclaration(
    "keys",
    "Entity keys are not null; key, event time and created time are unique together.",
    blocking=True,
)
EVENT_TIME = CheckDeclaration(
    "event_time",
    "Event times lie inside the window and not in the future; no row of the source lacks one "
    "(which only warns).",
    blocking=True,
)
NUMBERS = CheckDeclaration("numbers", "Numbers are finite; nulls are allowed.", blocking=True)
ROW_COUNT = CheckDeclaration(
    "row_count",
    "The window is not empty, nor has it far fewer rows than those of the same weekday and hour "
    "before it; far more only warn.",
    blocking=True,
)
SUITE = CheckDeclaration("suite", "The repo's own expectations on this source.", blocking=True)

ONLINE = CheckDeclaration(
    "online_equals_offline",
    "Values served online equal the newest materialized source rows.",
    remedy=Remedy(
        "rebuild-online",
        page="lost-online-store.md",
        effect="served: online values differ from the source",
    ),
)
FRESH = CheckDeclaration(
    "fresh_by_event_time",
    "The newest row served is no older than promised, by event time.",
    remedy=STALE,
)
TTL = CheckDeclaration(
    "ttl_outlives_a_late_run",
    "The TTL is at least twice the cadence, so that a late run leaves something to serve.",
    severity=_WARN,
)

DRIFT = CheckDeclaration(
    "drift",
    "No feature is far from its reference.",
    "{feature} is not far from its reference.",
    remedy=Remedy("drift", page="drift.md"),
)
SKEW = CheckDeclaration(
    "skew",
    "Every feature is served as training sets hold it.",
    "{feature} is served as training sets hold it.",
)

NO_LEAK = CheckDeclaration(
    "no_leak", "Probed rows hold what was newest at their time, and nothing later."
)
ROWS_KEPT = CheckDeclaration("rows_kept", "One row for each entity row.")
NULL_RATES = CheckDeclaration(
    "null_rates",
    "Every feature has values, and not clearly fewer than in the version before.",
    severity=_WARN,
)
AGES = CheckDeclaration("ages", "How old the joined values were, by feature view.", severity=_WARN)
LABEL = CheckDeclaration("label", "The label is there in every row, and is not always the same.")

SOURCE_CHECKS = (SCHEMA, KEYS, EVENT_TIME, NUMBERS, ROW_COUNT, SUITE)
"""Checks of a source, in the order they are made; ``suite`` only if the repo has one."""
CHECKS: Mapping[str, Sequence[CheckDeclaration]] = {
    "registry": (REGISTRY, FILLED),
    "source": SOURCE_CHECKS,
    "feature_view": (ONLINE, FRESH, TTL),
    "drift": (DRIFT,),
    "skew": (SKEW,),
    "training_set": (NO_LEAK, ROWS_KEPT, NULL_RATES, AGES, LABEL),
}
"""All default checks, by the kind of asset."""


def remedies(kind: str, names: Sequence[str]) -> Mapping[str, Remedy]:
    """What alerts say about failures of the checks of an asset of a kind, by the check's name."""
    return {
        name: each.remedy
        for each in CHECKS.get(kind, ())
        for name in names
        # The other checks of a report are named after features.
        if each.per_feature or each.name == name
    }
