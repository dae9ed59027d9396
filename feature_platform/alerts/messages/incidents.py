"""Findings, and the incidents that follow from them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

Severity = Literal["warn", "error"]
Kind = Literal["check", "run", "freshness", "gave_up", "rebuild", "tick"]

# With a dash, which names of checks do not have, so that none of these is a check's name.
_LABELS = {
    "check": "-",
    "run": "run-failure",
    "freshness": "stale-asset",
    "gave_up": "gave-up",
    "rebuild": "rebuild-due",
    "tick": "failed-tick",
}
WHOLE = ""
"""The scope of a finding on the asset as a whole, not on some of its partitions."""


@dataclass(frozen=True)
class Condition:
    """One way in which an asset can fail, or a sensor or schedule in place of an asset.

    Attributes:
        kind: ``check``, ``run``, ``freshness``, ``gave_up`` (a sensor stopped trying), ``rebuild``
            (only a rebuild removes keys that may have vanished), or ``tick``.
        check: The check's name; empty for the other kinds.
    """

    kind: Kind
    check: str = ""

    def __str__(self) -> str:
        """As it is stored: ``check:schema``, ``run``."""
        return f"{self.kind}:{self.check}" if self.check else self.kind

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read what ``str`` wrote."""
        kind, _, check = text.partition(":")
        return cls(kind, check)  # type: ignore[arg-type]  # only what str wrote is read


@dataclass(frozen=True)
class Evidence:
    """The evidence of a finding.

    Attributes:
        sentence: What is wrong, in one or a few sentences.
        value: The observed value; None if nothing was measured.
        threshold: The threshold it was compared with.
        blocking: Whether the data that failed is kept from being served.
        run_id: The run that observed it; None outside of runs.
    """

    sentence: str
    value: str | None = None
    threshold: str | None = None
    blocking: bool = False
    run_id: str | None = None


@dataclass(frozen=True)
class Finding:
    """One observation of a condition: whether each scope is bad.

    Attributes:
        asset: The asset's key, its parts joined by slashes.
        condition: The condition.
        event: Number of the event in the event log; of two findings on a scope the later decides.
        at: The time of the event.
        scopes: Partition key (or `WHOLE`) to whether it is bad.
        severity: How bad it is.
        evidence: The evidence.
        clears: Whether every other scope is good from here on.
        upstream_explains: Whether an open check incident of an upstream asset makes it redundant.
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
        """The key of incidents of this asset and condition."""
        return incident_key(self.asset, self.condition)

    @property
    def bad(self) -> bool:
        """Whether any scope is bad."""
        return any(self.scopes.values())


@dataclass(frozen=True)
class Incident:
    """A condition that failed, from the first bad scope until none is left.

    Attributes:
        id: Made of the key and the event that opened it, so that reading twice makes no second one.
        asset: The asset's key, its parts joined by slashes.
        condition: The condition.
        severity: The worst severity while it was open.
        opened_at: When the first bad finding was made.
        resolved_at: When the last bad scope became good; None while it is open.
        scopes: The scopes that are bad; of a resolved one, those that were bad last.
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
        """The key of incidents of this asset and condition."""
        return incident_key(self.asset, self.condition)


@dataclass(frozen=True)
class Remedy:
    """What to do about a failure, and what is served until then.

    Attributes:
        command: A subcommand of ``feature-platform`` with its options, or ``feast apply``;
            ``materialize`` also gets the windows.
        page: The runbook.
        effect: What is served; empty if that depends on whether the check blocks.
        stale: Whether values are older than promised.
    """

    command: str = "materialize"
    page: str = "failed-check.md"
    effect: str = ""
    stale: bool = False


@dataclass(frozen=True)
class Subject:
    """What messages need to know about the asset of an incident.

    Attributes:
        asset: Its key, the parts joined by slashes.
        project: The Feast project.
        kind: ``source``, ``registry``, ``feature_view``, or another kind of asset.
        name: Its name in Feast.
        owners: E-mail addresses and teams.
        tags: Tags of the asset.
        views: The feature views that a repair has to materialize.
        partition: Length of the windows that a repair has to name; None without partitions.
        upstream: Keys of its upstream assets.
        blocks: Whether its failed checks keep data from being served, though they are not marked
            as blocking.
        repo: The repo's folder, as commands name it.
        profile: Its profile; None for the default one.
        remedies: By the name of a check of it; a check without one has the default remedy.
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
    partition: timedelta | None = None
    upstream: tuple[str, ...] = ()
    blocks: bool = False
    repo: str = "feature_repo"
    profile: str | None = None
    remedies: Mapping[str, Remedy] = field(default_factory=dict)
    definitions: str | None = None


def incident_key(asset: str, condition: Condition) -> str:
    """The key of incidents: the asset, and its check or the label of the other condition."""
    return f"{asset}#{condition.check or _LABELS[condition.kind]}"


def incident_id(finding: Finding) -> str:
    """The id of the incident that a finding opens; the same each time its event is read."""
    # With the time, since a new event log counts from one again.
    named = f"{finding.key}\0{finding.event}\0{finding.at.timestamp()}"
    return hashlib.sha256(named.encode()).hexdigest()[:20]


def worst(one: Severity, other: Severity) -> Severity:
    """The worse of two severities."""
    return "error" if "error" in (one, other) else "warn"


def utc(seconds: float) -> datetime:
    """A moment from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
