"""One measured statistic with its thresholds."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

from feature_platform.statistics.null_distributions import Null
from feature_platform.statistics.profiles.arrays import finite_or_none, nan_if_none

WARN_SHARE = 0.5
_REALS = ("value", "threshold", "warn_threshold")


@dataclass(frozen=True)
class Measure:
    """One statistic of one feature in one window.

    Attributes:
        statistic: Its name; for the parts of a list after ``length.`` or ``elements.``.
        value: The measured value; NaN where it does not apply.
        expected: The expected value when nothing has changed, at these sample sizes.
        floor: Effect above `expected` that matters; None for evidence that decides nothing.
        threshold: Drift above it: `expected` plus the larger of `floor` and what chance reaches.
        warn_threshold: A warning above it.
        p_value: Probability of such a value when nothing has changed; None where unknown.
        null: The null distribution; not stored.
    """

    statistic: str
    value: float
    expected: float = 0.0
    floor: float | None = None
    threshold: float = math.nan
    warn_threshold: float = math.nan
    p_value: float | None = None
    null: Null | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The statistic without the part of a list that it measures."""
        return self.statistic.rpartition(".")[2]

    @property
    def decides(self) -> bool:
        """Whether it takes part in the verdict."""
        return self.floor is not None and self.p_value is not None and not math.isnan(self.value)

    @property
    def severity(self) -> float:
        """Effect over threshold, both above `expected`; 1 is where drift begins."""
        if not self.decides or not self.threshold > self.expected:
            return 0.0
        return max(0.0, (self.value - self.expected) / (self.threshold - self.expected))

    @property
    def limited_by(self) -> str:
        """What set the threshold: ``effect`` (less does not matter) or ``chance``."""
        if self.floor is None or self.threshold <= self.expected + self.floor * (1 + 1e-9):
            return "effect"
        return "chance"

    def at_level(self, level: float) -> "Measure":
        """With thresholds that chance alone exceeds with probability `level` at most."""
        if self.floor is None or self.null is None:
            return self
        drift, warn = self.expected + self.floor, self.expected + self.floor * WARN_SHARE
        # A quantile is expensive, and effects that matter are mostly far beyond chance.
        if self.null.p(warn) > level:
            chance = self.null.quantile(level)
            drift, warn = max(drift, chance), max(warn, chance)
        return replace(self, threshold=drift, warn_threshold=warn)

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`, without `null`."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain |= {name: finite_or_none(plain[name]) for name in _REALS}
        del plain["null"]
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Measure":
        """The inverse of `to_json`."""
        reals = {name: nan_if_none(data[name]) for name in _REALS}
        if data["floor"] is not None:
            # A threshold that exists and is no finite number is out of reach.
            reals |= {n: math.inf for n in ("threshold", "warn_threshold") if data[n] is None}
        return cls(**{**data, **reals})
