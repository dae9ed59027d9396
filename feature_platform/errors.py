"""The errors that users see: each names the object, what is wrong with it, and what to do next."""

# Retrying does not help: something is wrong in the repo, the data, or the code.
_PERMANENT = (AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)
_PERMANENT_NAMES = frozenset(
    {
        "BadRequest",  # Google: broken SQL
        "DataError",  # DB-API: a value does not fit its column
        "DecodeError",  # protobuf
        "NotFound",  # Google: no such table
        "NotSupportedError",  # DB-API
        "ProgrammingError",  # DB-API: broken SQL, no such table or column
    }
)
# DuckDB raises it, a ProgrammingError, for a truncated Parquet file: it may still be being written.
_TRUNCATED_FILE = "InvalidInputException"


class FeaturePlatformError(Exception):
    """An error a user can act on.

    Attributes:
        subject: The object, such as ``feature view 'x'``.
        problem: What is wrong with it, with the offending value.
        remedy: What to do next.
    """

    def __init__(self, subject: str, problem: str, remedy: str) -> None:
        self.subject = subject
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{subject}: {problem}; {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Errors are pickled between processes; the default would call __init__ with the message.
        return type(self), (self.subject, self.problem, self.remedy)

    @property
    def is_transient(self) -> bool:
        """Whether retrying may succeed although nothing was changed."""
        return False


class ExternalError(FeaturePlatformError):
    """A table, the registry or the online store is unavailable or not as it should be.

    Its ``__cause__`` decides whether it is transient. A server that does not answer or a file that
    cannot be opened may recover; broken SQL, a missing column or a value out of range will not. An
    error without a cause, such as a view missing from the registry, is permanent.

    Args:
        subject: See `FeaturePlatformError`.
        problem: See `FeaturePlatformError`.
        remedy: See `FeaturePlatformError`.
        is_transient: Overrides what the cause implies.
    """

    _is_transient: bool | None = None

    def __init__(
        self, subject: str, problem: str, remedy: str, *, is_transient: bool | None = None
    ) -> None:
        super().__init__(subject, problem, remedy)
        if is_transient is not None:
            self._is_transient = is_transient

    def __reduce__(self) -> tuple[object, ...]:
        # Pickling drops __cause__, so the answer is pickled instead.
        arguments = (self.subject, self.problem, self.remedy)
        return type(self), arguments, {"_is_transient": self.is_transient}

    @property
    def is_transient(self) -> bool:
        """Whether retrying may succeed although nothing was changed."""
        if self._is_transient is not None:
            return self._is_transient
        return self.__cause__ is not None and _is_transient(self.__cause__)


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, FeaturePlatformError):
        return error.is_transient
    names = {each.__name__ for each in type(error).__mro__}
    if isinstance(error, OSError) or _TRUNCATED_FILE in names:
        return True
    return not (isinstance(error, _PERMANENT) or names & _PERMANENT_NAMES)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its type if the message is empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 2 and "validation error" in lines[0]:  # noqa: PLR2004 - pydantic: count, field, what
        return f"{lines[1]}: {lines[2].split(' [type=')[0]}"
    return lines[0] if lines else type(error).__name__


def type_and_line(error: BaseException) -> str:
    """The type of an error and its `first_line`, for errors whose message alone says little."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def reason_of(error: BaseException) -> str:
    """An error for logs and pages: ours as it is, of another its type alone.

    Messages of drivers may hold addresses with credentials; ours do not.
    """
    return str(error) if isinstance(error, FeaturePlatformError) else type(error).__name__


def problem_of(error: BaseException) -> str:
    """The same as a clause: of ours the problem alone, without the object and the remedy."""
    return error.problem if isinstance(error, FeaturePlatformError) else type(error).__name__


class RepoError(FeaturePlatformError):
    """The feature repo cannot be read: its path, YAML, profile or definitions."""


class SourceError(ExternalError):
    """A source table cannot be built or read: missing, unreadable, wrong columns or types."""


class MissingTableError(SourceError):
    """A source table does not exist yet; it may be built while retrying."""

    _is_transient = True


class TransformationError(FeaturePlatformError):
    """A view's rows cannot be computed, or the result does not fit the view."""


class WindowError(FeaturePlatformError):
    """An invalid window: naive, empty, reversed, or ending in the future."""


class GateError(FeaturePlatformError):
    """A window failed its checks and is not served."""


class RegistryError(ExternalError):
    """The Feast registry cannot be reached, or an object is not in it."""


class OnlineStoreError(ExternalError):
    """The online store cannot be reached, refused a write, or timed out."""


class MissingPackageError(FeaturePlatformError):
    """A configured store needs a package that is not installed."""


class StatisticsError(FeaturePlatformError):
    """A profile, reference or comparison cannot be computed from the given data."""


class AlertError(FeaturePlatformError):
    """The alert routes are invalid, or the alert state on disk cannot be used."""


class MetricsError(FeaturePlatformError):
    """The metrics cannot be served or pushed to their gateway."""
