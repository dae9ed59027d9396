"""Stored verdicts on the windows of a view, for trends, streaks and the gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from feature_platform.core.file_names import window_name
from feature_platform.core.windows import Window
from feature_platform.drift.drift_files import Files
from feature_platform.statistics import Comparison, Verdict
from feature_platform.statistics.comparison import WORST_FIRST

SCHEMA_VERSION = 1
WARM_UP = "warm_up"
"""The reason of a comparison for which too few windows are online yet: it ends by itself."""


@dataclass(frozen=True)
class WindowDrift:
    """The comparisons of the features of one window.

    Attributes:
        view: The feature view.
        window: The window.
        comparisons: One per feature.
        streaks: By drifted feature, in how many windows in a row it has drifted, up to this one.
        consecutive: Windows in a row from which drift is an error.
        reference: Label of the reference.
        reference_version: Its version; empty without one.
        content_hash: Hash of the rows; empty where the verdict does not gate them.
        rules: A hash of the settings.
    """

    view: str
    window: Window
    comparisons: tuple[Comparison, ...]
    streaks: Mapping[str, int] = field(default_factory=dict)
    consecutive: int = 1
    reference: str = ""
    reference_version: str = ""
    content_hash: str = ""
    rules: str = ""

    def verdict_of(self, comparison: Comparison) -> Verdict:
        """The verdict on a feature; drift is ``warn`` until `consecutive` windows have drifted."""
        waits = self.streaks.get(comparison.feature, 1) < self.consecutive
        return "warn" if comparison.verdict == "drift" and waits else comparison.verdict

    def sentence_of(self, comparison: Comparison) -> str:
        """The sentence on a feature, with its streak if `consecutive` is more than one."""
        if comparison.verdict != "drift" or self.consecutive == 1:
            return comparison.sentence
        streak = self.streaks.get(comparison.feature, 1)
        row = f"windows in a row: {streak}, an error from {self.consecutive} on"
        return f"{comparison.sentence.removesuffix('.')}; {row}."

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """Number of features by verdict, worst first."""
        verdicts = [self.verdict_of(each) for each in self.comparisons]
        return {verdict: verdicts.count(verdict) for verdict in WORST_FIRST}

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; ``insufficient`` without features."""
        return next((verdict for verdict, n in self.counts.items() if n), "insufficient")

    def passes(self, comparison: Comparison) -> bool:
        """Whether a feature has not drifted, or its reference warms up."""
        return comparison.reason == WARM_UP or self.verdict_of(comparison) == "ok"

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with any feature."""
        return all(map(self.passes, self.comparisons))

    @property
    def worst_first(self) -> list[Comparison]:
        """The comparisons by verdict, then by distance from their thresholds."""
        return sorted(
            self.comparisons, key=lambda each: (WORST_FIRST[self.verdict_of(each)], -each.severity)
        )

    @property
    def sentence(self) -> str:
        """A summary in a sentence or two."""
        counts, total = self.counts, len(self.comparisons)
        if not total:
            return f"'{self.view}' has no feature to compare."
        if all(each.reason == WARM_UP for each in self.comparisons):
            return self.comparisons[0].sentence
        if counts["ok"] == total:
            return f"All {total} features match the reference ({self.reference})."
        found = ", ".join(
            f"{n} {verdict}" for verdict, n in counts.items() if n and verdict != "ok"
        )
        return f"{found} of {total} features. {self.sentence_of(self.worst_first[0])}"

    @property
    def blocks(self) -> str:
        """Why the window must not be served if drift blocks; empty if it may."""
        drifted = [each for each in self.worst_first if self.verdict_of(each) == "drift"]
        if not drifted:
            return ""
        more = f" and {len(drifted) - 1} more features" if len(drifted) > 1 else ""
        return f"{self.sentence_of(drifted[0]).removesuffix('.')}{more}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`, and the output of ``--json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "view": self.view,
            "window": [self.window.start.isoformat(), self.window.end.isoformat()],
            "verdict": self.verdict,
            "consecutive": self.consecutive,
            "streaks": dict(self.streaks),
            "reference": self.reference,
            "reference_version": self.reference_version,
            "content_hash": self.content_hash,
            "rules": self.rules,
            "features": [each.to_json() for each in self.comparisons],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "WindowDrift":
        """The inverse of `to_json`; KeyError or StatisticsError for another schema version."""
        return cls(
            view=data["view"],
            window=Window(*map(datetime.fromisoformat, data["window"])),
            comparisons=tuple(Comparison.from_json(each) for each in data["features"]),
            streaks=dict(data["streaks"]),
            consecutive=int(data["consecutive"]),
            reference=data["reference"],
            reference_version=data["reference_version"],
            content_hash=data["content_hash"],
            rules=data["rules"],
        )


@dataclass(frozen=True)
class ResultStore:
    """The stored verdicts of a view, one file per window."""

    files: Files
    view: str

    def read(self, window: Window) -> WindowDrift | None:
        """The verdict on a window; None if there is none of this schema version."""
        return self._read(window_name(window))

    def write(self, found: WindowDrift) -> None:
        """Store it; that of the same window is replaced."""
        self.files.write_json(found.to_json(), "results", self.view, window_name(found.window))

    def before(self, window: Window, count: int) -> list[WindowDrift]:
        """The newest `count` that end at or before the start of `window`, oldest first."""
        limit = window_name(window)
        names = [each for each in self.files.names("results", self.view) if each < limit]
        found = [self._read(name) for name in (names[-count:] if count else ())]
        return [each for each in found if each is not None and each.window.end <= window.start]

    def streaks_of(self, window: Window) -> Mapping[str, int]:
        """`WindowDrift.streaks` of a window; empty if there is none of this schema version."""
        name = ("results", self.view, window_name(window))
        return self.files.parse_json(_streaks, *name) or {}

    def _read(self, name: str) -> WindowDrift | None:
        return self.files.parse_json(_result, "results", self.view, name)


def _result(content: Any) -> WindowDrift | None:
    return WindowDrift.from_json(content) if _is_current(content) else None


def _streaks(content: Any) -> dict[str, int]:
    # Without the comparisons: the history of a window reads many of them.
    return dict(content["streaks"]) if _is_current(content) else {}


def _is_current(content: Any) -> bool:
    return isinstance(content, dict) and content.get("schema_version") == SCHEMA_VERSION


def streaks(
    comparisons: Sequence[Comparison], before: WindowDrift | None, window: Window
) -> dict[str, int]:
    """`WindowDrift.streaks` of a window, given the result before."""
    past = before.streaks if before is not None and before.window.end == window.start else {}
    return {
        each.feature: past.get(each.feature, 0) + 1
        for each in comparisons
        if each.verdict == "drift"
    }
