"""Locks between processes, beside the registry or in its database."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from feature_platform.core.file_locks import DEFAULT_TIMEOUT, file_lock, wait_until
from feature_platform.errors import RegistryError
from feature_platform.registry.registry_address import (
    is_postgres,
    local_registry_file,
    registry_subject,
)
from feature_platform.registry.registry_errors import unreachable

if TYPE_CHECKING:
    from feast import FeatureStore

_SLOWEST_POLL_SECONDS = 1.0  # how often a server is asked after a long wait


@contextmanager
def view_lock(store: "FeatureStore", view: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Let one process at a time materialize a view; others wait.

    For a local registry (a file, or a SQLite database) it is a lock file beside it; on PostgreSQL a
    session advisory lock; for any other registry a lock file in the temporary folder, which
    excludes processes of the same machine only. Locks end with the process that holds them.

    Raises:
        RegistryError: It was not free within `timeout` seconds, or its folder cannot be written.
    """
    with _lock(store, f"{store.project}/{view}", timeout):
        yield


@contextmanager
def registry_lock(store: "FeatureStore", timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Let one process at a time edit the registry as a whole; see `view_lock`.

    Raises:
        RegistryError: See `view_lock`.
    """
    with _lock(store, "*registry*", timeout):
        yield


@contextmanager
def creation_lock(store: "FeatureStore", timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Let one process at a time create a local registry that does not exist yet.

    Feast creates it when it first reads it. It writes an empty file over whatever another process
    has written since; or it makes the tables of a database, whose file exists before they do, and
    fails if another process is making them. Nothing is locked if the registry is not local, or
    exists and was not created under this lock.

    Raises:
        RegistryError: See `view_lock`.
    """
    registry = local_registry_file(store)
    # Not the name of `registry_lock`: the process that holds that may be the first to read.
    name = "*creation*"
    # A lock file that this user cannot write must not prevent reading an existing registry.
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
        def sql_errors() -> Iterator[None]:
            try:
                yield
            except SQLAlchemyError as error:
                session.invalidate()  # closes the connection, which frees the lock
                raise unreachable(store, error) from error

        with sql_errors():
            wait_until(attempt, subject, timeout, slowest=_SLOWEST_POLL_SECONDS)
        try:
            yield
        except BaseException:
            with suppress(RegistryError), sql_errors():
                release()
            raise
        with sql_errors():
            release()
