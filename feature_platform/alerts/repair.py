"""What to do about an incident: the command that repairs it, and the page that explains it."""

import shlex
from datetime import UTC, datetime, timedelta

from feature_platform.alerts.incidents import WHOLE, Condition, Incident, Subject

ONLINE_CHECK = "online_equals_offline"
REGISTRY_CHECK = "registry_matches_repo"
_FORMS = ("%Y-%m-%d-%H:%M", "%Y-%m-%d")


def repair_command(incident: Incident, subject: Subject) -> str:
    """The command line that repairs what is wrong, once its cause is gone."""
    check = incident.condition.check
    views = [f"--view {shlex.quote(view)}" for view in subject.views]
    if check == ONLINE_CHECK or incident.condition.kind == "rebuild":
        return _ours("rebuild-online", subject, views)
    if incident.condition.kind == "tick":
        return _ours("doctor", subject, [])
    if check == REGISTRY_CHECK or subject.kind == "registry":
        file = ["-f", f"feature_store.{subject.profile}.yaml"] if subject.profile else []
        return shlex.join(["feast", "-c", subject.repo, *file, "apply"])
    if subject.kind == "drift":
        return _ours("drift", subject, views)
    window = _window(incident, subject)
    if not views or window is None:
        return _ours("status", subject, views)
    start, end = window
    return _ours("materialize", subject, [*views, f"--start {start}", f"--end {end}"])


def runbook_page(condition: Condition) -> str:
    """The page in the folder of runbooks."""
    if condition.check == ONLINE_CHECK:
        return "lost-online-store.md"
    pages = {"check": "failed-check.md", "rebuild": "rebuild-due.md", "tick": "failed-tick.md"}
    return pages.get(condition.kind, "stale-view.md")


def _ours(command: str, subject: Subject, options: list[str]) -> str:
    profile = [f"--profile {shlex.quote(subject.profile)}"] if subject.profile else []
    repo = f"--repo {shlex.quote(subject.repo)}"
    return " ".join(["feature-platform", command, repo, *profile, *options])


def _window(incident: Incident, subject: Subject) -> tuple[str, str] | None:
    """From the first bad window to the end of the last, in whole partitions of the views."""
    if subject.cadence is None:
        return None
    day = subject.cadence == "daily"
    length = timedelta(days=1) if day else timedelta(hours=1)
    starts = [moment for scope in incident.scopes if (moment := _start(scope))]
    if incident.condition.kind == "freshness":
        starts = [_floor(incident.opened_at, day=day) - length]
    if not starts:
        return None
    first, last = _floor(min(starts), day=day), _floor(max(starts), day=day) + length
    form = "%Y-%m-%d" if day else "%Y-%m-%dT%H:%M"
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


def _floor(moment: datetime, *, day: bool) -> datetime:
    whole = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return whole.replace(hour=0) if day else whole
