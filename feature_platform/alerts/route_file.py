"""The route file: one YAML that says which channels there are, and what goes where."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import time, timedelta
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args
from zoneinfo import ZoneInfo

from feature_platform.alerts.channels.base import Channel, Secret, web_address
from feature_platform.alerts.channels.log import LogChannel
from feature_platform.alerts.channels.pagerduty import PagerDutyChannel
from feature_platform.alerts.channels.slack import SlackChannel
from feature_platform.alerts.channels.webhook import WebhookChannel
from feature_platform.alerts.messages.incidents import Finding, Kind, Severity
from feature_platform.alerts.messages.message import Places
from feature_platform.alerts.routes import LOG, GroupBy, Hours, Match, Route
from feature_platform.core.config_files import Node, read_yaml

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DEFAULT_WAIT = timedelta(minutes=1)
_SEVERITIES = cast("tuple[Severity, ...]", get_args(Severity))
_KINDS = cast("tuple[Kind, ...]", get_args(Kind))
_GROUPS = cast("tuple[GroupBy, ...]", get_args(GroupBy))


def _log(name: str, node: Node, _environment: Mapping[str, str]) -> Channel:
    node.fields(("type",))
    return LogChannel(name)


_TYPES: Mapping[str, Callable[[str, Node, Mapping[str, str]], Channel]] = {
    "slack": SlackChannel.from_fields,
    "pagerduty": PagerDutyChannel.from_fields,
    "webhook": WebhookChannel.from_fields,
    "log": _log,
}


@dataclass(frozen=True)
class AlertPlan:
    """What a route file says.

    Attributes:
        file: The file.
        routes: Its rules, in order.
        channels: Its channels by name, the log among them.
        places: Where links lead.
        state: The file that remembers incidents and messages; None for the default one, in
            ``DAGSTER_HOME``.
        every: How often the event log is looked at.
    """

    file: Path
    routes: tuple[Route, ...]
    channels: Mapping[str, Channel]
    places: Places
    state: Path | None
    every: timedelta = timedelta(seconds=30)

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        values = (vars(channel).values() for channel in self.channels.values())
        return tuple(each.value for found in values for each in found if isinstance(each, Secret))

    def without_secrets(self, finding: Finding) -> Finding:
        """The finding; should an error have repeated a channel's secret, it stops here."""
        evidence = finding.evidence
        for secret in self._secrets:
            clean: dict[str, Any] = {
                name: value.replace(secret, "***")
                for name, value in vars(evidence).items()
                if isinstance(value, str)
            }
            evidence = replace(evidence, **clean)
        return replace(finding, evidence=evidence)


def load_alerts(path: str | Path, environment: Mapping[str, str] | None = None) -> AlertPlan:
    """Read and check a route file, and that its secrets are there.

    Args:
        path: The file.
        environment: Where secrets are; the process's environment if left out.

    Raises:
        AlertError: Something is wrong in the file, at the line it names; or a secret is missing.
        MissingPackageError: A channel needs the extra ``alerts``.
    """
    file = Path(path)
    environment = os.environ if environment is None else environment
    known = ("channels", "routes", "ui", "runbooks", "state", "every")
    fields = read_yaml(file).fields(known, required=("routes",))
    channels: dict[str, Channel] = {LOG: LogChannel(LOG)}
    if "channels" in fields:
        for name, node in fields["channels"].mapping().items():
            channels[name] = _channel(name, node, environment)
    routes = tuple(
        _route(node.called(f"route {number}"), channels)
        for number, node in enumerate(fields["routes"].items(), 1)
    )
    return AlertPlan(
        file=file,
        routes=routes,
        channels=MappingProxyType(channels),
        places=_places(fields),
        state=file.parent / fields["state"].text() if "state" in fields else None,
        every=_duration(fields["every"]) if "every" in fields else AlertPlan.every,
    )


def _channel(name: str, node: Node, environment: Mapping[str, str]) -> Channel:
    node = node.called(f"channel '{name}'")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise node.error("has an odd name", "use up to 40 letters, digits, dashes and underscores")
    fields = node.mapping()
    if "type" not in fields:
        raise node.error("lacks 'type'", f"add 'type:' with one of {', '.join(_TYPES)}")
    return _TYPES[fields["type"].one_of(tuple(_TYPES))](name, node, environment)


def _route(node: Node, channels: Mapping[str, Channel]) -> Route:
    fields = node.fields(("match", "to", "suppress", "group", "continue"), required=("to",))
    to = []
    for each in fields["to"].items():
        name = each.text()
        if name not in channels:
            near = get_close_matches(name, channels, n=1)
            raise each.called(node.what).error(
                f"goes to the channel '{name}', which is not defined",
                f"did you mean '{near[0]}'?" if near else f"defined are {', '.join(channels)}",
            )
        to.append(name)
    if not to:
        raise fields["to"].error("is empty", "name a channel")
    group_by: tuple[GroupBy, ...] = ()
    wait = timedelta()
    if "group" in fields:
        group_by, wait = _group(fields["group"])
        for name in to:
            if not channels[name].takes_many:
                raise fields["group"].error(
                    f"groups messages to '{name}', but PagerDuty gets an alert for each incident",
                    "remove 'group' (PagerDuty groups alerts itself), or give it its own route",
                )
    return Route(
        match=_match(fields["match"]) if "match" in fields else Match(),
        to=tuple(to),
        suppress=_duration(fields["suppress"]) if "suppress" in fields else timedelta(),
        group_by=group_by,
        wait=wait,
        go_on=fields["continue"].flag() if "continue" in fields else False,
        line=node.line,
    )


def _group(node: Node) -> tuple[tuple[GroupBy, ...], timedelta]:
    fields = node.fields(("by", "wait"), required=("by",))
    by = tuple(cast("GroupBy", each.one_of(_GROUPS)) for each in fields["by"].items())
    return by, _duration(fields["wait"]) if "wait" in fields else _DEFAULT_WAIT


def _match(node: Node) -> Match:
    known = ("project", "asset", "owner", "tag", "severity", "kind", "hours", "days", "timezone")
    fields = node.fields(known)
    tags = fields["tag"].mapping() if "tag" in fields else {}

    def texts(name: str) -> tuple[str, ...]:
        return fields[name].texts() if name in fields else ()

    def chosen(name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        return (
            tuple(each.one_of(allowed) for each in fields[name].items()) if name in fields else ()
        )

    return Match(
        project=texts("project"),
        asset=texts("asset"),
        owner=texts("owner"),
        tag=tuple((name, value.texts()) for name, value in tags.items()),
        severity=cast("tuple[Severity, ...]", chosen("severity", _SEVERITIES)),
        kind=cast("tuple[Kind, ...]", chosen("kind", _KINDS)),
        hours=_hours(node, fields),
    )


def _hours(node: Node, fields: Mapping[str, Node]) -> Hours | None:
    if not fields.keys() & {"hours", "days", "timezone"}:
        return None
    if "hours" not in fields and "days" not in fields:
        raise fields["timezone"].error("stands alone", "add 'hours:' or 'days:'")
    start, end = time(0), time(0)
    if "hours" in fields:
        said = fields["hours"].text()
        found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", said)
        numbers = [int(each) for each in found.groups()] if found else []
        # 24:00 is how people say the end of the day; a clock calls it 00:00.
        if not numbers or numbers[2:] > [24, 0] or numbers[:2] == numbers[2:]:
            raise fields["hours"].error(
                f"is '{said}'", "write it as 08:00-18:00; past midnight as 18:00-08:00"
            )
        start, end = time(numbers[0], numbers[1]), time(numbers[2] % 24, numbers[3])
    return Hours(start, end, _days(fields.get("days")), _zone(node, fields.get("timezone")))


def _days(node: Node | None) -> frozenset[int]:
    if node is None:
        return frozenset(range(7))
    found: set[int] = set()
    for each in node.items():
        first, _, last = each.text().lower().partition("-")
        if first not in _DAYS or (last and last not in _DAYS):
            raise each.error(
                f"is '{each.text()}'", f"use {', '.join(_DAYS)}, or a range such as mon-fri"
            )
        start = _DAYS.index(first)
        length = (_DAYS.index(last) - start) % 7 if last else 0
        found |= {(start + day) % 7 for day in range(length + 1)}
    return frozenset(found)


def _zone(match: Node, node: Node | None) -> ZoneInfo:
    name = "UTC" if node is None else node.text()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise (node or match).error(
            f"is '{name}', which is no time zone known here", "use a name such as Europe/Berlin"
        ) from None


def _duration(node: Node) -> timedelta:
    said = node.text()
    found = re.fullmatch(r"(\d{1,6})([smhd])", said.strip())
    if found is None:
        raise node.error(f"is '{said}'", "use seconds, minutes, hours or days: 90s, 5m, 2h, 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _places(fields: Mapping[str, Node]) -> Places:
    ui = fields.get("ui")
    runbooks = fields.get("runbooks")
    return Places(
        ui=None if ui is None else web_address(ui, ui.text()).rstrip("/"),
        runbooks=Places.runbooks
        if runbooks is None
        else web_address(runbooks, runbooks.text()).rstrip("/"),
    )
