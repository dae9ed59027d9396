"""What was found of each window of a view, kept: trends, breaches in a row, the gate's verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from feature_platform.core.file_names import window_name
from feature_platform.core.windows import Window
from feature_platform.drift.drift_files import Files
from feature_platform.statistics import Comparison, Verdict

SCHEMA_VERSION = 1
ORDER: Mapping[Verdict, int] = {"drift": 0, "warn": 1, "insufficient": 2, "ok": 3}
"""Worst first."""


@dataclass(frozen=True)
class WindowDrift:
    """The features of one window against their reference.

    Attributes:
        view: The feature view.
        window: The window.
        comparisons: One for each feature.
        streaks: Windows in a row, this one the last, in which a feature has drifted.
        consecutive: Windows in a row from which drift is an error.
        reference: What people call the reference.
        reference_version: Its version; empty where there is none.
        content_hash: Of the rows that were judged; empty where nobody waits for the verdict.
        rules: A hash of the settings that it was judged by.
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
        """The verdict on a feature; ``warn`` until enough windows in a row have drifted."""
        waits = self.streaks.get(comparison.feature, 1) < self.consecutive
        return "warn" if comparison.verdict == "drift" and waits else comparison.verdict

    def sentence_of(self, comparison: Comparison) -> str:
        """The sentence on a feature, with the number of windows in a row where that counts."""
        if comparison.verdict != "drift" or self.consecutive == 1:
            return comparison.sentence
        streak = self.streaks.get(comparison.feature, 1)
        said = f"windows in a row: {streak}, an error from {self.consecutive} on"
        return f"{comparison.sentence.removesuffix('.')}; {said}."

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; ``insufficient`` where there is no feature."""
        verdicts = [self.verdict_of(each) for each in self.comparisons]
        return min(verdicts, key=lambda each: ORDER[each], default="insufficient")

    @property
    def worst_first(self) -> list[Comparison]:
        """The comparisons by verdict, then by distance from their thresholds."""
        return sorted(
            self.comparisons, key=lambda each: (ORDER[self.verdict_of(each)], -each.severity)
        )

    @property
    def sentence(self) -> str:
        """All of it in a sentence or two."""
        counts = {
            verdict: sum(self.verdict_of(each) == verdict for each in self.comparisons)
            for verdict in ORDER
        }
        total = len(self.comparisons)
        if not total:
            return f"'{self.view}' has no feature to compare."
        if counts["ok"] == total:
            return f"All {total} features are as the reference ({self.reference}) has them."
        told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n and verdict != "ok")
        worst = self.worst_first[0]
        return f"{told} of {total} features. {self.sentence_of(worst)}"

    @property
    def blocks(self) -> str:
        """Why the window must not be served where drift blocks; empty where it may."""
        drifted = [each for each in self.worst_first if self.verdict_of(each) == "drift"]
        if not drifted:
            return ""
        more = f" and {len(drifted) - 1} more features" if len(drifted) > 1 else ""
        return f"{self.sentence_of(drifted[0]).removesuffix('.')}{more}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back; for machines too (``--json``)."""
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
        """What `to_json` wrote; a KeyError or a StatisticsError where it is another version's."""
        return cls(
            view=data["view"],
            window=Window(*(datetime.fromisoformat(each) for each in data["window"])),
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
    """Where the verdicts on a view's windows are kept, a file a window."""

    files: Files
    view: str

    def read(self, window: Window) -> WindowDrift | None:
        """That of a window; None where there is none that this version can read."""
        return self._read(window_name(window))

    def write(self, found: WindowDrift) -> None:
        """Keep it; that of the same window is replaced."""
        self.files.write_json(found.to_json(), "results", self.view, window_name(found.window))

    def before(self, window: Window, count: int) -> list[WindowDrift]:
        """The newest `count` that end before `window` begins or as it does, oldest first."""
        limit = window_name(window)
        names = [each for each in self.files.names("results", self.view) if each < limit]
        found = []
        for name in names[-count:] if count else []:
            result = self._read(name)
            if result is not None:
                found.append(result)
        return [each for each in found if each.window.end <= window.start]

    def streaks_of(self, window: Window) -> Mapping[str, int]:
        """Features that have drifted in a window, and in how many windows in a row.

        Empty where there is no verdict on it that this version can read.
        """
        name = ("results", self.view, window_name(window))
        return self.files.parse_json(_streaks_of_this_version, *name) or {}

    def _read(self, name: str) -> WindowDrift | None:
        return self.files.parse_json(_of_this_version, "results", self.view, name)


def _of_this_version(content: Any) -> WindowDrift | None:
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        return None
    return WindowDrift.from_json(content)


def _streaks_of_this_version(content: Any) -> dict[str, int]:
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        return {}
    return {str(name): int(count) for name, count in content["streaks"].items()}


def streaks(
    comparisons: Sequence[Comparison], before: WindowDrift | None, window: Window
) -> dict[str, int]:
    """For each feature that has drifted, in how many windows in a row, this one included."""
    adjacent = before is not None and before.window.end == window.start
    past = before.streaks if before is not None and adjacent else {}
    return {
        each.feature: past.get(each.feature, 0) + 1
        for each in comparisons
        if each.verdict == "drift"
    }
