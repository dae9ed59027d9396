"""Locks between processes, kept where the registry is kept."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from feature_platform.core.file_locks import DEFAULT_TIMEOUT, file_lock, wait_until
from feature_platform.errors import RegistryError, type_and_line
from feature_platform.registry.registry_address import (
    is_postgres,
    local_registry_file,
    registry_subject,
)

if TYPE_CHECKING:
    from feast import FeatureStore

_ASK_SECONDS = 1.0  # a server is not asked more often by one that has waited for long


@contextmanager
def view_lock(store: "FeatureStore", view: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Let one process at a time materialize a view; others wait.

    Beside a local registry (a file, or a SQLite database) it is a file lock; on PostgreSQL a
    session advisory lock. Any other registry gets a file lock in the temporary folder, which
    holds among the processes of one machine. All of them end with the process that holds them.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        timeout: Seconds to wait.

    Raises:
        RegistryError: The lock was not free within `timeout`, or its folder cannot be written.
    """
    with _lock(store, f"{store.project}/{view}", timeout):
        yield


@contextmanager
def registry_lock(store: "FeatureStore", timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Let one process at a time edit the registry as a whole; see `view_lock`.

    Raises:
        RegistryError: The lock was not free within `timeout`, or its folder cannot be written.
    """
    with _lock(store, "*registry*", timeout):
        yield


@contextmanager
def creation_lock(store: "FeatureStore", timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Let one process at a time make a local registry that is not there yet.

    Feast makes it when it first looks: it writes an empty one, over whatever another process has
    put there since; or it makes the tables of a database, whose file is there before they are, and
    fails where another process makes them. Nobody edits it before it has been made. Where it is not
    local, or is there and was not made under this lock, there is no lock.

    Args:
        store: A Feast store that has not looked at its registry.
        timeout: Seconds to wait.

    Raises:
        RegistryError: The lock was not free within `timeout`, or its folder cannot be written.
    """
    registry = local_registry_file(store)
    # Not that of `registry_lock`: who holds that may be the first to look.
    name = "*creation*"
    # A lock file that only others may write does not keep anybody from reading a registry.
    if registry is None or (registry.exists() and not os.access(_lock_file(store, name), os.W_OK)):
        yield
        return
    with _lock(store, name, timeout):
        yield


@contextmanager
def _lock(store: "FeatureStore", name: str, timeout: float) -> Iterator[None]:
    if is_postgres(store):
        with _advisory_lock(store, name, timeout):
            yield
        return
    with file_lock(_lock_file(store, name), registry_subject(store), timeout):
        yield


def _lock_file(store: "FeatureStore", name: str) -> Path:
    registry = local_registry_file(store)
    digest = hashlib.sha256(f"{registry or registry_subject(store)}\0{name}".encode()).hexdigest()
    if registry is not None:
        return registry.with_name(f".{registry.name}.{digest[:16]}.lock")
    return Path(tempfile.gettempdir()) / f"feature-platform-{digest[:24]}.lock"


@contextmanager
def _advisory_lock(store: "FeatureStore", name: str, timeout: float) -> Iterator[None]:
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    digest = hashlib.sha256(f"feature-platform\0{name}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    subject = registry_subject(store)
    try:
        connection = store.registry.write_engine.connect()
    except SQLAlchemyError as error:
        raise unreachable(store, error) from error
    with connection.execution_options(isolation_level="AUTOCOMMIT") as session:

        def attempt() -> bool:
            found = session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
            return bool(found.scalar())

        def release() -> None:
            session.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

        @contextmanager
        def answering() -> Iterator[None]:
            try:
                yield
            except SQLAlchemyError as error:
                session.invalidate()  # closing it for good is what frees the lock now
                raise unreachable(store, error) from error

        with answering():
            wait_until(attempt, subject, timeout, slowest=_ASK_SECONDS)
        try:
            yield
        except BaseException:
            with suppress(RegistryError), answering():
                release()
            raise
        with answering():
            release()


DAMAGED_FILE = (
    "check its permissions; if it is damaged, restore it from a backup, or remove it, "
    "and materialize its windows again"
)
# Protobuf's, and SQLite's plainest: of a locked or full database it raises one that is derived.
_OF_DAMAGE = ("DecodeError", "DatabaseError")


def unreachable(store: "FeatureStore", error: Exception) -> RegistryError:
    """The error for a registry that does not answer, its address without credentials.

    Of a local file it says all that is known; what a server has said may repeat a password.
    """
    reason: BaseException = getattr(error, "orig", None) or error
    file = local_registry_file(store)
    if file is not None and file.is_file():
        damaged = type(reason).__name__ in _OF_DAMAGE
        return RegistryError(
            registry_subject(store),
            f"its file cannot be read or written ({type_and_line(reason)})",
            DAMAGED_FILE if damaged else "check its permissions, who else uses it, and the disk",
            is_transient=False if damaged else None,
        )
    return RegistryError(
        registry_subject(store),
        f"it cannot be reached or refused the request ({type(reason).__name__})",
        "check that it runs, its address, and the credentials in feature_store.yaml",
    )
