"""What drift is measured against and how much of it matters, view by view."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

from feature_platform.core.windows import Window
from feature_platform.errors import RepoError

if TYPE_CHECKING:
    from feature_platform.repo.project import FeastProject
    from feature_platform.statistics import Thresholds

FILE = "drift.yaml"
# Days before a window: a century, which dates can still hold.
_MOST = 36_500


@dataclass(frozen=True)
class Trailing:
    """The windows of the days before, those of the same weekday where there are enough of them.

    Of an hourly view, the windows of the same hour.

    Attributes:
        days: How many days.
        gap: Days between them and the window: as many as the features look back. Without it, a
            change is half in the reference before it is whole in the window. At least as many
            as breaches in a row are asked for.
        at_least: Windows below which nothing can be judged: what a quiet fortnight does not hold
            is no news in the next.
    """

    days: int = 56
    gap: int = 7
    at_least: int = 14

    def before(self, window: Window) -> list[Window]:
        """The windows that `window` may be compared with, oldest first."""
        return _earlier(window, range(self.gap + self.days, self.gap, -1))


@dataclass(frozen=True)
class SameWeekday:
    """The windows of the same weekday of the weeks before, and no others."""

    weeks: int = 8
    at_least: int = 4

    def before(self, window: Window) -> list[Window]:
        """The windows that `window` may be compared with, oldest first."""
        return _earlier(window, range(7 * self.weeks, 0, -7))


@dataclass(frozen=True)
class FixedWindow:
    """The windows from `start` up to `end` (days, UTC), as they were when first asked for."""

    start: str
    end: str


@dataclass(frozen=True)
class Named:
    """What ``feature-platform drift --set-reference NAME`` has frozen."""

    name: str


@dataclass(frozen=True)
class TrainingSetReference:
    """What a feature service was last trained on.

    Attributes:
        service: The service; its newest snapshot counts.
        path: Parquet, a file or a folder of files, relative to the repo, to read instead.
    """

    service: str
    path: str | None = None


ReferenceKind: TypeAlias = Trailing | SameWeekday | FixedWindow | Named | TrainingSetReference
_KINDS: Mapping[str, type[ReferenceKind]] = {
    "trailing": Trailing,
    "same_weekday": SameWeekday,
    "fixed": FixedWindow,
    "named": Named,
    "training_set": TrainingSetReference,
}


@dataclass(frozen=True)
class ViewDrift:
    """How the drift of a view is judged.

    Attributes:
        reference: What its windows are compared with.
        thresholds: How large a change matters; None takes the defaults.
        consecutive: Windows in a row that must have drifted before it is an error, not a warning.
        accept_after: Windows in a row that a feature has drifted in after which the change is
            accepted without anybody's word; None for never. For trailing references.
    """

    reference: ReferenceKind = field(default_factory=Trailing)
    thresholds: "Thresholds | None" = None
    consecutive: int = 1
    accept_after: int | None = None

    def __post_init__(self) -> None:
        if self.consecutive < 1:
            raise RepoError("drift", f"consecutive is {self.consecutive}", "use 1 or more")
        if self.accept_after is None:
            return
        if self.accept_after < self.consecutive:
            raise RepoError(
                "drift",
                f"accept_after is {self.accept_after}, consecutive {self.consecutive}",
                "accept no change before it is an error",
            )
        if not isinstance(self.reference, Trailing | SameWeekday):
            raise RepoError(
                "drift",
                "accept_after is for references of the windows before",
                "use a trailing or same_weekday reference, or leave it out",
            )


@dataclass(frozen=True)
class DriftSettings:
    """How drift is judged, and where profiles, references and verdicts are kept.

    Attributes:
        default: For every view that `views` does not name.
        views: By name of the view.
        folder: Where they are kept: a folder relative to the repo, or a URL such as ``s3://...``.
        training_sets_dir: Where snapshots of training sets are, relative to the repo.
    """

    default: ViewDrift = field(default_factory=ViewDrift)
    views: Mapping[str, ViewDrift] = field(default_factory=dict)
    folder: str = "data/drift"
    training_sets_dir: str = "data/training_sets"

    def of(self, view: str) -> ViewDrift:
        """The settings of one view."""
        return self.views.get(view, self.default)

    @classmethod
    def load(cls, project: "FeastProject") -> "DriftSettings":
        """What the repo says in ``drift.yaml``; the defaults where it has none.

        Raises:
            RepoError: The file is broken, or names what the project does not have.
        """
        path = project.repo_dir / FILE
        if not path.is_file():
            return cls()
        import yaml

        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            said = " ".join(str(error).split())
            raise RepoError(f"'{FILE}'", f"cannot be read: {said}", "correct it there") from error
        return cls.parse(content, project)

    @classmethod
    def parse(cls, content: Any, project: "FeastProject") -> "DriftSettings":
        """Settings as ``drift.yaml`` or a component writes them.

        Raises:
            RepoError: A setting is unknown or not what it should be.
        """
        said = _mapping(content, "drift settings", [each.name for each in fields(cls)])
        found = {name: value for name, value in said.items() if name not in ("default", "views")}
        for name, value in found.items():
            if not isinstance(value, str) or not value.strip():
                raise RepoError("drift settings", f"{name} is {value!r}", "name a folder")
        written = said.get("views")
        if not isinstance(written, Mapping | None):
            raise RepoError(
                "drift settings", f"views is {written!r}", "write each as NAME: {reference: ...}"
            )
        views = {}
        for name, each in (written or {}).items():
            project.view(str(name))
            views[str(name)] = _view_drift(each, f"drift of view '{name}'")
        plain = said.get("default")
        default = _view_drift({} if plain is None else plain, "drift, default")
        return cls(default=default, views=views, **found)


def _view_drift(content: Any, subject: str) -> ViewDrift:
    said = _mapping(content, subject, [each.name for each in fields(ViewDrift)])
    found: dict[str, Any] = {}
    if "consecutive" in said:
        found["consecutive"] = _whole(said["consecutive"], subject, "consecutive")
    if said.get("accept_after") is not None:
        found["accept_after"] = _whole(said["accept_after"], subject, "accept_after")
    if "reference" in said:
        found["reference"] = _reference(said["reference"], subject)
    if "thresholds" in said:
        from feature_platform.statistics import Thresholds

        known = [each.name for each in fields(Thresholds)]
        numbers = _mapping(said["thresholds"], f"{subject}, thresholds", known)
        for name, value in numbers.items():
            _check_threshold(name, value, f"{subject}, thresholds")
        found["thresholds"] = Thresholds(**numbers)
    return ViewDrift(**found)


def _check_threshold(name: str, value: Any, subject: str) -> None:
    """Refuse what would never alarm or always, without a word: no number, negative, NaN."""
    if name == "min_rows":
        _whole(value, subject, name)
        return
    usual = name != "alpha"
    remedy = "use a number, or null" if usual else "use a number between 0 and 1"
    if value is None and usual:
        return
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise RepoError(subject, f"{name} is {value!r}", remedy)
    if not usual and not 0 < value < 1:
        raise RepoError(subject, f"{name} is {value!r}", remedy)


def _reference(content: Any, subject: str) -> ReferenceKind:
    """``trailing``, or ``{trailing: {days: 28}}``, or ``{named: launch}``."""
    kinds = ", ".join(_KINDS)
    if isinstance(content, str):
        content = {content: {}}
    if not isinstance(content, dict) or len(content) != 1:
        raise RepoError(f"{subject}, reference", f"is {content!r}", f"use one of {kinds}")
    ((name, said),) = content.items()
    kind = _KINDS.get(str(name))
    if kind is None:
        near = get_close_matches(str(name), _KINDS, n=1)
        raise RepoError(
            f"{subject}, reference",
            f"'{name}' is no kind of reference",
            f"did you mean '{near[0]}'?" if near else f"use one of {kinds}",
        )
    names = [each.name for each in fields(kind)]
    if isinstance(said, str):
        said = {names[0]: said}
    found = _mapping(said or {}, f"{subject}, reference {name}", names)
    whole = kind in (Trailing, SameWeekday)
    found = {
        key: _whole(value, f"{subject}, reference {name}", key) if whole else str(value)
        for key, value in found.items()
    }
    try:
        made: ReferenceKind = kind(**found)
    except TypeError:
        raise RepoError(
            f"{subject}, reference {name}",
            f"lacks some of {', '.join(names)}",
            f"write {name}: {{{', '.join(f'{each}: ...' for each in names)}}}",
        ) from None
    if isinstance(made, FixedWindow):
        fixed_window(made)
    if isinstance(made, Named | TrainingSetReference) and not found[names[0]].strip():
        raise RepoError(f"{subject}, reference {name}", "is empty", f"write {name}: NAME")
    if isinstance(made, Trailing | SameWeekday):
        most = made.days if isinstance(made, Trailing) else made.weeks
        if made.at_least > most:
            raise RepoError(
                f"{subject}, reference {name}",
                f"asks for at_least {made.at_least} windows and has no more than {most}",
                f"raise {names[0]}, or lower at_least",
            )
    return made


def fixed_window(kind: FixedWindow) -> Window:
    """The window of a fixed reference.

    Raises:
        RepoError: It has no days, or the end is not after the start.
    """
    from datetime import UTC, datetime, time

    try:
        start, end = (date.fromisoformat(str(each)) for each in (kind.start, kind.end))
    except ValueError as error:
        raise RepoError(
            f"fixed reference {kind.start} to {kind.end}", f"{error}", "write days as YYYY-MM-DD"
        ) from None
    midnight = time(tzinfo=UTC)
    return Window(datetime.combine(start, midnight), datetime.combine(end, midnight))


def _earlier(window: Window, days: Sequence[int]) -> list[Window]:
    return [
        Window(window.start - timedelta(days=each), window.end - timedelta(days=each))
        for each in days
    ]


def _mapping(content: Any, subject: str, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise RepoError(subject, f"is {content!r}", f"use some of {', '.join(known)}")
    for key in content:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            raise RepoError(
                subject,
                f"has the unknown setting '{key}'",
                f"did you mean '{near[0]}'?" if near else f"use some of {', '.join(known)}",
            )
    return dict(content)


def _whole(value: Any, subject: str, name: str) -> int:
    least = 0 if name == "gap" else 1
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RepoError(subject, f"{name} is {value!r}", f"use a whole number, {least} or more")
    if name != "min_rows" and value > _MOST:
        raise RepoError(subject, f"{name} is {value!r}", f"use {_MOST} at most")
    return value
