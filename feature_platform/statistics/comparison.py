"""The comparison of one feature in one window with its reference, and the sentence on it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from feature_platform.errors import StatisticsError
from feature_platform.statistics.measures import Measure
from feature_platform.statistics.profiles.arrays import (
    finite_or_none,
    nan_if_none,
    require_schema,
)
from feature_platform.statistics.profiles.profile import Profile
from feature_platform.statistics.thresholds import Rule

SCHEMA_VERSION = 1
Verdict = Literal["ok", "warn", "drift", "insufficient"]

WORST_FIRST: Mapping[Verdict, int] = {"drift": 0, "warn": 1, "insufficient": 2, "ok": 3}
"""The rank of each verdict."""
SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles of a summary."""


@dataclass(frozen=True)
class Summary:
    """The basic statistics of a `Profile`, with quantiles at `SHARES`; NaN where not applicable."""

    rows: int
    null_rate: float
    distinct: int
    mean: float
    std: float
    minimum: float
    maximum: float
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, found: Profile) -> "Summary":
        """The summary of a profile."""
        return cls(
            *(found.rows, found.null_rate, found.distinct_count),
            *(found.mean, found.std, found.minimum, found.maximum),
            tuple(found.quantiles(*SHARES)),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
        reals = {name: finite_or_none(getattr(self, name)) for name in _SUMMARY_REALS}
        quantiles = list(map(finite_or_none, self.quantiles))
        return {"rows": self.rows, "distinct": self.distinct, **reals, "quantiles": quantiles}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Summary":
        """The inverse of `to_json`."""
        reals = {name: nan_if_none(data[name]) for name in _SUMMARY_REALS}
        quantiles = tuple(nan_if_none(value) for value in data["quantiles"])
        return cls(**{**data, **reals, "quantiles": quantiles})


_SUMMARY_REALS = ("null_rate", "mean", "std", "minimum", "maximum")


@dataclass(frozen=True)
class BinShare:
    """The shares of rows of both sides in one bin.

    Its `part` is ``length`` or ``elements`` of a list feature, and empty for other features.
    """

    label: str
    reference: float
    current: float
    part: str = ""


@dataclass(frozen=True)
class Comparison:
    """One feature of one window against its reference.

    Attributes:
        feature: Its name.
        verdict: ``ok``, ``warn``, ``drift``, or ``insufficient`` where the rows are too few.
        sentence: Why, with statistic, value, threshold and both sample sizes.
        reason: One word for programs: ``measured``, ``empty_window``, ``empty_reference``,
            ``no_reference``, ``feature_gone``, ``type_changed``, ``unreadable``.
        kind: The `Kind` of the feature.
        reference_rows: Rows of the reference.
        current_rows: Rows of the window.
        measures: Every statistic.
        rules: The guide's simple rules.
        p_value: The least p-value of the deciding measures, each over its weight.
        adjusted_p: `p_value` corrected across the family (Benjamini-Hochberg).
        family: Number of comparisons that were corrected together.
        reference_label: Label of the reference.
        reference_version: Its version.
        season: Season of the reference that was used; None for all windows.
        notes: Further remarks for the reader.
        bins: Shares of both sides per bin.
        reference: Summary of the reference; None without one.
        current: Summary of the window; None without one.
        window: Name of the window, such as ``2026-03-01``; may be empty.
        basis: How a feature is judged that is judged in a special way, such as ids.
    """

    feature: str
    verdict: Verdict
    sentence: str
    reason: str = "measured"
    kind: str = ""
    reference_rows: int = 0
    current_rows: int = 0
    measures: tuple[Measure, ...] = ()
    rules: tuple[Rule, ...] = ()
    p_value: float = 1.0
    adjusted_p: float = 1.0
    family: int = 1
    reference_label: str = ""
    reference_version: str = ""
    season: str | None = None
    notes: tuple[str, ...] = ()
    bins: tuple[BinShare, ...] = ()
    reference: Summary | None = None
    current: Summary | None = None
    window: str = ""
    basis: str = ""

    @property
    def worst(self) -> Measure | None:
        """The deciding measure of the greatest severity; None without one."""
        deciding = [each for each in self.measures if each.decides]
        return max(deciding, key=lambda each: each.severity, default=None)

    @property
    def severity(self) -> float:
        """Severity of `worst`; 1 is where drift begins, infinite for drift without a measure."""
        if self.verdict == "drift" and self.reason != "measured":
            return math.inf
        return 0.0 if self.worst is None else self.worst.severity

    def measure(self, statistic: str) -> Measure:
        """The measure of that name.

        Raises:
            StatisticsError: It was not computed for this feature.
        """
        for each in self.measures:
            if each.statistic == statistic:
                return each
        known = ", ".join(each.statistic for each in self.measures) or "none"
        raise StatisticsError(
            f"comparison of {self.feature!r}",
            f"it has no statistic {statistic!r}",
            f"choose one of: {known}",
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object of schema `SCHEMA_VERSION` for `from_json`."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {
            "schema_version": SCHEMA_VERSION,
            **plain,
            "basis": self.basis,
            "notes": list(self.notes),
            "measures": [each.to_json() for each in self.measures],
            "rules": [[r.name, finite_or_none(r.value), r.threshold] for r in self.rules],
            "bins": [[b.label, b.reference, b.current, b.part] for b in self.bins],
            "reference": self.reference and self.reference.to_json(),
            "current": self.current and self.current.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Comparison":
        """The inverse of `to_json`, without null distributions: it cannot be corrected again.

        Raises:
            StatisticsError: It is of another schema version.
        """
        subject = f"stored comparison of {data.get('feature')!r}"
        require_schema(data, SCHEMA_VERSION, subject, "compare the window again")
        return cls(
            **{name: data[name] for name in _PLAIN},
            basis=data.get("basis", ""),
            notes=tuple(data["notes"]),
            measures=tuple(Measure.from_json(each) for each in data["measures"]),
            rules=tuple(Rule(name, nan_if_none(v), bound) for name, v, bound in data["rules"]),
            bins=tuple(BinShare(*each) for each in data["bins"]),
            reference=data["reference"] and Summary.from_json(data["reference"]),
            current=data["current"] and Summary.from_json(data["current"]),
        )


_PLAIN = (
    *("feature", "verdict", "sentence", "reason", "kind", "reference_rows", "current_rows"),
    *("p_value", "adjusted_p", "family", "reference_label", "reference_version", "season"),
    "window",
)
