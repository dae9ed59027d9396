"""Which incident goes to which channel: rules read from the top, the first that fits decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Literal
from zoneinfo import ZoneInfo

from feature_platform.alerts.messages.incidents import Incident, Kind, Severity, Subject

GroupBy = Literal["project", "asset", "owner", "severity", "kind"]

LOG = "log"
"""The channel that is always there, and that takes what no rule fits."""


@dataclass(frozen=True)
class Hours:
    """A part of the week.

    Attributes:
        start: First moment of the part of a day.
        end: Moment after the last; before `start` where it goes on past midnight.
        days: Days on which the part begins, Monday being 0.
        zone: The time zone of all of it.
    """

    start: time
    end: time
    days: frozenset[int]
    zone: ZoneInfo

    def contain(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        local = moment.astimezone(self.zone)
        clock, day = local.time(), local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        if clock >= self.start:
            return day in self.days
        # After midnight it still is the part that began the day before.
        return clock < self.end and (day - 1) % 7 in self.days


@dataclass(frozen=True)
class Match:
    """What an incident has to be like; an empty field fits everything.

    Attributes:
        project: Patterns (``*`` and ``?``) of project names.
        asset: Patterns of asset keys, ``fraud/feature_views/*``.
        owner: Patterns of owners; one of an asset's owners has to fit.
        tag: Tag to patterns of its value; all of the tags have to fit.
        severity: Severities.
        kind: Kinds of condition: ``check``, ``run``, ``freshness``, ``gave_up``, ``rebuild``,
            ``tick``.
        hours: When the incident opened.
    """

    project: tuple[str, ...] = ()
    asset: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    tag: tuple[tuple[str, tuple[str, ...]], ...] = ()
    severity: tuple[Severity, ...] = ()
    kind: tuple[Kind, ...] = ()
    hours: Hours | None = None

    def fits(self, incident: Incident, subject: Subject) -> bool:
        """Whether an incident is like that."""
        return (
            _any_fits(self.project, (subject.project,))
            and _any_fits(self.asset, (subject.asset,))
            and _any_fits(self.owner, subject.owners)
            and all(
                name in subject.tags and _any_fits(patterns, (subject.tags[name],))
                for name, patterns in self.tag
            )
            and (not self.severity or incident.severity in self.severity)
            and (not self.kind or incident.condition.kind in self.kind)
            and (self.hours is None or self.hours.contain(incident.opened_at))
        )


@dataclass(frozen=True)
class Route:
    """One rule.

    Attributes:
        match: What it is for.
        to: Names of channels.
        suppress: After a message about an asset and condition, how long another incident of the
            same asset and condition is held back.
        group_by: What incidents have to have in common to be told in one message.
        wait: How long a message waits for others to join it.
        go_on: Whether later rules are looked at too.
        line: Where it stands in the file.
    """

    match: Match
    to: tuple[str, ...]
    suppress: timedelta = timedelta()
    group_by: tuple[GroupBy, ...] = ()
    wait: timedelta = timedelta()
    go_on: bool = False
    line: int = 0


@dataclass(frozen=True)
class Target:
    """A channel that is to be told of an incident.

    Attributes:
        channel: Its name.
        suppress: See `Route`.
        wait: See `Route`.
        pack: Messages with the same one go out together; None goes out alone.
    """

    channel: str
    suppress: timedelta = timedelta()
    wait: timedelta = timedelta()
    pack: str | None = None


def targets(routes: Sequence[Route], incident: Incident, subject: Subject) -> list[Target]:
    """The channels for an incident, each once; the log where no rule fits.

    What is found wrong with one asset at one time goes out together without being asked to.
    """
    found: dict[str, Target] = {}
    for route in routes:
        if not route.match.fits(incident, subject):
            continue
        pack = _pack(route, incident, subject)
        for channel in route.to:
            found.setdefault(channel, Target(channel, route.suppress, route.wait, pack))
        if not route.go_on:
            break
    return list(found.values()) or [Target(LOG)]


def _pack(route: Route, incident: Incident, subject: Subject) -> str:
    values = {
        "project": subject.project,
        "asset": subject.asset,
        "owner": ",".join(subject.owners),
        "severity": incident.severity,
        "kind": incident.condition.kind,
    }
    by = route.group_by or ("asset",)
    return "|".join([str(route.line), *(f"{each}={values[each]}" for each in by)])


def _any_fits(patterns: tuple[str, ...], values: tuple[str, ...]) -> bool:
    return not patterns or any(
        fnmatchcase(value, pattern) for value in values for pattern in patterns
    )
