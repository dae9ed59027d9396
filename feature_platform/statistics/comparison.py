"""What was found of one feature in one window, and the sentence that says so."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from feature_platform.errors import StatisticsError
from feature_platform.statistics.measures import Measure
from feature_platform.statistics.profiles.arrays import finite_or_none, nan_if_none
from feature_platform.statistics.profiles.profile import Profile
from feature_platform.statistics.thresholds import Rule

SCHEMA_VERSION = 1
Verdict = Literal["ok", "warn", "drift", "insufficient"]

SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles that a summary keeps."""


@dataclass(frozen=True)
class Summary:
    """The plain numbers of a profile; NaN where one does not apply.

    Attributes:
        rows: Number of rows, nulls among them.
        null_rate: Share of rows without a value.
        distinct: Estimated number of distinct values.
        mean: Mean of the finite values.
        std: Their standard deviation.
        minimum: Least finite value.
        maximum: Greatest finite value.
        quantiles: At the shares `SHARES`.
    """

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
        """A JSON object that `from_json` reads back."""
        reals = {name: finite_or_none(getattr(self, name)) for name in _SUMMARY_REALS}
        quantiles = [finite_or_none(value) for value in self.quantiles]
        return {"rows": self.rows, "distinct": self.distinct, **reals, "quantiles": quantiles}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Summary":
        """What `to_json` wrote."""
        reals = {name: nan_if_none(data[name]) for name in _SUMMARY_REALS}
        quantiles = tuple(nan_if_none(value) for value in data["quantiles"])
        return cls(**{**data, **reals, "quantiles": quantiles})


_SUMMARY_REALS = ("null_rate", "mean", "std", "minimum", "maximum")


@dataclass(frozen=True)
class BinShare:
    """One bin of the overlay.

    Attributes:
        label: What the bin holds.
        reference: Share of the reference's rows in it.
        current: Share of the window's rows in it.
        part: ``length`` or ``elements`` of a list feature; empty for other features.
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
        verdict: ``ok``, ``warn``, ``drift``, or ``insufficient`` where too little is there to say.
        sentence: Why, with statistic, value, threshold and both sample sizes.
        reason: One word for programs: ``measured``, ``empty_window``, ``empty_reference``,
            ``no_reference``, ``feature_gone``, ``type_changed``, ``unreadable``.
        kind: What the feature is.
        reference_rows: Rows of the reference it was compared with.
        current_rows: Rows of the window.
        measures: Every statistic.
        rules: The guide's plain rules.
        p_value: The least p-value of the deciding measures, over its weight among them.
        adjusted_p: `p_value` corrected across the family (Benjamini-Hochberg).
        family: Number of comparisons that were corrected together.
        reference_label: Which reference.
        reference_version: Its version.
        season: Season of the reference it was compared with; None for all of it.
        notes: What a reader should know besides.
        bins: The overlay.
        reference: Plain numbers of the reference; None where there is none.
        current: Plain numbers of the window.
        window: Name of the window, such as ``2026-03-01``; empty where none was given.
        basis: What the verdict goes by, where that is not plain, such as with ids.
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
        """The deciding measure closest to, or furthest beyond, its threshold; None without one."""
        deciding = [each for each in self.measures if each.decides]
        return max(deciding, key=lambda each: each.severity, default=None)

    @property
    def severity(self) -> float:
        """How bad: 1 is where drift begins; infinite for a drift that no statistic measures."""
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
        """A JSON object of schema `SCHEMA_VERSION` that `from_json` reads back."""
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
        """What `to_json` wrote; its measures have lost their laws, so it cannot be corrected again.

        Raises:
            StatisticsError: It was written by another version, or by something else.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise StatisticsError(
                f"stored comparison of {data.get('feature')!r}",
                f"it is of schema version {version!r}, this is version {SCHEMA_VERSION}",
                "compare the window again",
            )
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
