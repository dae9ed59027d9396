"""What to do about an incident: the command that repairs it, and the page that explains it."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from feature_platform.alerts.messages.incidents import (
    WHOLE,
    Condition,
    Incident,
    Kind,
    Remedy,
    Subject,
)

STALE = Remedy(
    "backfill",  # whatever is missing, for however long
    "stale-view.md",
    "served: online values are older than promised",
    stale=True,
)
_BLOCKED = Remedy(
    page="stale-view.md",
    effect="blocked: these windows were not written online; older values are still served",
)
_CHECK = Remedy()
_REMEDIES: Mapping[Kind, Remedy] = {
    "run": _BLOCKED,
    "freshness": STALE,
    "gave_up": _BLOCKED,
    "rebuild": Remedy(
        "rebuild-online --empty-first",
        "rebuild-due.md",
        "served: rows that have left the source may still be online",
    ),
    "tick": Remedy(
        "doctor",
        "failed-tick.md",
        "online values are still served; it does no work until it ticks again",
    ),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = ("%Y-%m-%d-%H:%M", "%Y-%m-%d")


def remedy(condition: Condition, subject: Subject) -> Remedy:
    """What to do about a condition of an asset."""
    if condition.kind == "check":
        return subject.remedies.get(condition.check, _CHECK)
    return _REMEDIES[condition.kind]


def repair_command(incident: Incident, subject: Subject) -> str:
    """The command line that repairs what is wrong, once its cause is gone."""
    command = remedy(incident.condition, subject).command
    if command == "feast apply" or subject.kind == "registry":
        file = ["-f", f"feature_store.{subject.profile}.yaml"] if subject.profile else []
        return shlex.join(["feast", "-c", subject.repo, *file, "apply"])
    views = [f"--view {shlex.quote(view)}" for view in subject.views]
    if command != "materialize":
        return _ours(command, subject, views)
    if subject.kind == "drift":  # a failed run of a report: its windows are online
        return _ours("drift", subject, views)
    window = _window(incident, subject)
    if not views or window is None:
        return _ours("status", subject, views)
    start, end = window
    return _ours("materialize", subject, [*views, f"--start {start}", f"--end {end}"])


def _ours(command: str, subject: Subject, options: list[str]) -> str:
    place = subject.definitions
    if place is None:
        profile = ["--profile", subject.profile] if subject.profile else []
        place = shlex.join(["--repo", subject.repo, *profile])
    return " ".join(["feature-platform", command, place, *options])


def _window(incident: Incident, subject: Subject) -> tuple[str, str] | None:
    """From the first bad window to the end of the last, in whole partitions of the views."""
    length = subject.partition
    if length is None:
        return None
    starts = [moment for scope in incident.scopes if (moment := _start(scope))]
    if not starts:
        return None
    first, last = _floor(min(starts), length), _floor(max(starts), length) + length
    form = "%Y-%m-%dT%H:%M" if length % timedelta(days=1) else "%Y-%m-%d"
    return first.strftime(form), last.strftime(form)


def _start(scope: str) -> datetime | None:
    """The moment a partition key begins; None where the scope is no partition of time."""
    if scope == WHOLE:
        return None
    for form in _FORMS:
        try:
            return datetime.strptime(scope, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _floor(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % length
