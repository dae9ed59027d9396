"""The verdict on one feature of a service, and the sentence that says why."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from feature_platform.skew.parity import WRONG, Cause, Parity
from feature_platform.statistics import Comparison, Thresholds, Verdict

Origin = Literal["online", "logged"]


@dataclass(frozen=True)
class SkewThresholds:
    """From which share of differing values on skew matters.

    Attributes:
        mismatch: Share of values that are served otherwise than trained: above it is ``drift``,
            anything below is a warning.
        statistics: What matters between the two distributions.
    """

    mismatch: float = 0.01
    statistics: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class FeatureSkew:
    """One feature of a service.

    Attributes:
        name: ``<view>__<feature>``, the view as the service calls it.
        verdict: ``ok``, ``warn``, ``drift``, or ``insufficient`` where nothing could be compared.
        sentence: Why, with value, threshold, and how many values were compared.
        origin: ``online`` for what was read now, ``logged`` for what the log says was served.
        parity: Value by value; None where nothing could be compared.
        comparison: The two distributions, training being the reference; None likewise.
    """

    name: str
    verdict: Verdict
    sentence: str
    origin: Origin
    parity: Parity | None = None
    comparison: Comparison | None = None

    @property
    def label(self) -> str:
        """The name, marked if it is logged."""
        return self.name if self.origin == "online" else f"{self.name} (logged)"

    @property
    def match_rate(self) -> float:
        """Share of the compared values that are the same; NaN where none was compared."""
        return math.nan if self.parity is None else self.parity.share("match")

    def statistic(self, name: str) -> float:
        """A statistic between the two distributions; NaN where it was not computed."""
        measures = self.comparison.measures if self.comparison else ()
        return next((each.value for each in measures if each.statistic == name), math.nan)


def judged(
    name: str, found: Parity, comparison: Comparison, thresholds: SkewThresholds, origin: Origin
) -> FeatureSkew:
    """The verdict on a feature.

    Args:
        name: Its full name.
        found: Value by value.
        comparison: Of the two distributions.
        thresholds: What matters.
        origin: Where the served values come from. What is served beyond its TTL is wrong in a log,
            whose keys were asked for; of all keys there are, most may never be asked for again.
    """
    if not found.compared:
        absent = found.counts.get("absent", 0)
        said = f"{name} cannot be compared: none of {absent:,} keys has a row within the TTL."
        return FeatureSkew(name, "insufficient", said, origin, found, comparison)
    share = found.share(*WRONG, *(("expired",) if origin == "logged" else ()))
    verdict: Verdict = "drift" if share > thresholds.mismatch else "warn" if share else "ok"
    # Where all values are equal, pair by pair, the distributions are.
    if found.share("match") < 1 and _ORDER.get(comparison.verdict, 0) > _ORDER[verdict]:
        verdict = comparison.verdict
    said = _sentence(name, found, comparison, share, thresholds)
    return FeatureSkew(name, verdict, said, origin, found, comparison)


_ORDER = {"ok": 0, "warn": 1, "drift": 2}
_TOLD: Mapping[Cause, str] = {
    "late": "should be newer by now",
    "null": "null on one side",
    "default": "a default on one side",
    "type": "of another type",
    "value": "another value",
    "expired": "older than the TTL, where training has null",
    "stale": "older than training's, not due yet",
    "ahead": "pushed since",
}


def _sentence(
    name: str, found: Parity, comparison: Comparison, share: float, thresholds: SkewThresholds
) -> str:
    said = (
        f"{name}: {found.share('match'):.2%} of {found.compared:,} values are served as trained, "
        f"{share:.2%} are wrong (threshold {thresholds.mismatch:.2%})"
    )
    parts = [said]
    causes = [
        f"{found.counts[cause]:,} {told}"
        for cause, told in _TOLD.items()
        if found.counts.get(cause)
    ]
    if causes:
        parts.append(", ".join(causes))
    if found.lags:
        parts.append(
            f"{len(found.lags):,} served from older rows, by {_span(float(np.median(found.lags)))} "
            f"in the median and {_span(max(found.lags))} at most"
        )
    if comparison.verdict in ("warn", "drift"):
        parts.append(comparison.sentence.removesuffix("."))
    return "; ".join(parts) + "."


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
