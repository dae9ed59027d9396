"""Per-view settings of the platform, read from Feast tags so that the repo stays the one truth."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Literal, cast

from feature_platform.errors import RepoError

PREFIX = "dagster/"
Cadence = Literal["daily", "hourly"]
_KNOWN = ("partitions", "cron", "freshness", "owner", "drift")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class ViewSettings:
    """What the ``dagster/...`` tags of a feature view say.

    Attributes:
        partitions: Length of a partition: ``daily`` (default) or ``hourly``.
        cron: When the newest complete partition is materialized, in UTC; None takes the default
            of the cadence.
        freshness: How old what the view serves may be; None takes twice its cadence, see
            `feature_platform.cadence.promise`.
        owner: An e-mail address or a team; None falls back to Feast's own ``owner``.
        drift: Whether drift blocks the online write, only warns, or is not looked for.
    """

    partitions: Cadence = "daily"
    cron: str | None = None
    freshness: timedelta | None = None
    owner: str | None = None
    drift: Literal["warn", "block", "off"] = "warn"


def read_settings(view: str, tags: Mapping[str, str]) -> ViewSettings:
    """The settings in `tags`.

    Raises:
        RepoError: A tag with our prefix is unknown (misspelt), or its value is not understood.
    """
    ours = {
        key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)
    }
    for key in ours:
        if key not in _KNOWN:
            near = get_close_matches(key, _KNOWN, n=1)
            raise RepoError(
                f"feature view '{view}'",
                f"has the unknown tag '{PREFIX}{key}'",
                f"did you mean '{PREFIX}{near[0]}'?"
                if near
                else f"known tags: {', '.join(PREFIX + known for known in _KNOWN)}",
            )
    return ViewSettings(
        partitions=cast("Cadence", _choice(view, ours, "partitions", ("daily", "hourly"))),
        cron=ours.get("cron"),
        freshness=_duration(view, ours.get("freshness")),
        owner=ours.get("owner"),
        drift=cast(
            "Literal['warn', 'block', 'off']",
            _choice(view, ours, "drift", ("warn", "block", "off")),
        ),
    )


def _choice(view: str, tags: Mapping[str, str], key: str, allowed: tuple[str, ...]) -> str:
    value = tags.get(key, allowed[0])
    if value not in allowed:
        near = get_close_matches(value, allowed, n=1)
        raise _bad(view, key, value, f"use {' or '.join(near or allowed)}")
    return value


def _duration(view: str, value: str | None) -> timedelta | None:
    if value is None:
        return None
    found = read_duration(value)
    if found is None:
        raise _bad(view, "freshness", value, "use minutes, hours or days, such as 90m, 26h, 2d")
    return found


def read_duration(value: object) -> timedelta | None:
    """``90m``, ``26h`` or ``2d``; None where it is none of these, or zero."""
    match = re.fullmatch(r"(\d+)([mhd])", str(value).strip())
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match and int(match[1]) else None


def _bad(view: str, key: str, value: str, remedy: str) -> RepoError:
    return RepoError(f"feature view '{view}'", f"tag '{PREFIX}{key}' is '{value}'", remedy)
