"""Stores and settings of one feature view's drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window
from feature_platform.drift.accepted import AcceptedStore
from feature_platform.drift.drift_files import Files
from feature_platform.drift.drift_results import ResultStore
from feature_platform.drift.drift_settings import DriftSettings, SameWeekday, Trailing, ViewDrift
from feature_platform.drift.left_out import left_out
from feature_platform.drift.references import ReferenceStore, ViewReference, reference_of_each
from feature_platform.drift.window_profiles import (
    ProfileStore,
    WindowProfiles,
    feature_columns,
    profile_windows,
)
from feature_platform.errors import SourceError
from feature_platform.repo.view_settings import read_settings
from feature_platform.statistics.thresholds import DEFAULT_THRESHOLDS, Thresholds

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.repo.project import FeastProject


@dataclass(frozen=True)
class ViewState:
    """What is configured and stored for the drift of one feature view."""

    project: "FeastProject"
    view: str
    settings: DriftSettings

    @cached_property
    def drift(self) -> ViewDrift:
        """The settings of this view."""
        return self.settings.of(self.view)

    @property
    def has_moving_reference(self) -> bool:
        """Whether windows are compared with those before them."""
        return isinstance(self.drift.reference, Trailing | SameWeekday)

    @property
    def thresholds(self) -> Thresholds:
        """How large a change matters."""
        return self.drift.thresholds or DEFAULT_THRESHOLDS

    @cached_property
    def files(self) -> Files:
        """The folder of all stores."""
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
        """The accepted changes."""
        return AcceptedStore(self.files, self.view)

    @cached_property
    def partition(self) -> timedelta:
        """Length of the view's partitions."""
        return read_settings(self.view, self.project.view(self.view).tags).length

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """Source column by feature that is compared."""
        known = feature_columns(self.project.view(self.view))
        return {name: column for name, column in known.items() if name not in self.left_out}

    @cached_property
    def left_out(self) -> Mapping[str, str]:
        """Features that are not compared, and why."""
        return left_out(self.project.view(self.view), self.settings)

    def profiles_of(self, store: "FeatureStore", windows: Sequence[Window]) -> list[WindowProfiles]:
        """Stored profiles, then those of the other windows, from one read of the source."""
        features = list(self.columns)
        stored = {window: self.profiles.read(window, features) for window in windows}
        found = [each for each in stored.values() if each is not None]
        missing = [window for window, each in stored.items() if each is None]
        source = self.project.view(self.view).batch_source
        for made in profile_windows(store, source, missing, self.columns):
            self.profiles.write(made)
            found.append(made)
        return found

    def freeze(
        self, store: "FeatureStore", name: str, window: Window, label: str = ""
    ) -> ViewReference:
        """Set the reference `name` to the partitions of `window`, as the source has them now.

        Raises:
            SourceError: The source is missing or unreadable, or has no row in the window.
        """
        label = label or f"'{name}', {window}"
        found = self.profiles_of(store, split(window, self.partition))
        if not any(each.rows for each in found):
            raise SourceError(
                f"reference {label} of feature view '{self.view}'",
                "holds no row",
                "choose a window that has rows",
            )
        windows = sorted(found, key=lambda each: each.window)
        reference = reference_of_each(
            dict.fromkeys(self.columns, windows),
            source="named",
            label=label,
            name=name,
            origin=str(window),
        )
        self.references.set(reference)
        return reference


def split(window: Window, length: timedelta) -> list[Window]:
    """`window` in parts of a length; the last may be shorter."""
    parts, start = [], window.start
    while start < window.end:
        parts.append(Window(start, min(window.end, start + length)))
        start += length
    return parts
