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

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Errors cross process borders (Dagster steps, worker pools); the default would replay args.
        return type(self), (self.subject, self.problem, self.remedy)


class RepoError(FeaturePlatformError):
    """The feature repo cannot be read: path, YAML, profile, definitions."""


class SourceError(FeaturePlatformError):
    """A source table cannot be built or read: missing, unreadable, wrong columns or types."""


class TransformationError(FeaturePlatformError):
    """A view's rows cannot be computed: its engine, its function, or what the function makes."""


class WindowError(FeaturePlatformError):
    """A window is not one: naive, empty, reversed, or in the future."""


class GateError(FeaturePlatformError):
    """A window failed its checks and is not served."""


class RegistryError(FeaturePlatformError):
    """The Feast registry cannot be reached, or an object is not in it."""


class OnlineStoreError(FeaturePlatformError):
    """The online store cannot be reached, refused a write, or timed out."""


class MissingPackageError(FeaturePlatformError):
    """A configured store needs a package that is not installed."""


class StatisticsError(FeaturePlatformError):
    """A profile, a reference or a comparison cannot be made of what was given."""


class AlertError(FeaturePlatformError):
    """The alert routes are not what they should be, or their state on disk cannot be used."""


class MetricsError(FeaturePlatformError):
    """The metrics cannot be served or pushed where they were to go."""
