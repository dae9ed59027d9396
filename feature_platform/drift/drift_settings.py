"""What drift is measured against and how much of it matters, per feature view."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StrictInt,
    ValidationInfo,
    with_config,
)

from feature_platform.core.config_files import (
    CONFIG,
    LOCATED,
    Config,
    ConfigModel,
    Text,
    invalid,
    read_config,
)
from feature_platform.core.windows import Window
from feature_platform.errors import RepoError
from feature_platform.statistics.thresholds import Thresholds

if TYPE_CHECKING:
    from feature_platform.repo.project import FeastProject

FILE = "drift.yaml"
# A century of days, which dates can still hold.
_MOST = 36_500
_Count = Annotated[StrictInt, Field(ge=1, le=_MOST)]


@dataclass(frozen=True)
class Trailing:
    """The windows of the days before, those of the same weekday where there are enough of them.

    Of an hourly view, the windows of the same hour.

    Attributes:
        days: How many days.
        gap: Days between them and the window: as many as the features look back. Without it, a
            change is half in the reference before it is whole in the window. At least as many
            as breaches in a row are asked for.
        at_least: With fewer windows the verdict is ``insufficient``: a shorter reference does not
            show the usual variation.
    """

    days: _Count = 56
    gap: Annotated[StrictInt, Field(ge=0, le=_MOST)] = 7
    at_least: _Count = 14

    def before(self, window: Window) -> list[Window]:
        """The windows that `window` may be compared with, oldest first."""
        return _earlier(window, range(self.gap + self.days, self.gap, -1))


@dataclass(frozen=True)
class SameWeekday:
    """The windows of the same weekday of the weeks before, and no others."""

    weeks: _Count = 8
    at_least: _Count = 4

    def before(self, window: Window) -> list[Window]:
        """The windows that `window` may be compared with, oldest first."""
        return _earlier(window, range(7 * self.weeks, 0, -7))


@dataclass(frozen=True)
class FixedWindow:
    """The windows from `start` up to `end` (days, UTC), as they were when first read."""

    start: Text
    end: Text


@dataclass(frozen=True)
class Named:
    """A reference frozen by ``feature-platform drift --set-reference NAME``."""

    name: Text


@dataclass(frozen=True)
class TrainingSetReference:
    """The data that a feature service was last trained on.

    Attributes:
        service: The service; its newest snapshot counts.
        path: Parquet, a file or a folder of files, relative to the repo, to read instead.
    """

    service: Text
    path: Text | None = None


ReferenceKind: TypeAlias = Trailing | SameWeekday | FixedWindow | Named | TrainingSetReference


class _Reference(ConfigModel):
    """A reference in ``drift.yaml``: one of these."""

    trailing: Trailing | None = None
    same_weekday: SameWeekday | None = None
    fixed: FixedWindow | None = None
    named: Named | None = None
    training_set: TrainingSetReference | None = None


_SHORT = {"named": "name", "training_set": "service"}


def _reference(written: Any) -> ReferenceKind:
    """Read ``trailing``, ``{trailing: {days: 28}}`` or ``{named: launch}``."""
    if isinstance(written, str) and written not in (*_SHORT, "fixed"):
        written = {written: {}}
    if not isinstance(written, Mapping) or len(written) != 1:
        raise invalid(
            "is not a kind of reference",
            "use one of trailing, same_weekday, fixed: {start: DAY, end: DAY}, named: NAME, "
            "training_set: SERVICE",
        )
    ((name, settings),) = written.items()
    if isinstance(settings, str) and name in _SHORT:
        settings = {_SHORT[name]: settings}
    found = _Reference.model_validate({name: {} if settings is None else settings})
    kind: ReferenceKind = getattr(found, name)
    if isinstance(kind, FixedWindow):
        fixed_window(kind)
    if isinstance(kind, Trailing | SameWeekday):
        most = kind.days if isinstance(kind, Trailing) else kind.weeks
        if kind.at_least > most:
            raise invalid(
                f"asks for at_least {kind.at_least} windows and has no more than {most}",
                f"raise {fields(kind)[0].name}, or lower at_least",
            )
    return kind


def _thresholds(written: Any) -> Any:
    """Refuse numbers that would never raise an alarm, or always: no number, negative, NaN."""
    known = {each.name for each in fields(Thresholds)}
    for name, value in written.items() if isinstance(written, Mapping) else ():
        number = value if type(value) in (int, float) else math.nan
        if name == "alpha":
            fits, remedy = 0 < number < 1, "use a number between 0 and 1"
        elif name == "min_rows":
            fits, remedy = type(value) is int and value >= 1, "use a whole number, 1 or more"
        else:
            fits, remedy = value is None or 0 <= number < math.inf, "use a number, or null"
        if name in known and not fits:
            raise invalid(f"is {value!r}", remedy, name)
    return written


@dataclass(frozen=True)
class ViewDrift:
    """How the drift of a feature view is judged.

    Attributes:
        reference: What its windows are compared with.
        thresholds: How large a change matters; None takes the defaults.
        consecutive: Windows in a row that must have drifted before it is an error, not a warning.
        accept_after: Windows in a row that a feature has drifted in after which the change is
            accepted automatically; None for never. For trailing references.
        leave_out: Features that are not compared.
    """

    reference: Annotated[
        ReferenceKind, PlainValidator(_reference, json_schema_input_type=_Reference), LOCATED
    ] = field(default_factory=Trailing)
    thresholds: Annotated[Thresholds | None, BeforeValidator(_thresholds)] = None
    consecutive: Annotated[StrictInt, Field(le=_MOST)] = 1
    accept_after: Annotated[StrictInt, Field(le=_MOST)] | None = None
    leave_out: Sequence[Text] = ()

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


def _defined(view: str, info: ValidationInfo) -> str:
    """Refuse a view that the project does not define."""
    cast("FeastProject", info.context).view(view)
    return view


def _folder(written: Any) -> str:
    if not isinstance(written, str) or not written.strip():
        raise invalid(f"is {written!r}", "name a folder")
    return written


_Folder = Annotated[str, PlainValidator(_folder)]
_EMPTY_IF_NULL = BeforeValidator(lambda written: {} if written is None else written)


@with_config(CONFIG)
@dataclass(frozen=True)
class DriftSettings:
    """How drift is judged, and where profiles, references and verdicts are kept.

    Attributes:
        default: For every view that `views` does not name.
        views: By name of the view.
        folder: Where they are kept: a folder relative to the repo, or a URL such as ``s3://...``.
        training_sets_dir: Where snapshots of training sets are, relative to the repo.
    """

    default: Annotated[ViewDrift, _EMPTY_IF_NULL, LOCATED] = field(default_factory=ViewDrift)
    views: Annotated[
        Mapping[Annotated[Text, AfterValidator(_defined), LOCATED], Annotated[ViewDrift, LOCATED]],
        _EMPTY_IF_NULL,
    ] = field(default_factory=dict)
    folder: _Folder = "data/drift"
    training_sets_dir: _Folder = "data/training_sets"

    def of(self, view: str) -> ViewDrift:
        """The settings of one view."""
        return self.views.get(view, self.default)

    @classmethod
    def load(cls, project: "FeastProject") -> "DriftSettings":
        """Read ``drift.yaml`` of the repo; the defaults without such a file.

        Raises:
            RepoError: The file is broken, or names what the project does not have.
        """
        path = project.repo_dir / FILE
        return read_config(path, RepoError).check(cls, project) if path.is_file() else cls()

    @classmethod
    def parse(cls, content: Any, project: "FeastProject") -> "DriftSettings":
        """Read the same settings as a component gives them.

        Raises:
            RepoError: A setting is unknown or not what it should be.
        """
        return Config(content, RepoError, "drift settings").check(cls, project)


def fixed_window(kind: FixedWindow) -> Window:
    """The window of a fixed reference.

    Raises:
        RepoError: It has no days.
        WindowError: The end is not after the start.
    """
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
