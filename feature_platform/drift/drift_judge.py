"""Judges the drift of a feature view: windows against the reference of its settings."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time, timedelta
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window
from feature_platform.drift.drift_history import History
from feature_platform.drift.drift_results import WARM_UP, WindowDrift, streaks
from feature_platform.drift.drift_settings import (
    FixedWindow,
    Named,
    SameWeekday,
    Trailing,
    TrainingSetReference,
    fixed_window,
)
from feature_platform.drift.references import ViewReference
from feature_platform.drift.training_reference import training_reference
from feature_platform.drift.view_state import ViewState
from feature_platform.drift.window_profiles import WindowProfiles, profile_windows
from feature_platform.sources.opened_window import OpenedWindow
from feature_platform.statistics import Comparison, correct, measure_many, season_of

if TYPE_CHECKING:
    from feast import FeatureStore

TREND = 59
"""Earlier windows on a page."""


@dataclass(frozen=True)
class DriftJudge(ViewState):
    """Judges windows of one view.

    Attributes:
        reference: A reference to use in place of the one in the settings.
    """

    reference: ViewReference | None = None

    def rules(self, window: Window) -> str:
        """A hash of everything a verdict depends on beside the rows and the reference."""
        content = repr((self.drift, self.thresholds, sorted(self.columns.items())))
        if self.reference is not None:
            content += self.reference.version
        elif self.has_moving_reference:
            accepted = [self.accepted.of(name, window.start) for name in self.columns]
            content += "".join(f"{each.feature}{each.when}" for each in accepted if each)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def judge(
        self,
        store: "FeatureStore",
        windows: Sequence[Window],
        *,
        hashes: Mapping[Window, str] | None = None,
        keep: bool = True,
        opened: OpenedWindow | None = None,
    ) -> list[WindowDrift]:
        """Judge windows, oldest first, with one read of each.

        Args:
            store: The Feast store.
            windows: Windows of one length that do not overlap.
            hashes: Content hash by window, if the verdict decides whether a window is served: each
                is then judged alone, and one that has drifted is not in the reference of later
                ones. None judges them as one family.
            keep: Whether profiles and verdicts are stored.
            opened: The rows of the windows; None reads the source.

        Raises:
            SourceError: The source is missing or unreadable, or a stored file is.
            RegistryError: The registry cannot be reached.
        """
        ordered = sorted(windows)
        if not ordered:
            return []
        history = self._history(store, ordered)
        fixed = None if history is not None else self.reference or self._fixed_reference(store)
        results: list[WindowDrift] = []
        source = self.project.view(self.view).batch_source
        for found in profile_windows(store, source, ordered, self.columns, opened):
            if keep:
                self.profiles.write(found)
            reference = history.reference(found.window) if history is not None else fixed
            assert reference is not None  # noqa: S101 - the one or the other
            comparisons = self._compare(found, reference)
            alone = comparisons
            if hashes is not None or history is not None:
                alone = correct(comparisons, self.thresholds)
            if history is not None:
                # Later windows are compared with this one before the whole family is judged.
                drifted = [each.feature for each in alone if each.verdict == "drift"]
                history.add(found, drifted, served=hashes is None or not drifted)
            results.append(
                WindowDrift(
                    view=self.view,
                    window=found.window,
                    comparisons=comparisons if hashes is None else alone,
                    consecutive=self.drift.consecutive,
                    reference=reference.label,
                    reference_version=reference.version if reference.features else "",
                    content_hash=(hashes or {}).get(found.window, ""),
                )
            )
        family = [each for result in results for each in result.comparisons]
        judged = iter(family if hashes is not None else correct(family, self.thresholds))
        before = next(iter(self.results.before(ordered[0], 1)), None)
        for place, result in enumerate(results):
            comparisons = tuple(next(judged) for _ in result.comparisons)
            before = results[place] = replace(
                result,
                comparisons=comparisons,
                streaks=streaks(comparisons, before, result.window),
                # Last, since a window may have accepted a change that began in an earlier one.
                rules=self.rules(result.window),
            )
            if keep:
                self.results.write(results[place])
        return results

    def is_current(self, found: WindowDrift, store: "FeatureStore") -> bool:
        """Whether a stored verdict is still that of these settings and references on its rows.

        It is not if its reference was set since. A moving reference differs every day, so that
        verdicts count unless a reference was missing.

        Raises:
            SourceError: A stored file cannot be read.
        """
        if found.rules != self.rules(found.window):
            return False
        if self.has_moving_reference:
            lacking = ("no_reference", WARM_UP)
            return all(each.reason not in lacking for each in found.comparisons)
        reference = self.reference or self._fixed_reference(store)
        return found.reference_version == (reference.version if reference.features else "")

    def history(self, window: Window) -> list[WindowDrift]:
        """The drift of the windows before, as many as a page shows, oldest first."""
        return self.results.before(window, TREND)

    def _history(self, store: "FeatureStore", windows: Sequence[Window]) -> History | None:
        kind = self.drift.reference
        if self.reference is not None or not isinstance(kind, Trailing | SameWeekday):
            return None
        if isinstance(kind, Trailing):
            # Windows of one streak are not in each other's reference.
            kind = replace(kind, gap=max(kind.gap, self.drift.consecutive - 1))
        return History(self, store, kind, windows)

    def _compare(self, found: WindowProfiles, reference: ViewReference) -> tuple[Comparison, ...]:
        window = found.window
        name = window.start.date().isoformat() if _is_day(window) else str(window)
        comparisons = {
            each.feature: each
            for each in measure_many(
                {name: each for name, each in reference.features.items() if name in self.columns},
                found.features,
                season=season_of(window.start),
                as_of=window.end,
                thresholds=self.thresholds,
                window=name,
            )
        }
        return tuple(
            _explained(feature, comparisons.get(feature), found, reference, name)
            for feature in self.columns
        )

    def _fixed_reference(self, store: "FeatureStore") -> ViewReference:
        """The reference that is the same for all windows."""
        kind = self.drift.reference
        if isinstance(kind, FixedWindow):
            window = fixed_window(kind)
            name = f"fixed {window}"
            return self.references.current(name) or self.freeze(store, name, window, str(window))
        if isinstance(kind, TrainingSetReference):
            return training_reference(self, kind)
        assert isinstance(kind, Named)  # noqa: S101 - the last kind
        known = self.references.current(kind.name)
        if known is not None:
            return known
        names = ", ".join(self.references.names()) or "none"
        problem = (
            f"reference '{kind.name}' is not set (set are: {names}); set it: feature-platform "
            f"drift --view {self.view} --set-reference {kind.name} --start DAY --end DAY"
        )
        return ViewReference(kind.name, problems=dict.fromkeys(self.columns, problem))


def _explained(
    feature: str,
    comparison: Comparison | None,
    found: WindowProfiles,
    reference: ViewReference,
    window: str,
) -> Comparison:
    """The comparison of a feature, with the note on its reference; else one that says why not."""
    if problem := found.problems.get(feature):
        gone = "has no column" in problem
        return Comparison(
            feature,
            "drift" if gone else "insufficient",
            f"{feature} is gone: {problem}." if gone else f"{feature} cannot be judged: {problem}.",
            reason="feature_gone" if gone else "unreadable",
            window=window,
            reference_label=reference.label,
        )
    if comparison is None or comparison.reason == "no_reference":
        problem = reference.problems.get(feature) or "the reference does not have it"
        said = f"{feature} cannot be judged, it has no reference: {problem}."
        is_warming = feature in reference.warming
        if is_warming:
            said = f"{feature} is not judged yet, while its reference warms up: {problem}."
        return Comparison(
            feature,
            "insufficient",
            said,
            reason=WARM_UP if is_warming else "no_reference",
            current_rows=found.rows,
            window=window,
        )
    note = reference.notes.get(feature)
    return replace(comparison, notes=(*comparison.notes, note)) if note else comparison


def _is_day(window: Window) -> bool:
    return window.start.time() == time.min and window.end - window.start == timedelta(days=1)
