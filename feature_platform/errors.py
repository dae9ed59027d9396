"""What can go wrong, said to a user who can act on it."""

_WRITTEN_SO = (
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
_WRITTEN_SO_BY_NAME = frozenset(
    {
        "BadRequest",  # Google: broken SQL
        "DataError",  # the DB-API's names, as every driver has them: a value that does not fit
        "DecodeError",  # protobuf
        "NotFound",  # Google: there is no such table
        "NotSupportedError",
        "ProgrammingError",  # broken SQL, a table or a column that is not there
    }
)
# DuckDB's ProgrammingError of a Parquet file that is not whole, which may be just being written.
_HALF_WRITTEN = "InvalidInputException"


class FeaturePlatformError(Exception):
    """An error a user can act on: it names the object, the value, and the next step.

    Attributes:
        subject: What it is about, such as ``feature view 'x'``.
        problem: What is wrong with it, with the offending value.
        remedy: What to do next.
    """

    def __init__(self, subject: str, problem: str, remedy: str) -> None:
        self.subject = subject
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{subject}: {problem}; {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (Dagster steps, worker pools); the default would replay args.
        return type(self), (self.subject, self.problem, self.remedy)

    @property
    def may_pass(self) -> bool:
        """Whether the same may work a little later, with nothing changed by anybody here."""
        return False


class OutsideError(FeaturePlatformError):
    """Something outside is not as it has to be: a table, the registry, the online store.

    Whether it may pass is told by what it was raised from. A server that does not answer and a file
    that cannot be opened may be back soon; what is written in the repo or held by a table, such as
    broken SQL, a missing column or a value out of range, stays as it is. So does what nothing
    outside has raised, such as a view that is not in the registry.

    Args:
        subject: See `FeaturePlatformError`.
        problem: Likewise.
        remedy: Likewise.
        may_pass: Where the cause does not tell.
    """

    def __init__(
        self, subject: str, problem: str, remedy: str, *, may_pass: bool | None = None
    ) -> None:
        super().__init__(subject, problem, remedy)
        self._may_pass = may_pass

    def __reduce__(self) -> tuple[object, ...]:
        # The cause stays behind.
        given = (self.subject, self.problem, self.remedy)
        return type(self), given, {"_may_pass": self.may_pass}

    @property
    def may_pass(self) -> bool:
        """Whether the same may work a little later, with nothing changed by anybody here."""
        if self._may_pass is not None:
            return self._may_pass
        return self.__cause__ is not None and _may_pass(self.__cause__)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, FeaturePlatformError):
        return error.may_pass
    names = {each.__name__ for each in type(error).__mro__}
    if isinstance(error, OSError) or _HALF_WRITTEN in names:
        return True
    return not (isinstance(error, _WRITTEN_SO) or names & _WRITTEN_SO_BY_NAME)


def first_line(error: BaseException) -> str:
    """The line of an error that says most; its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 2 and "validation error" in lines[0]:  # noqa: PLR2004 - pydantic: count, field, what
        return f"{lines[1]}: {lines[2].split(' [type=')[0]}"
    return lines[0] if lines else type(error).__name__


def type_and_line(error: BaseException) -> str:
    """The type of an error and its `first_line`, for errors whose message alone says little."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


class RepoError(FeaturePlatformError):
    """The feature repo cannot be read: path, YAML, profile, definitions."""


class SourceError(OutsideError):
    """A source table cannot be built or read: missing, unreadable, wrong columns or types."""


class MissingTableError(SourceError):
    """There is no such table yet; it may come, as tables are built."""

    def __init__(
        self, subject: str, problem: str, remedy: str, *, may_pass: bool | None = True
    ) -> None:
        super().__init__(subject, problem, remedy, may_pass=may_pass)


class TransformationError(FeaturePlatformError):
    """A view's rows cannot be computed: its engine, its function, or what the function makes."""


class WindowError(FeaturePlatformError):
    """A window is not one: naive, empty, reversed, or in the future."""


class GateError(FeaturePlatformError):
    """A window failed its checks and is not served."""


class RegistryError(OutsideError):
    """The Feast registry cannot be reached, or an object is not in it."""


class OnlineStoreError(OutsideError):
    """The online store cannot be reached, refused a write, or timed out."""


class MissingPackageError(FeaturePlatformError):
    """A configured store needs a package that is not installed."""


class StatisticsError(FeaturePlatformError):
    """A profile, a reference or a comparison cannot be made of what was given."""


class AlertError(FeaturePlatformError):
    """The alert routes are not what they should be, or their state on disk cannot be used."""


class MetricsError(FeaturePlatformError):
    """The metrics cannot be served or pushed where they were to go."""
