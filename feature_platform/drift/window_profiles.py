"""Profiles of the windows of a view: made in one pass over its source, and stored."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from feature_platform.core.file_names import window_name
from feature_platform.core.sql import identifier, inside
from feature_platform.core.windows import Window
from feature_platform.drift.drift_files import Files
from feature_platform.errors import StatisticsError
from feature_platform.sources.opened_window import OpenedWindow
from feature_platform.sources.relation import VIEW, Relation, open_relation
from feature_platform.statistics import Profile, profile
from feature_platform.statistics.profiles.arrays import require_schema

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.data_source import DataSource

SCHEMA_VERSION = 1
_AT_ONCE = 64  # windows whose profiles are in memory while a source is read


@dataclass(frozen=True)
class WindowProfiles:
    """The features of a view over one window.

    Attributes:
        window: The window.
        rows: Its number of rows.
        features: Profile by feature.
        problems: Why other features have none, such as a missing column.
    """

    window: Window
    rows: int
    features: Mapping[str, Profile] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def covers(self, features: Sequence[str]) -> bool:
        """Whether each of the features has a profile or a problem."""
        return all(name in self.features or name in self.problems for name in features)

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "window": [self.window.start.isoformat(), self.window.end.isoformat()],
            "rows": self.rows,
            "features": {name: each.to_json() for name, each in self.features.items()},
            "problems": dict(self.problems),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "WindowProfiles":
        """The inverse of `to_json`.

        Raises:
            StatisticsError: It is of another schema version.
        """
        require_schema(data, SCHEMA_VERSION, "stored profiles", "profile the window again")
        return cls(
            Window(*map(datetime.fromisoformat, data["window"])),
            int(data["rows"]),
            {name: Profile.from_json(each) for name, each in data["features"].items()},
            dict(data["problems"]),
        )


@dataclass(frozen=True)
class ProfileStore:
    """The stored profiles of a view, one file per window."""

    files: Files
    view: str

    def read(self, window: Window, features: Sequence[str]) -> WindowProfiles | None:
        """The profiles of a window; None if there are none of all `features`."""
        try:
            found = self.files.parse_json(
                WindowProfiles.from_json, "profiles", self.view, window_name(window)
            )
        except StatisticsError:
            return None  # of another release: made again from the source
        return found if found and found.covers(features) else None

    def write(self, profiles: WindowProfiles) -> None:
        """Store them; those of the same window are replaced."""
        self.files.write_json(
            profiles.to_json(), "profiles", self.view, window_name(profiles.window)
        )


def feature_columns(view: "FeatureView") -> dict[str, str]:
    """Column of the batch source by feature."""
    renamed = {new: old for old, new in view.batch_source.field_mapping.items()}
    return {each.name: renamed.get(each.name, each.name) for each in view.features}


def profile_windows(
    store: "FeatureStore",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Mapping[str, str],
    opened: OpenedWindow | None = None,
) -> Iterator[WindowProfiles]:
    """Profiles of windows that do not overlap, oldest first, in one pass in constant memory.

    Args:
        store: The Feast store.
        source: A batch source.
        windows: Half-open windows.
        columns: Column of the source by feature.
        opened: The source's rows of at least the windows; None reads them.

    Raises:
        SourceError: The table is missing or unreadable; a missing column is only a problem of its
            feature.
    """
    ordered = sorted(windows)
    for at in range(0, len(ordered), _AT_ONCE):
        some = ordered[at : at + _AT_ONCE]
        rows = (
            open_relation(store.config, source, some, None)
            if opened is None
            else nullcontext(opened.relation)
        )
        yield from _profiled(rows, source, some, columns)


def _profiled(
    rows: AbstractContextManager[Relation],
    source: "DataSource",
    windows: Sequence[Window],
    columns: Mapping[str, str],
) -> list[WindowProfiles]:
    with rows as relation:
        present = {name: column for name, column in columns.items() if column in relation.columns}
        wanted = dict.fromkeys([*present.values(), relation.timestamp])
        sql = (
            f"SELECT {', '.join(map(identifier, wanted))} FROM {VIEW} "
            f"WHERE {inside(relation.timestamp, windows)}"
        )
        schema = relation.schema(sql)
        tallies = [_Tally(each, present, schema) for each in windows]
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
    missing = {
        name: f"source '{source.name}' has no column '{column}'"
        for name, column in columns.items()
        if name not in present
    }
    return [each.profiles(missing) for each in tallies]


class _Tally:
    """Builds the profiles of one window from batches."""

    def __init__(self, window: Window, columns: Mapping[str, str], schema: pa.Schema) -> None:
        self.window, self.columns = window, columns
        self.rows = 0
        self.found: dict[str, Profile] = {}
        self.problems: dict[str, str] = {}
        # A window without rows has types too.
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

    def profiles(self, missing: Mapping[str, str]) -> WindowProfiles:
        small = {name: each.compress() for name, each in self.found.items()}
        return WindowProfiles(self.window, self.rows, small, {**self.problems, **missing})


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
