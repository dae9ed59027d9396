"""Drift of a feature view: windows against the reference that its settings name."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window
from feature_platform.drift.accepted import AcceptedStore
from feature_platform.drift.drift_files import Files
from feature_platform.drift.drift_history import History
from feature_platform.drift.drift_results import ResultStore, WindowDrift, streaks
from feature_platform.drift.drift_settings import (
    DriftSettings,
    FixedWindow,
    Named,
    SameWeekday,
    Trailing,
    TrainingSet,
    ViewDrift,
    fixed_window,
)
from feature_platform.drift.references import ReferenceStore, ViewReference, reference_of_windows
from feature_platform.drift.training_reference import training_reference
from feature_platform.drift.window_profiles import (
    ProfileStore,
    WindowProfiles,
    feature_columns,
    profile_windows,
)
from feature_platform.errors import SourceError
from feature_platform.repo.view_settings import read_settings
from feature_platform.statistics import Comparison, correct, measure_many, season_of
from feature_platform.statistics.thresholds import DEFAULT_THRESHOLDS, Thresholds

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.repo.project import FeastProject

TREND = 59
"""Earlier windows that a page shows."""


@dataclass(frozen=True)
class DriftJudge:
    """Judges windows of one view.

    Attributes:
        project: The repo.
        view: Name of the feature view.
        settings: What the project's settings say of drift.
        reference: A reference that is used in place of the one that the settings name.
    """

    project: "FeastProject"
    view: str
    settings: DriftSettings
    reference: ViewReference | None = None

    @cached_property
    def own(self) -> ViewDrift:
        """The settings of this view."""
        return self.settings.of(self.view)

    @property
    def moves(self) -> bool:
        """Whether windows are compared with those before them."""
        return isinstance(self.own.reference, Trailing | SameWeekday)

    @property
    def thresholds(self) -> Thresholds:
        """How much matters."""
        return self.own.thresholds or DEFAULT_THRESHOLDS

    @cached_property
    def files(self) -> Files:
        """Where everything is kept."""
        return Files.of(self.project, self.settings.folder)

    @cached_property
    def profiles(self) -> ProfileStore:
        """The stored profiles."""
        return ProfileStore(self.files, self.view)

    @cached_property
    def references(self) -> ReferenceStore:
        """The stored references."""
        return ReferenceStore(self.files, self.view)

    @cached_property
    def results(self) -> ResultStore:
        """The stored verdicts."""
        return ResultStore(self.files, self.view)

    @cached_property
    def accepted(self) -> AcceptedStore:
        """The changes that are the new normal."""
        return AcceptedStore(self.files, self.view)

    @cached_property
    def partition(self) -> timedelta:
        """Length of the view's partitions."""
        return read_settings(self.view, self.project.view(self.view).tags).length

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """Feature to source column."""
        return feature_columns(self.project.view(self.view))

    def rules(self, window: Window) -> str:
        """A hash of what a window is judged by: other settings, other verdicts."""
        said = repr((self.own, self.thresholds, sorted(self.columns.items())))
        if self.reference is not None:
            said += self.reference.version
        elif self.moves:
            accepted = [self.accepted.of(name, window.start) for name in self.columns]
            said += "".join(f"{each.feature}{each.when}" for each in accepted if each)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def judge(
        self,
        store: "FeatureStore",
        windows: Sequence[Window],
        *,
        hashes: Mapping[Window, str] | None = None,
        keep: bool = True,
    ) -> list[WindowDrift]:
        """Judge windows, oldest first, with one reading of each.

        Args:
            store: The Feast store.
            windows: Windows of one length that do not overlap.
            hashes: Content of each window, where its verdict decides whether it is served: then
                each is judged alone, and one that has drifted is no reference of the next. None
                judges them as one family.
            keep: Whether profiles and verdicts are stored.

        Raises:
            SourceError: The source is missing or unreadable, or a file of the drift folder is.
            RegistryError: The registry cannot be reached.
        """
        ordered = sorted(windows)
        history = self._history(store, ordered)
        fixed = self.reference or (self._fixed(store) if history is None and ordered else None)
        measured: list[_Measured] = []
        for found in profile_windows(
            store, self.project.view(self.view).batch_source, ordered, self.columns
        ):
            if keep:
                self.profiles.write(found)
            reference = fixed
            if history is not None:
                reference = history.reference(found.window)
            assert reference is not None  # noqa: S101 - the one or the other
            comparisons = self._measured(found, reference)
            alone = comparisons
            if hashes is not None or history is not None:
                alone = correct(comparisons, self.thresholds)
            if hashes is not None:
                comparisons = alone
            version = reference.version if reference.features else ""
            measured.append(_Measured(found.window, reference.label, version, comparisons))
            if history is not None:
                # What the windows after it are compared with cannot wait for the whole family.
                drifted = [each.feature for each in alone if each.verdict == "drift"]
                history.add(found, drifted, served=hashes is None or not drifted)
        family = [each for one in measured for each in one.comparisons]
        judged = iter(family if hashes is not None else correct(family, self.thresholds))
        results: list[WindowDrift] = []
        before = next(iter(self.results.before(ordered[0], 1)), None) if ordered else None
        for one in measured:
            comparisons = tuple(next(judged) for _ in one.comparisons)
            result = WindowDrift(
                view=self.view,
                window=one.window,
                comparisons=comparisons,
                streaks=streaks(comparisons, before, one.window),
                consecutive=self.own.consecutive,
                reference=one.reference,
                reference_version=one.version,
                content_hash=(hashes or {}).get(one.window, ""),
                rules=self.rules(one.window),
            )
            if keep:
                self.results.write(result)
            results.append(result)
            before = result
        return results

    def still_counts(self, found: WindowDrift, store: "FeatureStore") -> bool:
        """Whether a stored verdict is what these settings and references would say of its rows.

        A reference that has been set again since, or for the first time, says something else. One
        that is made of the windows before is another every day; only its lack is no last word.

        Raises:
            SourceError: A file of the drift folder cannot be read.
        """
        if found.rules != self.rules(found.window):
            return False
        if self.moves:
            return all(each.reason != "no_reference" for each in found.comparisons)
        reference = self.reference or self._fixed(store)
        return found.reference_version == (reference.version if reference.features else "")

    def freeze(self, store: "FeatureStore", name: str, window: Window) -> ViewReference:
        """Set the reference `name` to the windows inside `window`, a day (or an hour) each.

        Raises:
            SourceError: The source is missing or unreadable, or holds no row in the window.
        """
        found = self.profiles_of(store, split(window, self.partition))
        return self.set_reference(name, found, f"'{name}', {window}", str(window))

    def history(self, window: Window) -> list[WindowDrift]:
        """What was found of the windows before, as many as a page shows, oldest first."""
        return self.results.before(window, TREND)

    def _history(self, store: "FeatureStore", windows: Sequence[Window]) -> History | None:
        kind = self.own.reference
        if self.reference is not None or not windows:
            return None
        if isinstance(kind, Trailing):
            # Breaches that are counted together are not each other's reference.
            kind = replace(kind, gap=max(kind.gap, self.own.consecutive - 1))
        return (
            History(self, store, kind, windows)
            if isinstance(kind, Trailing | SameWeekday)
            else None
        )

    def _measured(self, found: WindowProfiles, reference: ViewReference) -> tuple[Comparison, ...]:
        window = str(found.window) if _odd(found.window) else found.window.start.date().isoformat()
        known = {name: each for name, each in reference.features.items() if name in self.columns}
        comparisons = {
            each.feature: each
            for each in measure_many(
                known,
                found.features,
                season=season_of(found.window.start),
                as_of=found.window.end,
                thresholds=self.thresholds,
                window=window,
            )
        }
        return tuple(
            self._explained(name, comparisons.get(name), found, reference, window)
            for name in self.columns
        )

    def _explained(
        self,
        name: str,
        comparison: Comparison | None,
        found: WindowProfiles,
        reference: ViewReference,
        window: str,
    ) -> Comparison:
        """The comparison of a feature; where there is none to make, one that says why."""
        if problem := found.problems.get(name):
            gone = "has no column" in problem
            return Comparison(
                name,
                "drift" if gone else "insufficient",
                f"{name} is gone: {problem}." if gone else f"{name} cannot be judged: {problem}.",
                reason="feature_gone" if gone else "unreadable",
                window=window,
                reference_label=reference.label,
            )
        if comparison is None or comparison.reason == "no_reference":
            problem = reference.problems.get(name) or "the reference does not know it"
            return Comparison(
                name,
                "insufficient",
                f"{name} cannot be judged, it has no reference: {problem}.",
                reason="no_reference",
                current_rows=found.rows,
                window=window,
            )
        note = reference.notes.get(name)
        return replace(comparison, notes=(*comparison.notes, note)) if note else comparison

    def profiles_of(self, store: "FeatureStore", windows: Sequence[Window]) -> list[WindowProfiles]:
        """Stored profiles, and those of windows that have none, from one reading of the source."""
        features = list(self.columns)
        found, lacking = [], []
        for window in windows:
            stored = self.profiles.read(window, features)
            if stored is None:
                lacking.append(window)
            else:
                found.append(stored)
        source = self.project.view(self.view).batch_source
        for made in profile_windows(store, source, lacking, self.columns):
            self.profiles.write(made)
            found.append(made)
        return found

    def set_reference(
        self, name: str, found: Sequence[WindowProfiles], label: str, origin: str
    ) -> ViewReference:
        """Freeze a reference of stored profiles.

        Raises:
            SourceError: They hold no row.
        """
        if not any(each.rows for each in found):
            raise SourceError(
                f"reference {label} of feature view '{self.view}'",
                "holds no row",
                "choose a window that has rows",
            )
        ordered = sorted(found, key=lambda each: each.window)
        reference = reference_of_windows(
            ordered, self.columns, source="named", label=label, name=name, origin=origin
        )
        self.references.set(reference)
        return reference

    def _fixed(self, store: "FeatureStore") -> ViewReference:
        """The reference that is the same for all windows."""
        kind = self.own.reference
        if isinstance(kind, FixedWindow):
            window = fixed_window(kind)
            name = f"fixed {window}"
            known = self.references.current(name)
            if known is None:
                found = self.profiles_of(store, split(window, self.partition))
                known = self.set_reference(name, found, str(window), str(window))
            return known
        if isinstance(kind, TrainingSet):
            return training_reference(self, kind)
        assert isinstance(kind, Named)  # noqa: S101 - the last kind
        known = self.references.current(kind.name)
        if known is None:
            names = ", ".join(self.references.names()) or "none is set"
            said = (
                f"nobody has set the reference '{kind.name}' ({names}); set it: feature-platform "
                f"drift --view {self.view} --set-reference {kind.name} --start DAY --end DAY"
            )
            return ViewReference(kind.name, problems=dict.fromkeys(self.columns, said))
        return known


@dataclass(frozen=True)
class _Measured:
    """One window before its family is judged; neither profiles nor references are held."""

    window: Window
    reference: str
    version: str
    comparisons: tuple[Comparison, ...]


def split(window: Window, length: timedelta) -> list[Window]:
    """`window` in parts of a length; the last may be shorter."""
    parts, start = [], window.start
    while start < window.end:
        parts.append(Window(start, min(window.end, start + length)))
        start += length
    return parts


def _odd(window: Window) -> bool:
    """Whether a window is anything but a day."""
    midnight = window.start.time() == window.end.time() == type(window.start.time()).min
    return not midnight or (window.end - window.start).days != 1
