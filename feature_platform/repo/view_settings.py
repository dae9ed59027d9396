"""Settings of views and sources, as their Feast tags give them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Literal, cast, get_args

from feature_platform.core.durations import read_duration
from feature_platform.core.future_tolerance import FUTURE_TOLERANCE, future_tolerance
from feature_platform.errors import RepoError
from feature_platform.repo.cadences import CADENCES, Cadence

PREFIX = "dagster/"
DriftMode = Literal["warn", "block", "off"]
_OF_VIEWS = ("partitions", "cron", "freshness", "owner", "drift", "future_tolerance")
_OF_SOURCES = ("min_rows",)


@dataclass(frozen=True)
class ViewSettings:
    """The ``dagster/...`` tags of a feature view.

    Attributes:
        partitions: Cadence of the partitions: ``daily`` (default) or ``hourly``.
        cron: When the newest complete partition is materialized, in UTC; None takes the default
            of the cadence.
        freshness: Maximum age of served data; None takes twice the cadence, see
            `feature_platform.orchestration.graph.cadence.promise`.
        owner: An e-mail address or a team; None falls back to Feast's own ``owner``.
        drift: Whether drift blocks the online write or only warns; ``off`` disables the check.
        future_tolerance: How far ahead of now an event time may be.
    """

    partitions: Cadence = "daily"
    cron: str | None = None
    freshness: timedelta | None = None
    owner: str | None = None
    drift: DriftMode = "warn"
    future_tolerance: timedelta = FUTURE_TOLERANCE

    @property
    def length(self) -> timedelta:
        """Length of a partition."""
        return CADENCES[self.partitions].length


def read_settings(view: str, tags: Mapping[str, str]) -> ViewSettings:
    """Read the settings of a feature view from its tags.

    Raises:
        RepoError: A tag with our prefix is unknown (misspelt), or its value is not understood.
    """
    subject = f"feature view '{view}'"
    ours = _our_tags(subject, tags, _OF_VIEWS)
    freshness = ours.get("freshness")
    age = None if freshness is None else read_duration(freshness)
    if freshness is not None and not age:
        remedy = "use minutes, hours or days, such as 90m, 26h, 2d"
        raise _bad_value(subject, "freshness", freshness, remedy)
    return ViewSettings(
        partitions=cast("Cadence", _choice(subject, ours, "partitions", tuple(CADENCES))),
        cron=ours.get("cron"),
        freshness=age,
        owner=ours.get("owner"),
        drift=cast("DriftMode", _choice(subject, ours, "drift", get_args(DriftMode))),
        future_tolerance=future_tolerance(view, tags),
    )


def read_min_rows(source: str, tags: Mapping[str, str]) -> int | None:
    """Read the least number of rows in a window of a batch source: its tag ``dagster/min_rows``.

    Returns:
        A number of rows, 0 allowed; None without the tag.

    Raises:
        RepoError: A tag with our prefix is unknown (misspelt, or one of views), or its value is not
            a whole number.
    """
    subject = f"source '{source}'"
    value = _our_tags(subject, tags, _OF_SOURCES).get("min_rows")
    if value is not None and not re.fullmatch(r"[0-9]{1,9}", value):
        raise _bad_value(subject, "min_rows", value, "use a number of rows, such as 0")
    return None if value is None else int(value)


def _our_tags(subject: str, tags: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
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
        elif key in (*_OF_VIEWS, *_OF_SOURCES):
            remedy = f"put it on the {'feature view' if key in _OF_VIEWS else 'batch source'}"
        else:
            remedy = f"known tags: {', '.join(PREFIX + each for each in known)}"
        raise RepoError(subject, f"has the unknown tag '{PREFIX}{key}'", remedy)
    return found


def _choice(subject: str, tags: Mapping[str, str], key: str, allowed: Sequence[str]) -> str:
    value = tags.get(key, allowed[0])
    if value not in allowed:
        near = get_close_matches(value, allowed, n=1)
        raise _bad_value(subject, key, value, f"use {' or '.join(near or allowed)}")
    return value


def _bad_value(subject: str, key: str, value: str, remedy: str) -> RepoError:
    return RepoError(subject, f"tag '{PREFIX}{key}' is '{value}'", remedy)
