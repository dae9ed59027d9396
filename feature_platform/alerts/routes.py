"""Which incident goes to which channel: the first rule that fits decides, from the top."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import Field, PlainValidator, StrictBool, model_validator

from feature_platform.alerts.messages.incidents import Incident, Kind, Severity, Subject
from feature_platform.core.config_files import ConfigModel, Duration, OneOrMore, Text, invalid

GroupBy = Literal["project", "asset", "owner", "severity", "kind"]

LOG = "log"
"""The channel that always exists and takes incidents that fit no rule."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _hours(written: Any) -> tuple[time, time]:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", str(written))
    numbers = [int(each) for each in match.groups()] if match else []
    # 24:00 is how people write the end of the day; `time` calls it 00:00.
    if not numbers or numbers[2:] > [24, 0] or numbers[:2] == numbers[2:]:
        raise invalid(f"is '{written}'", "write it as 08:00-18:00; past midnight as 18:00-08:00")
    return time(numbers[0], numbers[1]), time(numbers[2] % 24, numbers[3])


def _days(written: Any) -> frozenset[int]:
    found: set[int] = set()
    for each in written if isinstance(written, list) else [written]:
        first, _, last = str(each).lower().partition("-")
        if first not in _DAYS or (last and last not in _DAYS):
            raise invalid(f"is '{each}'", f"use {', '.join(_DAYS)}, or a range such as mon-fri")
        start = _DAYS.index(first)
        length = (_DAYS.index(last) - start) % 7 if last else 0
        found |= {(start + day) % 7 for day in range(length + 1)}
    return frozenset(found)


def _zone(written: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(written))
    except (KeyError, ValueError, OSError):
        raise invalid(
            f"is '{written}', which is no time zone known here", "use a name such as Europe/Berlin"
        ) from None


class Match(ConfigModel):
    """What an incident has to be like; an empty field fits everything.

    Attributes:
        project: Patterns (``*`` and ``?``) of project names.
        asset: Patterns of asset keys, ``fraud/feature_views/*``.
        owner: Patterns of owners; one of an asset's owners has to fit.
        tag: Tag to patterns of its value; all of the tags have to fit.
        severity: Severities.
        kind: Kinds of condition: ``check``, ``run``, ``freshness``, ``gave_up``, ``rebuild``,
            ``tick``.
        hours: Part of the day in which the incident opened; before its start it ends on the day
            after.
        days: Days on which that part begins, Monday being 0.
        timezone: The time zone of `hours` and `days`.
    """

    project: OneOrMore[Text] = ()
    asset: OneOrMore[Text] = ()
    owner: OneOrMore[Text] = ()
    tag: Mapping[str, OneOrMore[Text]] = {}
    severity: OneOrMore[Severity] = ()
    kind: OneOrMore[Kind] = ()
    hours: Annotated[tuple[time, time], PlainValidator(_hours)] = (time(0), time(0))
    days: Annotated[frozenset[int], PlainValidator(_days)] = frozenset(range(7))
    timezone: Annotated[ZoneInfo, PlainValidator(_zone)] = ZoneInfo("UTC")

    @model_validator(mode="after")
    def _not_a_zone_alone(self) -> Self:
        if self.model_fields_set & {"timezone", "hours", "days"} == {"timezone"}:
            raise invalid("stands alone", "add 'hours:' or 'days:'", "timezone")
        return self

    def fits(self, incident: Incident, subject: Subject) -> bool:
        """Whether an incident is like that."""
        return (
            _any_fits(self.project, (subject.project,))
            and _any_fits(self.asset, (subject.asset,))
            and _any_fits(self.owner, subject.owners)
            and all(
                name in subject.tags and _any_fits(patterns, (subject.tags[name],))
                for name, patterns in self.tag.items()
            )
            and (not self.severity or incident.severity in self.severity)
            and (not self.kind or incident.condition.kind in self.kind)
            and self._is_in_hours(incident.opened_at)
        )

    def _is_in_hours(self, moment: datetime) -> bool:
        start, end = self.hours
        local = moment.astimezone(self.timezone)
        clock, day = local.time(), local.weekday()
        if start < end:
            return day in self.days and start <= clock < end
        if clock >= start:
            return day in self.days
        # After midnight it still is the part that began the day before.
        return clock < end and (day - 1) % 7 in self.days


class Group(ConfigModel):
    """Several incidents in one message.

    Attributes:
        by: What they have in common.
        wait: How long the first waits for others.
    """

    by: OneOrMore[GroupBy]
    wait: Duration = timedelta(minutes=1)


class Route(ConfigModel):
    """One rule.

    Attributes:
        match: What it is for.
        to: Names of channels.
        suppress: Minimum time between two messages about the same asset and condition.
        group: Which incidents share a message; None: those of one asset that open at one time.
        go_on: Whether later rules apply too; ``continue`` in the file.
    """

    match: Match = Match()
    to: OneOrMore[Text]
    suppress: Duration = timedelta()
    group: Group | None = None
    go_on: StrictBool = Field(default=False, alias="continue")


PlacedRoute: TypeAlias = tuple[int, Route]
"""A rule and its line in the file."""


@dataclass(frozen=True)
class Target:
    """A channel that gets an incident's message.

    Attributes:
        channel: Its name.
        suppress: See `Route`.
        wait: See `Group`.
        pack: Messages of the same pack go out together; None goes out alone.
    """

    channel: str
    suppress: timedelta = timedelta()
    wait: timedelta = timedelta()
    pack: str | None = None


def targets(routes: Sequence[PlacedRoute], incident: Incident, subject: Subject) -> list[Target]:
    """The channels for an incident, each once; the log if no rule fits."""
    found: dict[str, Target] = {}
    for line, route in routes:
        if not route.match.fits(incident, subject):
            continue
        wait = route.group.wait if route.group else timedelta()
        pack = _pack(line, route.group, incident, subject)
        for channel in route.to:
            found.setdefault(channel, Target(channel, route.suppress, wait, pack))
        if not route.go_on:
            break
    return list(found.values()) or [Target(LOG)]


def _pack(line: int, group: Group | None, incident: Incident, subject: Subject) -> str:
    values = {
        "project": subject.project,
        "asset": subject.asset,
        "owner": ",".join(subject.owners),
        "severity": incident.severity,
        "kind": incident.condition.kind,
    }
    by = group.by if group else ("asset",)
    return "|".join([str(line), *(f"{each}={values[each]}" for each in by)])


def _any_fits(patterns: Sequence[str], values: Sequence[str]) -> bool:
    return not patterns or any(
        fnmatchcase(value, pattern) for value in values for pattern in patterns
    )
