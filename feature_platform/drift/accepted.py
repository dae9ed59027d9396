"""Accepted changes: from some window on, what a feature has become is its baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from feature_platform.core.file_names import path_part
from feature_platform.core.windows import Window
from feature_platform.drift.drift_files import Files

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Accepted:
    """One accepted change of one feature.

    Attributes:
        feature: The feature.
        span: The windows of the new baseline, from the first to the one that was accepted.
        how: Who or what accepted it.
        when: When, aware.
    """

    feature: str
    span: Window
    how: str
    when: datetime

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
        return {
            "feature": self.feature,
            "span": [self.span.start.isoformat(), self.span.end.isoformat()],
            "how": self.how,
            "when": self.when.astimezone(UTC).isoformat(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Accepted":
        """The inverse of `to_json`."""
        return cls(
            data["feature"],
            Window(*map(datetime.fromisoformat, data["span"])),
            data["how"],
            datetime.fromisoformat(data["when"]),
        )


@dataclass(frozen=True)
class AcceptedStore:
    """The accepted changes of a view, one file per feature."""

    files: Files
    view: str

    @cached_property
    def _known(self) -> dict[str, tuple[Accepted, ...]]:
        return {}

    @cached_property
    def _names(self) -> set[str]:
        # Listed once: few features have a file, and each read of a URL is a request.
        return set(self.files.names("accepted", self.view))

    def of(self, feature: str, moment: datetime) -> Accepted | None:
        """The newest change of a feature that began at or before `moment`.

        Raises:
            SourceError: Its file cannot be read.
        """
        begun = [each for each in self._all(feature) if each.span.start <= moment]
        return max(begun, key=lambda each: (each.span.start, each.when), default=None)

    def add(self, accepted: Accepted) -> None:
        """Store a change beside the earlier ones.

        Raises:
            SourceError: The file cannot be written.
        """
        changes = (*self._all(accepted.feature), accepted)
        self._known[accepted.feature] = changes
        self.files.write_json(
            {"schema_version": SCHEMA_VERSION, "changes": [each.to_json() for each in changes]},
            *("accepted", self.view, accepted.feature),
        )
        self._names.add(path_part(accepted.feature))

    def _all(self, feature: str) -> tuple[Accepted, ...]:
        if feature not in self._known:
            found = None
            if path_part(feature) in self._names:
                found = self.files.parse_json(_parse, "accepted", self.view, feature)
            self._known[feature] = found or ()
        return self._known[feature]


def _parse(content: Any) -> tuple[Accepted, ...]:
    return tuple(Accepted.from_json(each) for each in content["changes"])
