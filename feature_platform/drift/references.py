"""References of a view: frozen when they are set, versioned, kept beside its profiles."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.drift.drift_files import Files
from feature_platform.errors import StatisticsError
from feature_platform.statistics import Reference, SeasonWindow, season_of

if TYPE_CHECKING:
    from feature_platform.drift.window_profiles import WindowProfiles
    from feature_platform.statistics import Profile
    from feature_platform.statistics.reference import ReferenceSource

SCHEMA_VERSION = 1
_CURRENT = "CURRENT"


@dataclass(frozen=True)
class ViewReference:
    """What the features of a view are compared with.

    Attributes:
        label: What people call it.
        features: Reference of each feature.
        problems: Features that have none, and why.
        name: Its name; empty for a trailing reference, which nobody sets.
        origin: What it was made from, such as the version of a training set.
        created: When it was set, aware.
        notes: What a reader should know of the reference of a feature; not kept.
    """

    label: str
    features: Mapping[str, Reference] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    origin: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of the content."""
        said = "\n".join(f"{name} {each.version}" for name, each in sorted(self.features.items()))
        return hashlib.sha256(f"{self.origin}\n{said}".encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "schema_version": SCHEMA_VERSION,
            "version": self.version,
            "name": self.name,
            "label": self.label,
            "origin": self.origin,
            "created": self.created.isoformat(),
            "features": {name: each.to_json() for name, each in self.features.items()},
            "problems": dict(self.problems),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ViewReference":
        """What `to_json` wrote.

        Raises:
            StatisticsError: It was written by another version of this package.
        """
        if data.get("schema_version") != SCHEMA_VERSION:
            raise StatisticsError(
                f"stored reference '{data.get('name')}'",
                f"is of schema version {data.get('schema_version')!r}",
                "set it again: feature-platform drift --set-reference",
            )
        return cls(
            label=data["label"],
            features={name: Reference.from_json(each) for name, each in data["features"].items()},
            problems=dict(data["problems"]),
            name=data["name"],
            origin=data["origin"],
            created=datetime.fromisoformat(data["created"]),
        )


@dataclass(frozen=True)
class ReferenceStore:
    """Where the references of a view are kept: every version, and which of them is current."""

    files: Files
    view: str

    def current(self, name: str) -> ViewReference | None:
        """The reference of that name; None where nobody has set it.

        Raises:
            SourceError: It is there, and cannot be read.
            StatisticsError: It was written by another version of this package.
        """
        version = self.files.read_text("references", self.view, name, _CURRENT)
        if version is None:
            return None
        found = self.files.parse_json(
            ViewReference.from_json, "references", self.view, name, version.strip()
        )
        if found is None:
            # Somebody has set it: to call it unset would be to judge without it.
            raise self.files.damaged(
                f"version '{version.strip()}' is not there",
                *("references", self.view, name, _CURRENT),
            )
        return found

    def set(self, reference: ViewReference) -> None:
        """Freeze it under its name; an older version of that name is kept, but not current."""
        place = ("references", self.view, reference.name)
        self.files.write_json(reference.to_json(), *place, reference.version)
        self.files.write_text(f"{reference.version}\n", *place, _CURRENT)

    def names(self) -> list[str]:
        """The names that are set."""
        return self.files.names("references", self.view)


def reference_of_windows(
    windows: Sequence["WindowProfiles"],
    features: Iterable[str],
    *,
    source: "ReferenceSource",
    label: str,
    name: str = "",
    origin: str = "",
) -> ViewReference:
    """A reference of the windows' stored profiles, with their weekdays; nothing is read again.

    Where a feature changed its type among the windows, the type that most of them have counts.
    """
    each = dict.fromkeys(features, windows)
    return reference_of_each(each, source=source, label=label, name=name, origin=origin)


def reference_of_each(
    chosen: Mapping[str, Sequence["WindowProfiles"]],
    *,
    source: "ReferenceSource",
    label: str,
    name: str = "",
    origin: str = "",
) -> ViewReference:
    """As `reference_of_windows`, each feature of windows of its own.

    Args:
        chosen: Windows by feature, oldest first.
        source: Where it comes from.
        label: What people call it.
        name: Its name, if it is to be stored.
        origin: What it was made from.
    """
    found: dict[str, Reference] = {}
    problems: dict[str, str] = {}
    for feature, windows in chosen.items():
        held = [
            (window.window, window.features[feature])
            for window in windows
            if feature in window.features and window.features[feature].rows
        ]
        if not held:
            said = [window.problems[feature] for window in windows if feature in window.problems]
            problems[feature] = said[-1] if said else "none of its windows holds a row"
            continue
        usual = _usual_type([each for _, each in held])
        found[feature] = Reference.of_windows(
            [
                SeasonWindow(season_of(window.start), each)
                for window, each in held
                if each.kind == "empty" or (each.kind, each.ages) == usual
            ],
            feature,
            source=source,
            label=label,
        )
    return ViewReference(label, found, problems, name, origin)


def with_spread_of(reference: Reference, windows: Sequence["WindowProfiles"]) -> Reference:
    """A reference of few windows, which differ as much as `windows` did among themselves.

    Of all of them, not of those of one weekday: so few windows have no seasons.
    """
    held = [w.features[reference.feature] for w in windows if reference.feature in w.features]
    held = [
        each
        for each in held
        if each.rows and (each.kind, each.ages) == (reference.profile.kind, reference.profile.ages)
    ]
    if not held:
        return reference
    lent = Reference.of_windows([SeasonWindow(None, each) for each in held], reference.feature)
    spread, before, now = lent.spread, lent.profile.std, reference.profile.std
    if before > 0 and now > 0:
        # The variance of a mean goes with the square of the feature's scale.
        spread = replace(spread, mean=spread.mean * (now / before) ** 2)
    return replace(reference, spread=spread, seasons={})


def _usual_type(held: Sequence["Profile"]) -> tuple[str, bool]:
    kinds = Counter((each.kind, each.ages) for each in held if each.kind != "empty")
    return kinds.most_common(1)[0][0] if kinds else ("empty", False)
