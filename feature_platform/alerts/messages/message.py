"""Messages about incidents: one when an incident opens, one when it is resolved."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

from feature_platform.alerts.messages.incidents import WHOLE, Incident, Severity, Subject
from feature_platform.alerts.messages.plain_text import clean, cut
from feature_platform.alerts.messages.repair import remedy, repair_command

MessageKind = Literal["open", "resolve"]

_MAX_TEXT = 1500
_MAX_READABLE = 200
_SHOWN_WINDOWS = 3


@dataclass(frozen=True)
class Message:
    """A message about one incident, in words that every channel can show.

    Attributes:
        kind: ``open`` or ``resolve``.
        incident: Id of the incident.
        key: Asset and condition.
        severity: ``warn`` or ``error``.
        project: The Feast project.
        asset: The asset's key, its parts joined by slashes.
        title: One line.
        what: What is wrong.
        since: When it began, ISO 8601, UTC.
        until: When it was resolved; None while it is open.
        value: The observed value, if one was measured.
        threshold: The threshold it was compared with.
        effect: Whether bad data was served or blocked.
        windows: The windows that failed; empty if the asset failed as a whole.
        owner: The owners of the asset.
        link: The asset in Dagster's UI; None if no UI is configured.
        run: The run in Dagster's UI.
        command: The command that repairs it.
        runbook: The page that explains the repair.
        dedup_key: Deployment, asset and condition in at most 255 ASCII characters, for services
            that end an incident by its key; empty in messages of older versions.
    """

    kind: MessageKind
    incident: str
    key: str
    severity: Severity
    project: str
    asset: str
    title: str
    what: str
    since: str
    until: str | None
    value: str | None
    threshold: str | None
    effect: str
    windows: str
    owner: str
    link: str | None
    run: str | None
    command: str
    runbook: str
    dedup_key: str = ""

    def to_json(self) -> str:
        """As it is stored on disk."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Message":
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def lines(self) -> list[tuple[str, str]]:
        """Label and text of everything but the title, in reading order."""
        against = f"{self.value} against {self.threshold}" if self.value and self.threshold else ""
        found = [
            ("What", self.what),
            ("Since", self.since),
            ("Until", self.until or ""),
            ("Windows", self.windows),
            ("Value", against),
            ("Effect", self.effect),
            ("Owner", self.owner),
            ("Asset", self.link or self.asset),
            ("Run", self.run or ""),
        ]
        if self.kind == "open":
            found += [("Repair", self.command), ("Runbook", self.runbook)]
        return [(label, text) for label, text in found if text]

    def text(self) -> str:
        """The whole message as plain text."""
        return "\n".join([self.title, *(f"{label}: {text}" for label, text in self.lines())])


@dataclass(frozen=True)
class Places:
    """Where links in messages lead.

    Attributes:
        ui: Address of Dagster's UI; None for no links to it.
        runbooks: Address of the folder that holds the runbooks.
    """

    ui: str | None = None
    runbooks: str = "docs/runbooks"


def compose(
    incident: Incident, subject: Subject, kind: MessageKind, places: Places, deployment: str = ""
) -> Message:
    """The message about an incident as it now is, of a deployment that has this name."""
    evidence = incident.evidence
    return Message(
        kind=kind,
        incident=incident.id,
        key=incident.key,
        severity=incident.severity,
        project=clean(subject.project),
        asset=clean(incident.asset),
        title=clean(_title(incident, subject, kind)),
        what=_cut(evidence.sentence),
        since=_moment(incident.opened_at),
        until=None if incident.resolved_at is None else _moment(incident.resolved_at),
        value=_cut(evidence.value) if evidence.value else None,
        threshold=_cut(evidence.threshold) if evidence.threshold else None,
        effect=_effect(incident, subject) if kind == "open" else "",
        windows=_cut(_windows(incident.scopes)),
        owner=_cut(", ".join(subject.owners) or _unowned(subject)),
        link=_asset_link(incident, places.ui),
        run=f"{places.ui}/runs/{_quoted(evidence.run_id)}"
        if places.ui and evidence.run_id
        else None,
        command=clean(repair_command(incident, subject)),
        runbook=f"{places.runbooks}/{remedy(incident.condition, subject).page}",
        dedup_key=_dedup_key(deployment, incident.key),
    )


def _dedup_key(deployment: str, key: str) -> str:
    """Readable as far as there is room, and told from all others by a hash of the whole."""
    digest = hashlib.sha256(json.dumps([deployment, key]).encode()).hexdigest()[:24]
    shown = "/".join(part for part in (deployment, key) if part)
    readable = clean(shown).encode("ascii", "replace").decode()
    return f"{readable[:_MAX_READABLE]} {digest}"


def _unowned(subject: Subject) -> str:
    if subject.kind in {"sensor", "schedule"}:
        return "everybody whose views it maintains"
    return "nobody: give the feature view an owner"


def _title(incident: Incident, subject: Subject, kind: MessageKind) -> str:
    thing = f"{subject.kind.replace('_', ' ')} '{subject.name}'"
    if subject.kind == subject.name:
        thing = subject.name
    problem = {
        "check": f"check '{incident.condition.check}' failed",
        "run": "run failed",
        "freshness": "stale",
        "gave_up": "automatic repair gave up",
        "rebuild": "rebuild due",
        "tick": "ticks fail",
    }[incident.condition.kind]
    problem = "stale" if remedy(incident.condition, subject).stale else problem
    state = "resolved" if kind == "resolve" else incident.severity
    return f"[{state}] {subject.project}: {thing}: {problem}"


def _effect(incident: Incident, subject: Subject) -> str:
    if effect := remedy(incident.condition, subject).effect:
        return effect
    if incident.evidence.blocking and incident.severity == "error":
        return "blocked: these windows are not served; older values still are"
    return "served: the check does not block"


def _windows(scopes: tuple[str, ...]) -> str:
    named = [scope for scope in scopes if scope != WHOLE]
    shown = ", ".join(named[:_SHOWN_WINDOWS])
    more = len(named) - _SHOWN_WINDOWS
    return f"{shown}, and {more} more up to {named[-1]}" if more > 0 else shown


def _asset_link(incident: Incident, ui: str | None) -> str | None:
    if ui is None:
        return None
    if incident.condition.kind == "tick":
        return f"{ui}/automation"  # it is no asset
    link = f"{ui}/assets/{_quoted(incident.asset)}"
    if incident.condition.kind == "check":
        return f"{link}?view=checks&checkDetail={_quoted(incident.condition.check)}"
    return link


def _quoted(text: str) -> str:
    return quote(text, errors="replace")


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _cut(text: str) -> str:
    return cut(clean(text), _MAX_TEXT)
