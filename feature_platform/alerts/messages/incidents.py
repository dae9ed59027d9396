"""What can be wrong, where, and since when: findings come in, incidents are what people hear of."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

Severity = Literal["warn", "error"]
Kind = Literal["check", "run", "freshness", "gave_up", "rebuild", "tick"]

# Names of checks have no dash, so that no check can be taken for one of these.
_LABELS = {
    "check": "-",
    "run": "run-failure",
    "freshness": "stale-asset",
    "gave_up": "gave-up",
    "rebuild": "rebuild-due",
    "tick": "failed-tick",
}
WHOLE = ""
"""The scope of a finding that is about the asset as a whole, not about some of its partitions."""


@dataclass(frozen=True)
class Condition:
    """What an asset can fail at: one of its checks, its runs, its freshness, or its repair.

    A sensor or a schedule can fail at its ticks; it stands in the place of an asset then.

    Attributes:
        kind: ``check``, ``run``, ``freshness``, ``gave_up`` (a sensor stopped trying), ``rebuild``
            (only a rebuild takes out what may have vanished), or ``tick``.
        check: The check's name; empty for the other kinds.
    """

    kind: Kind
    check: str = ""

    def __str__(self) -> str:
        """``check:schema``, ``run``: as it is stored."""
        return f"{self.kind}:{self.check}" if self.check else self.kind

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """The condition that ``str`` wrote."""
        kind, _, check = text.partition(":")
        return cls(kind, check)  # type: ignore[arg-type]  # only what str wrote is read


@dataclass(frozen=True)
class Evidence:
    """What was seen.

    Attributes:
        sentence: What is wrong, as one or a few sentences.
        value: The observed value; None where the finding is not a number against another.
        threshold: What it was held against.
        blocking: Whether what failed is kept from being served.
        run_id: The run that saw it; None outside of runs.
    """

    sentence: str
    value: str | None = None
    threshold: str | None = None
    blocking: bool = False
    run_id: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: for each scope whether it is bad.

    Attributes:
        asset: The asset's key, its parts joined by slashes.
        condition: What was looked at.
        event: Number of the event in the event log; of two findings on a scope the later decides.
        at: When it was seen.
        scopes: Partition key (or `WHOLE`) to whether it is bad.
        severity: How bad it is.
        evidence: What was seen.
        clears: Whether every scope that is not named is good from here on.
        upstream_explains: Whether an open check incident of an upstream asset says it already.
    """

    asset: str
    condition: Condition
    event: int
    at: datetime
    scopes: Mapping[str, bool]
    severity: Severity
    evidence: Evidence
    clears: bool = False
    upstream_explains: bool = False

    @property
    def key(self) -> str:
        """What incidents of one kind have in common: asset and condition."""
        return incident_key(self.asset, self.condition)

    @property
    def bad(self) -> bool:
        """Whether any scope is bad."""
        return any(self.scopes.values())


@dataclass(frozen=True)
class Incident:
    """Something that is, or was, wrong: from the first bad scope until none is left.

    Attributes:
        id: Made of the key and the event that opened it, so that reading twice makes no second one.
        asset: The asset's key, its parts joined by slashes.
        condition: What failed.
        severity: The worst that was seen while it was open.
        opened_at: When the first bad finding was made.
        resolved_at: When the last bad scope became good; None while it is open.
        scopes: The scopes that are bad; for a resolved one those that were bad last.
        evidence: Of the newest bad finding.
    """

    id: str
    asset: str
    condition: Condition
    severity: Severity
    opened_at: datetime
    resolved_at: datetime | None
    scopes: tuple[str, ...]
    evidence: Evidence

    @property
    def key(self) -> str:
        """Asset and condition; the same for an incident that comes back."""
        return incident_key(self.asset, self.condition)


@dataclass(frozen=True)
class Subject:
    """The asset an incident is about, as far as people who hear of it need to know.

    Attributes:
        asset: Its key, the parts joined by slashes.
        project: The Feast project.
        kind: ``source``, ``registry``, ``feature_view``, or another kind of asset.
        name: Its name in Feast.
        owners: E-mail addresses and teams.
        tags: Tags of the asset.
        views: The feature views that a repair has to materialize.
        cadence: Length of the windows that a repair has to name; None without partitions.
        upstream: Keys of the assets it is made from.
        blocks: Whether a failed check of it keeps data from being served, though the check itself
            does not say so.
        repo: The repo's folder, as commands name it.
        profile: Its profile; None for the default one.
        definitions: Options that name the definitions it is part of, such as ``-f defs.py``; None
            where only repo and profile are known.
    """

    asset: str
    project: str
    kind: str
    name: str
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    cadence: Literal["daily", "hourly"] | None = None
    upstream: tuple[str, ...] = ()
    blocks: bool = False
    repo: str = "feature_repo"
    profile: str | None = None
    definitions: str | None = None


def incident_key(asset: str, condition: Condition) -> str:
    """The key of incidents: asset and check, or asset and what else failed."""
    return f"{asset}#{condition.check or _LABELS[condition.kind]}"


def incident_id(finding: Finding) -> str:
    """The id of the incident that a finding opens; the same whenever its event is read again."""
    # The moment is part of it, since a new event log counts from one again.
    named = f"{finding.key}\0{finding.event}\0{finding.at.timestamp()}"
    return hashlib.sha256(named.encode()).hexdigest()[:20]


def worst(one: Severity, other: Severity) -> Severity:
    """The worse of two severities."""
    return "error" if "error" in (one, other) else "warn"


def utc(seconds: float) -> datetime:
    """A moment from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
