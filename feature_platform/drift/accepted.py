"""Changes that somebody has accepted: what a feature is from some window on is its new normal."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from feature_platform.core.file_names import path_part
from feature_platform.core.windows import Window
from feature_platform.drift.drift_files import Files
from feature_platform.drift.drift_settings import Named, TrainingSet
from feature_platform.errors import RepoError

if TYPE_CHECKING:
    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Accepted:
    """One change of one feature.

    Attributes:
        feature: The feature.
        span: The windows that show the new normal, from the first to the one that was accepted.
        how: Who or what accepted it.
        when: When, aware.
    """

    feature: str
    span: Window
    how: str
    when: datetime

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "feature": self.feature,
            "span": [self.span.start.isoformat(), self.span.end.isoformat()],
            "how": self.how,
            "when": self.when.astimezone(UTC).isoformat(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Accepted":
        """What `to_json` wrote."""
        return cls(
            data["feature"],
            Window(*(datetime.fromisoformat(each) for each in data["span"])),
            data["how"],
            datetime.fromisoformat(data["when"]),
        )


@dataclass(frozen=True)
class AcceptedStore:
    """Where the accepted changes of a view are kept, a file a feature."""

    files: Files
    view: str

    @cached_property
    def _known(self) -> dict[str, tuple[Accepted, ...]]:
        return {}

    @cached_property
    def _names(self) -> set[str]:
        # Listed once: hardly any feature has one, and each reading of a URL costs.
        return set(self.files.names("accepted", self.view))

    def of(self, feature: str, moment: datetime) -> Accepted | None:
        """The newest change of a feature that began at `moment` or before.

        Raises:
            SourceError: Its file cannot be read.
        """
        begun = [each for each in self._all(feature) if each.span.start <= moment]
        return max(begun, key=lambda each: (each.span.start, each.when), default=None)

    def add(self, accepted: Accepted) -> None:
        """Keep it, beside those before.

        Raises:
            SourceError: The place refuses.
        """
        kept = (*self._all(accepted.feature), accepted)
        self._known[accepted.feature] = kept
        self.files.write_json(
            {"schema_version": SCHEMA_VERSION, "changes": [each.to_json() for each in kept]},
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


def accept(judge: "DriftJudge", feature: str, span: Window, how: str) -> Accepted:
    """From the windows of `span` on, what a feature has become is its new normal.

    Later windows are compared with those of `span` and after, those of `span` with each other;
    windows before it are judged as ever.

    Args:
        judge: Of the view.
        feature: The feature.
        span: The windows that show the new normal.
        how: Who or what accepts it.

    Raises:
        RepoError: The view has no such feature, or its reference is not of the windows before.
        SourceError: The drift folder refuses.
    """
    _require_trailing(judge, span)
    if feature not in judge.columns:
        raise RepoError(
            f"feature '{feature}'",
            f"is not one of view '{judge.view}'",
            f"choose one of: {', '.join(sorted(judge.columns))}",
        )
    accepted = Accepted(feature, span, how, datetime.now(UTC))
    judge.accepted.add(accepted)
    return accepted


def accept_window(
    judge: "DriftJudge",
    found: "WindowDrift",
    features: Sequence[str] = (),
    start: datetime | None = None,
) -> list[Accepted]:
    """Accept what features have become in a window, since they began to drift.

    Args:
        judge: Of the view.
        found: What was found of the window.
        features: Which; all that have drifted in it if none is named.
        start: First moment of the new normal, in place of the first window in a row that drifted.

    Raises:
        RepoError: As `accept`; or none has drifted; or `start` is after the window.
        SourceError: The drift folder refuses.
    """
    names = features or sorted(found.streaks)
    if not names:
        raise RepoError(
            f"window {found.window} of feature view '{judge.view}'",
            "shows no drift to accept",
            "choose another with --date, or name what is meant with --feature",
        )
    if start is not None and start >= found.window.end:
        raise RepoError(
            f"start {start.isoformat()}", f"is after window {found.window}", "choose an earlier one"
        )
    spans = {}
    for name in names:
        row = (found.streaks.get(name, 1) - 1) * judge.partition
        spans[name] = Window(start or found.window.start - row, found.window.end)
    return [accept(judge, name, span, "by hand") for name, span in spans.items()]


def accept_command(judge: "DriftJudge", window: Window, *features: str) -> str:
    """What somebody types who means what a window shows; all that has drifted by default."""
    only = "".join(f" --feature {shlex.quote(each)}" for each in features)
    whole = window.start.time() == time.min
    moment = window.start.date().isoformat() if whole else f"{window.start:%Y-%m-%dT%H:%M}"
    return f"feature-platform drift --view {shlex.quote(judge.view)} --date {moment} --accept{only}"


def _require_trailing(judge: "DriftJudge", span: Window) -> None:
    """Raise where windows are not compared with those before them, and say what to do there."""
    if judge.moves:
        return
    kind, view = judge.own.reference, shlex.quote(judge.view)
    if isinstance(kind, Named):
        remedy = (
            f"set it again: feature-platform drift --view {view} --set-reference "
            f"{shlex.quote(kind.name)} --start {span.start.date()} --end {span.end.date()}"
        )
    elif isinstance(kind, TrainingSet):
        service = shlex.quote(kind.service)
        remedy = f"train anew: feature-platform training-set --service {service}"
    else:
        remedy = "write later days into drift.yaml"
    raise RepoError(
        f"feature view '{judge.view}'", "is not compared with the windows before", remedy
    )
