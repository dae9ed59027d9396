"""What to do about an incident: the command that repairs it, and the page that explains it."""

import shlex
from datetime import UTC, datetime, timedelta

from feature_platform.alerts.messages.incidents import WHOLE, Condition, Incident, Subject

ONLINE_CHECK = "online_equals_offline"
REGISTRY_CHECK = "registry_matches_repo"
FRESH_CHECK = "fresh_by_event_time"
_FORMS = ("%Y-%m-%d-%H:%M", "%Y-%m-%d")


def repair_command(incident: Incident, subject: Subject) -> str:
    """The command line that repairs what is wrong, once its cause is gone."""
    check = incident.condition.check
    views = [f"--view {shlex.quote(view)}" for view in subject.views]
    if check == REGISTRY_CHECK or subject.kind == "registry":
        file = ["-f", f"feature_store.{subject.profile}.yaml"] if subject.profile else []
        return shlex.join(["feast", "-c", subject.repo, *file, "apply"])
    if command := _whole_command(incident.condition, subject):
        return _ours(command, subject, views)
    window = _window(incident, subject)
    if not views or window is None:
        return _ours("status", subject, views)
    start, end = window
    return _ours("materialize", subject, [*views, f"--start {start}", f"--end {end}"])


def _whole_command(condition: Condition, subject: Subject) -> str:
    """The command that needs no window; empty where one has to be named."""
    if condition.check == ONLINE_CHECK:
        return "rebuild-online"
    if condition.kind == "rebuild":
        return "rebuild-online --empty-first"
    if condition.kind == "tick":
        return "doctor"
    if is_stale(condition):
        return "backfill"  # whatever is missing, for however long
    return "drift" if subject.kind == "drift" else ""


def is_stale(condition: Condition) -> bool:
    """Whether it is that values are older than promised, by Dagster's policy or by event time."""
    return condition.kind == "freshness" or condition.check == FRESH_CHECK


def runbook_page(condition: Condition, subject: Subject) -> str:
    """The page in the folder of runbooks."""
    if condition.check == ONLINE_CHECK:
        return "lost-online-store.md"
    if is_stale(condition):
        return "stale-view.md"
    if condition.kind == "check" and subject.kind == "drift":
        return "drift.md"
    pages = {"check": "failed-check.md", "rebuild": "rebuild-due.md", "tick": "failed-tick.md"}
    return pages.get(condition.kind, "stale-view.md")


def _ours(command: str, subject: Subject, options: list[str]) -> str:
    place = subject.definitions
    if place is None:
        profile = ["--profile", subject.profile] if subject.profile else []
        place = shlex.join(["--repo", subject.repo, *profile])
    return " ".join(["feature-platform", command, place, *options])


def _window(incident: Incident, subject: Subject) -> tuple[str, str] | None:
    """From the first bad window to the end of the last, in whole partitions of the views."""
    if subject.cadence is None:
        return None
    day = subject.cadence == "daily"
    length = timedelta(days=1) if day else timedelta(hours=1)
    starts = [moment for scope in incident.scopes if (moment := _start(scope))]
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
