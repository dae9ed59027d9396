"""The verdict on one feature of a service, and the sentence that says why."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from feature_platform.skew.parity import WRONG, Cause, Parity
from feature_platform.statistics import Comparison, Thresholds, Verdict
from feature_platform.statistics.comparison import WORST_FIRST

Origin = Literal["online", "logged"]


@dataclass(frozen=True)
class SkewThresholds:
    """How much skew matters.

    Above the share `mismatch` of wrong values the verdict is ``drift``, a warning below;
    `statistics` are for the two distributions.
    """

    mismatch: float = 0.01
    statistics: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class FeatureSkew:
    """The verdict on one feature, ``<view>__<feature>``, and why.

    `parity` are the values and `comparison` the distributions, with training as the reference; both
    are None, and the verdict is ``insufficient``, if nothing could be compared.
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
    def is_as_trained(self) -> bool:
        """Whether every compared value is equal; a feature may differ and have no skew."""
        return self.parity is not None and self.parity.share("match") == 1

    @property
    def match_rate(self) -> float:
        """Share of the compared values that are equal; NaN if none was compared."""
        return math.nan if self.parity is None else self.parity.share("match")

    def statistic(self, name: str) -> float:
        """A statistic of the two distributions; NaN if it was not computed."""
        measures = self.comparison.measures if self.comparison else ()
        return next((each.value for each in measures if each.statistic == name), math.nan)


def judged(
    name: str, found: Parity, comparison: Comparison, thresholds: SkewThresholds, origin: Origin
) -> FeatureSkew:
    """The verdict on a feature.

    Values served beyond their TTL are wrong in a log, whose keys were asked for, but not online:
    most of all keys may never be asked for again.
    """
    if not found.compared:
        absent = found.counts.get("absent", 0)
        sentence = f"{name} cannot be compared: none of {absent:,} keys has a row within the TTL."
        return FeatureSkew(name, "insufficient", sentence, origin, found, comparison)
    if origin == "online" and found.counts.get("expired", 0) == found.compared:
        sentence = (
            f"{name} cannot be compared: each of {found.compared:,} values is "
            f"{_MEANINGS['expired']}."
        )
        return FeatureSkew(name, "insufficient", sentence, origin, found, comparison)
    share = found.share(*WRONG, *(("expired",) if origin == "logged" else ()))
    verdict: Verdict = "drift" if share > thresholds.mismatch else "warn" if share else "ok"
    # If all values are equal, so are the distributions.
    if found.share("match") < 1 and comparison.verdict != "insufficient":
        verdict = min(verdict, comparison.verdict, key=lambda each: WORST_FIRST[each])
    sentence = _sentence(name, found, comparison, share, thresholds)
    return FeatureSkew(name, verdict, sentence, origin, found, comparison)


_VERDICTS: Mapping[Verdict, str] = {
    "drift": "skewed",
    "warn": "with a warning",
    "insufficient": "not comparable",
}
_MEANINGS: Mapping[Cause, str] = {
    "late": "should be newer by now",
    "null": "null on one side",
    "default": "a default on one side",
    "type": "of another type",
    "value": "another value",
    "expired": "older than the TTL, where training has null",
    "stale": "older than training's, not due yet",
    "ahead": "pushed since",
}


def summary_of(features: Sequence[FeatureSkew], sizes: str) -> str:
    """The verdict on a whole service, as a clause: what its features say, counted.

    Args:
        features: Its features.
        sizes: What was compared, such as ``2 requests``.
    """
    wrong = [each for each in features if each.verdict != "ok"]
    if wrong:
        counts = {
            words: sum(each.verdict == verdict for each in wrong)
            for verdict, words in _VERDICTS.items()
        }
        parts = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
        said = f"{len(wrong)} of {len(features)} features are not well ({parts}; {sizes}): "
        return said + worst_of(wrong).sentence.removesuffix(".")
    differ = [each for each in features if not each.is_as_trained]
    if not differ:
        return f"all {len(features)} features are served as trained ({sizes})"
    causes = Counter[Cause]()
    for each in differ:
        causes.update(each.parity.counts if each.parity else {})
    reasons = [
        f"{causes[cause]:,} {meaning}" for cause, meaning in _MEANINGS.items() if causes[cause]
    ]
    return (
        f"none of {len(features)} features is skewed ({sizes}): {len(features) - len(differ)} "
        f"served as trained, {len(differ)} with values that differ and are no skew "
        f"({', '.join(reasons)})"
    )


def worst_of(features: Sequence[FeatureSkew]) -> FeatureSkew:
    """The worst of some features."""
    return min(
        features,
        key=lambda each: (
            WORST_FIRST[each.verdict],
            1.0 if math.isnan(each.match_rate) else each.match_rate,
        ),
    )


def _sentence(
    name: str, found: Parity, comparison: Comparison, share: float, thresholds: SkewThresholds
) -> str:
    wrong = f"{share:.2%} are wrong (threshold {thresholds.mismatch:.2%})"
    same = f"{found.share('match'):.2%} of {found.compared:,} values are served as trained"
    parts = [f"{name}: {same}, {wrong}"]
    causes = [
        f"{found.counts[cause]:,} {meaning}"
        for cause, meaning in _MEANINGS.items()
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
