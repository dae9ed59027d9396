"""References of a view: immutable, versioned, and stored beside its profiles."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.drift.drift_files import Files
from feature_platform.statistics import Reference, SeasonWindow, season_of
from feature_platform.statistics.profiles.arrays import require_schema

if TYPE_CHECKING:
    from feature_platform.drift.window_profiles import WindowProfiles
    from feature_platform.statistics import Profile
    from feature_platform.statistics.reference import ReferenceSource

SCHEMA_VERSION = 1
_CURRENT = "CURRENT"


@dataclass(frozen=True)
class ViewReference:
    """The references of the features of a view.

    Attributes:
        label: Its name for people.
        features: Reference by feature.
        problems: Why the other features have none.
        name: Its name; empty for a moving reference, which is not stored.
        origin: What it was made from, such as the version of a training set.
        created: When it was set, aware.
        notes: Remarks on the reference of a feature for the reader; not stored.
        warming: Those of `problems` that end by themselves, with more windows online; not stored.
    """

    label: str
    features: Mapping[str, Reference] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    origin: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    notes: Mapping[str, str] = field(default_factory=dict)
    warming: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the content."""
        lines = "\n".join(f"{name} {each.version}" for name, each in sorted(self.features.items()))
        return hashlib.sha256(f"{self.origin}\n{lines}".encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
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
        """The inverse of `to_json`.

        Raises:
            StatisticsError: It is of another schema version.
        """
        subject = f"stored reference '{data.get('name')}'"
        remedy = "set it again: feature-platform drift --set-reference"
        require_schema(data, SCHEMA_VERSION, subject, remedy)
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
    """The stored references of a view: every version, and which of them is current."""

    files: Files
    view: str

    def current(self, name: str) -> ViewReference | None:
        """The reference of that name; None if it is not set.

        Raises:
            SourceError: It exists and cannot be read.
            StatisticsError: It is of another schema version.
        """
        version = self.files.read_text("references", self.view, name, _CURRENT)
        if version is None:
            return None
        found = self.files.parse_json(
            ViewReference.from_json, "references", self.view, name, version.strip()
        )
        if found is None:
            # It is set: without this error, windows would be judged without it.
            raise self.files.damaged(
                f"version '{version.strip()}' is not there",
                *("references", self.view, name, _CURRENT),
            )
        return found

    def set(self, reference: ViewReference) -> None:
        """Store it as the current version of its name; older versions are kept."""
        place = ("references", self.view, reference.name)
        self.files.write_json(reference.to_json(), *place, reference.version)
        self.files.write_text(f"{reference.version}\n", *place, _CURRENT)

    def names(self) -> list[str]:
        """The names of all references."""
        return self.files.names("references", self.view)


def reference_of_each(
    chosen: Mapping[str, Sequence["WindowProfiles"]],
    *,
    source: "ReferenceSource",
    label: str,
    name: str = "",
    origin: str = "",
) -> ViewReference:
    """A reference of the profiles of windows, with their weekdays as seasons.

    If a feature changed its type among the windows, its most common type counts.

    Args:
        chosen: Windows by feature, oldest first.
        source: See `Reference`.
        label: See `ViewReference`, as the rest.
        name: Likewise.
        origin: Likewise.
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
            known = [window.problems[feature] for window in windows if feature in window.problems]
            problems[feature] = known[-1] if known else "none of its windows holds a row"
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
    """A reference of few windows, with the variance between windows of `windows`.

    All of them count, not those of one weekday: so few windows have no seasons.
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
