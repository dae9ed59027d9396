"""Settings of views and sources, read from Feast tags so that the repo stays the one truth."""

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
_OF_SOURCES = ("min_rows",)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class ViewSettings:
    """What the ``dagster/...`` tags of a feature view say.

    Attributes:
        partitions: Length of a partition: ``daily`` (default) or ``hourly``.
        cron: When the newest complete partition is materialized, in UTC; None takes the default
            of the cadence.
        freshness: How old what the view serves may be; None takes twice its cadence, see
            `feature_platform.orchestration.graph.cadence.promise`.
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
    ours = _ours(f"feature view '{view}'", tags, _KNOWN)
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


def read_min_rows(source: str, tags: Mapping[str, str]) -> int | None:
    """How few rows a window of a batch source may have, by its tag ``dagster/min_rows``.

    Returns:
        A number of rows, 0 allowed; None where the tag is not there.

    Raises:
        RepoError: A tag with our prefix is unknown (misspelt, or one of views), or its value is not
            a whole number.
    """
    subject = f"source '{source}'"
    value = _ours(subject, tags, _OF_SOURCES).get("min_rows")
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise RepoError(
            subject, f"tag '{PREFIX}min_rows' is '{value}'", "use a number of rows, such as 0"
        )
    return int(value)


def _ours(subject: str, tags: Mapping[str, str], known: tuple[str, ...]) -> dict[str, str]:
    """The tags with our prefix, without it."""
    found = {
        key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)
    }
    for key in found:
        if key in known:
            continue
        near = get_close_matches(key, known, n=1)
        if near:
            remedy = f"did you mean '{PREFIX}{near[0]}'?"
        elif key in (*_KNOWN, *_OF_SOURCES):
            remedy = f"put it on the {'feature view' if key in _KNOWN else 'batch source'}"
        else:
            remedy = f"known tags: {', '.join(PREFIX + each for each in known)}"
        raise RepoError(subject, f"has the unknown tag '{PREFIX}{key}'", remedy)
    return found


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
