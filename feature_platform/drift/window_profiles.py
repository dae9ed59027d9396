"""Profiles of the windows of a view: made in one pass over its source, stored, merged later."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from feature_platform.core.file_names import window_name
from feature_platform.core.sql import identifier
from feature_platform.core.windows import Window
from feature_platform.drift.drift_files import Files
from feature_platform.errors import StatisticsError
from feature_platform.sources.relation import VIEW, open_relation
from feature_platform.statistics import Profile, profile

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.data_source import DataSource

SCHEMA_VERSION = 1
# Windows whose profiles are in memory at once while a source is read.
_AT_ONCE = 64


@dataclass(frozen=True)
class WindowProfiles:
    """The features of a view over one window.

    Attributes:
        window: The window.
        rows: Its rows.
        features: Profile of each feature that can be profiled.
        problems: Why the others cannot, such as a column that is not there.
    """

    window: Window
    rows: int
    features: Mapping[str, Profile] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def covers(self, features: Sequence[str]) -> bool:
        """Whether something is known of all of them."""
        return all(name in self.features or name in self.problems for name in features)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "schema_version": SCHEMA_VERSION,
            "window": [self.window.start.isoformat(), self.window.end.isoformat()],
            "rows": self.rows,
            "features": {name: each.to_json() for name, each in self.features.items()},
            "problems": dict(self.problems),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "WindowProfiles":
        """What `to_json` wrote.

        Raises:
            StatisticsError: It was written by another version.
        """
        if data.get("schema_version") != SCHEMA_VERSION:
            raise StatisticsError(
                "stored profiles", "are of another schema version", "profile the window again"
            )
        return cls(
            Window(*(datetime.fromisoformat(each) for each in data["window"])),
            int(data["rows"]),
            {name: Profile.from_json(each) for name, each in data["features"].items()},
            dict(data["problems"]),
        )


@dataclass(frozen=True)
class ProfileStore:
    """Where the profiles of a view's windows are kept, a file a window."""

    files: Files
    view: str

    def read(self, window: Window, features: Sequence[str]) -> WindowProfiles | None:
        """Those of a window; None where there are none that know all `features`."""
        try:
            found = self.files.parse_json(
                WindowProfiles.from_json, "profiles", self.view, window_name(window)
            )
        except StatisticsError:
            return None  # of another version of this package: made again from the source
        return found if found and found.covers(features) else None

    def write(self, profiles: WindowProfiles) -> None:
        """Keep them; those of the same window are replaced."""
        self.files.write_json(
            profiles.to_json(), "profiles", self.view, window_name(profiles.window)
        )


def feature_columns(view: "FeatureView") -> dict[str, str]:
    """Feature to the column of its batch source that holds it."""
    renamed = {new: old for old, new in view.batch_source.field_mapping.items()}
    return {each.name: renamed.get(each.name, each.name) for each in view.features}


def profile_windows(
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Mapping[str, str],
) -> Iterator[WindowProfiles]:
    """Profiles of windows of a source, whose rows are read once and never held.

    Args:
        store: The Feast store.
        source: A batch source.
        windows: Windows that do not overlap.
        columns: Feature to source column.

    Yields:
        Those of each window, oldest first.

    Raises:
        SourceError: The table is missing or unreadable; a missing column is a problem of its
            feature only.
    """
    ordered = sorted(windows)
    for at in range(0, len(ordered), _AT_ONCE):
        yield from _profiled(store, source, ordered[at : at + _AT_ONCE], columns)


def _profiled(
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Mapping[str, str],
) -> list[WindowProfiles]:
    with open_relation(store.config, source, windows, None) as relation:
        there = {name: column for name, column in columns.items() if column in relation.columns}
        wanted = dict.fromkeys([*there.values(), relation.timestamp])
        sql = f"SELECT {', '.join(map(identifier, wanted))} FROM {VIEW}"
        schema = relation.schema(sql)
        tallies = [_Tally(each, there, schema) for each in windows]
        starts = np.array([_micros(each.start) for each in windows])
        for batch in relation.batches(sql):
            times = batch.column(relation.timestamp).cast(pa.int64()).to_numpy()
            places = np.searchsorted(starts, times, side="right") - 1
            found = np.unique(places)
            for place in found:
                tally = tallies[int(place)]
                if len(found) == 1:
                    tally.add(batch)
                else:
                    tally.add(batch.take(pa.array(np.flatnonzero(places == place))))
    gone = {
        name: f"source '{source.name}' has no column '{column}'"
        for name, column in columns.items()
        if name not in there
    }
    return [each.profiles(gone) for each in tallies]


class _Tally:
    """The profiles of one window while its rows come in."""

    def __init__(self, window: Window, columns: Mapping[str, str], schema: pa.Schema) -> None:
        self.window, self.columns = window, columns
        self.rows = 0
        self.found: dict[str, Profile] = {}
        self.problems: dict[str, str] = {}
        # A window without rows still has types.
        self._take(pa.RecordBatch.from_pylist([], schema=schema))

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self._take(batch)

    def _take(self, batch: pa.RecordBatch) -> None:
        for name, column in self.columns.items():
            if name in self.problems:
                continue
            try:
                seen = profile(batch.column(column), name=name, as_of=self.window.end)
                known = self.found.get(name)
                self.found[name] = seen if known is None or not known.rows else known.merge(seen)
            except StatisticsError as error:
                self.problems[name] = f"{error.problem}; {error.remedy}"
                self.found.pop(name, None)

    def profiles(self, gone: Mapping[str, str]) -> WindowProfiles:
        small = {name: each.compress() for name, each in self.found.items()}
        return WindowProfiles(self.window, self.rows, small, {**self.problems, **gone})


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
