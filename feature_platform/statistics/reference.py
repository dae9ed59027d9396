"""The reference of a feature: immutable, identified by a hash of its content."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from feature_platform.errors import StatisticsError
from feature_platform.statistics.bins import Bins
from feature_platform.statistics.novelty import Novelty
from feature_platform.statistics.profiles.arrays import require_schema
from feature_platform.statistics.profiles.profile import Profile, merge_profiles, profile
from feature_platform.statistics.seasons import WEEKDAYS
from feature_platform.statistics.spread import Spread

if TYPE_CHECKING:
    from feature_platform.statistics.profiles.columns import ColumnLike

SCHEMA_VERSION = 1
ReferenceSource = Literal["fixed", "trailing", "training_set", "named"]

_TEXTS = ("feature", "source", "label")
_SEASON_WINDOWS = 2
"""Windows from which a season is compared with itself."""


@dataclass(frozen=True)
class SeasonWindow:
    """One window of a reference: its season (see `season_of`; None without one) and its profile."""

    season: str | None
    profile: Profile


@dataclass(frozen=True)
class Baseline:
    """The part of a reference that one window is compared with.

    It has the profile and the number of windows of a season, or of all windows with a note why.
    """

    profile: Profile
    season: str | None
    windows: int
    note: str = ""


@dataclass(frozen=True)
class Reference:
    """The reference of one feature.

    Attributes:
        feature: Name of the feature.
        profile: All windows together.
        bins: Bins of this and every later window.
        source: Its kind.
        label: Its name for people, such as ``2026-01-01..2026-01-29``.
        created: When it was made, aware.
        windows: Number of windows it was made from; 1 for a plain column.
        seasons: Season to the number of its windows and their profile.
        spread: How much its windows differ among themselves beyond chance.
        novelty: How many values of its windows are new; for texts.
    """

    feature: str
    profile: Profile
    bins: Bins
    source: ReferenceSource = "fixed"
    label: str = "reference"
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    windows: int = 1
    seasons: Mapping[str, tuple[int, Profile]] = field(default_factory=dict)
    spread: Spread = field(default_factory=Spread)
    novelty: Novelty = field(default_factory=Novelty)

    @classmethod
    def of(
        cls,
        column: "ColumnLike | Profile",
        feature: str = "feature",
        *,
        source: ReferenceSource = "fixed",
        label: str = "reference",
        as_of: datetime | None = None,
    ) -> "Reference":
        """A reference without seasons, from a column or a profile.

        Raises:
            StatisticsError: The column has no single type, or one without statistics.
        """
        found = (
            column if isinstance(column, Profile) else profile(column, name=feature, as_of=as_of)
        )
        return cls(feature, found, Bins.of(found), source, label)

    @classmethod
    def of_windows(
        cls,
        windows: Iterable[SeasonWindow],
        feature: str = "feature",
        *,
        source: ReferenceSource = "trailing",
        label: str = "reference",
    ) -> "Reference":
        """A reference from the profiles of several windows, oldest first.

        It keeps the seasons of its windows, and how much windows of one season differ beyond
        chance, so that a window that differs no more is no alarm.

        Raises:
            StatisticsError: There is no window, or the feature changed its type among them.
        """
        each = list(windows)
        grouped: dict[str | None, list[Profile]] = {}
        for window in each:
            grouped.setdefault(window.season, []).append(window.profile)
        try:
            # By season first, so that no window is merged twice.
            merged = {name: merge_profiles(group) for name, group in grouped.items()}
            whole = merge_profiles(merged.values())
        except StatisticsError as error:
            raise StatisticsError(
                f"reference of {feature!r}", error.problem, error.remedy
            ) from error
        bins = Bins.of(whole)
        groups = [
            (group, merged[name])
            for name, group in grouped.items()
            if name is not None and len(group) >= _SEASON_WINDOWS
        ]
        spread = Spread.among(groups or [([window.profile for window in each], whole)], bins)
        return cls(
            *(feature, whole, bins, source, label),
            windows=len(each),
            seasons={n: (len(grouped[n]), found) for n, found in merged.items() if n is not None},
            spread=spread,
            novelty=Novelty.among([group for group, _ in groups] or [[w.profile for w in each]]),
        )

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the content."""
        # Exact numbers and bins identify the content; sketches may be compressed later.
        content = {
            "reference": [self.feature, self.source, self.label, self.windows],
            "bins": self.bins.to_json(),
            "spread": asdict(self.spread),
            "profiles": [self.profile.exact_part()]
            + [[name, n, each.exact_part()] for name, (n, each) in sorted(self.seasons.items())],
        }
        if self.novelty != Novelty():
            content["novelty"] = self.novelty.to_json()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def baseline(self, season: str | None = None) -> Baseline:
        """The part to compare a window of `season` with: its season if known, else all windows."""
        windows, found = self.seasons.get(season or "", (0, self.profile))
        if season is None or not self.seasons:
            return Baseline(self.profile, None, self.windows)
        if windows >= _SEASON_WINDOWS or (windows and season not in WEEKDAYS):
            return Baseline(found, season, windows)
        note = f"the reference has {windows or 'no'} {season} window{'s' * (windows != 1)}"
        return Baseline(self.profile, None, self.windows, f"{note}, so all of it was compared with")

    def to_json(self) -> dict[str, Any]:
        """A JSON object of schema `SCHEMA_VERSION` for `from_json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in _TEXTS},
            "created": self.created.isoformat(),
            "windows": self.windows,
            "profile": self.profile.to_json(),
            "bins": self.bins.to_json(),
            "seasons": {
                name: {"windows": windows, "profile": found.to_json()}
                for name, (windows, found) in self.seasons.items()
            },
            "spread": asdict(self.spread),
            "novelty": self.novelty.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Reference":
        """The inverse of `to_json`.

        Raises:
            StatisticsError: It is of another schema version.
        """
        subject = f"stored reference of {data.get('feature')!r}"
        require_schema(data, SCHEMA_VERSION, subject, "set the reference again")
        return cls(
            **{name: data[name] for name in _TEXTS},
            profile=Profile.from_json(data["profile"]),
            bins=Bins.from_json(data["bins"]),
            created=datetime.fromisoformat(data["created"]),
            windows=int(data["windows"]),
            seasons={
                name: (int(each["windows"]), Profile.from_json(each["profile"]))
                for name, each in data["seasons"].items()
            },
            spread=Spread(**data["spread"]),
            # References of older releases lack it.
            novelty=Novelty.from_json(data["novelty"]) if "novelty" in data else Novelty(),
        )
