"""The online stores that are known: one line each, and those of other distributions."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from feature_platform.errors import OnlineStoreError, type_and_line
from feature_platform.online.online_backend import OnlineBackend

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

    from feature_platform.online.guarded_writer import OnlineWriter

ENTRY_POINTS = "feature_platform.online_stores"
"""The entry-point group in which other distributions name their `OnlineBackend` subclasses."""

_BACKENDS = (
    "feature_platform.online.sqlite.backend:SqliteBackend",
    "feature_platform.online.redis.backend:RedisBackend",
    "feature_platform.online.postgres.backend:PostgresBackend",
    "feature_platform.online.dynamodb.backend:DynamoDBBackend",
)


def online_backends() -> Iterator[OnlineBackend]:
    """All kinds of online stores, those of this package first.

    Raises:
        OnlineStoreError: An entry point of another distribution cannot be loaded.
    """
    for path in _BACKENDS:
        yield resolve_name(path)()
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            yield entry.load()()
        except Exception as error:
            raise OnlineStoreError(
                f"online store plugin '{entry.name}'",
                f"its entry point {entry.value} cannot be loaded ({type_and_line(error)})",
                "repair or uninstall the distribution that declares it",
            ) from error


def backend_of(name: str) -> OnlineBackend:
    """The backend for an ``online_store.type``, or for the full name of an online store's class.

    Stores that nobody has registered get `OnlineBackend` itself.
    """
    return next((each for each in online_backends() if each.serves(name)), OnlineBackend())


def prepare_online_store(online: Any) -> None:
    """Give an ``OnlineStore`` instance the time-outs that Feast leaves out."""
    kind = type(online)
    name = f"{kind.__module__}.{kind.__qualname__}"
    backend = backend_of(name)
    if name in backend.types:  # the classes of this package have them
        backend.prepare(online)


def writer_for(online: Any, config: "RepoConfig") -> "OnlineWriter | None":
    """The guarded bulk writer for an online store; see `OnlineBackend.writer`.

    Args:
        online: The ``OnlineStore`` instance that serves. Its exact class decides: a subclass may
            keep its rows in another way.
        config: The repo's configuration.
    """
    kind = type(online)
    backend = backend_of(f"{kind.__module__}.{kind.__qualname__}")
    writer = backend.writer(online, config)
    if writer is None:
        return None
    # Arrow comes with it, which `--help` does without.
    from feature_platform.online.checked_writer import CheckedWriter

    return CheckedWriter(writer, backend)
