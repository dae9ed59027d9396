"""Changes that Feast itself makes to a registry, without overwriting those of other processes."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from feature_platform.registry.registry_address import is_sql
from feature_platform.registry.registry_errors import (
    ConflictError,
    apply_errors,
    registry_errors,
    too_many_conflicts,
)
from feature_platform.registry.registry_files import RegistryFile, registry_file
from feature_platform.registry.registry_locks import registry_lock

if TYPE_CHECKING:
    from feast import FeatureStore

_ATTEMPTS = 200
_Result = TypeVar("_Result")


def change_registry(store: "FeatureStore", change: Callable[[], _Result]) -> _Result:
    """Run code of Feast that writes the registry so that no other writer's work is lost.

    It runs under a lock. A registry in a file is replaced only if it is still the one that was
    read; otherwise it is read again and `change` is repeated.

    Args:
        store: The Feast store.
        change: Writes the registry, which has just been read; may be called more than once.

    Returns:
        What `change` returns.

    Raises:
        RegistryError: The registry cannot be reached, or other writers always came first.
        OnlineStoreError: The online store could not make the tables.
    """
    with registry_lock(store), apply_errors(store):
        for attempt in range(_ATTEMPTS):
            try:
                with _conditional_writes(store):
                    refresh(store)
                    return change()
            except ConflictError:
                time.sleep(min(0.02 * (attempt + 1), 0.5))
    raise too_many_conflicts(store, _ATTEMPTS)


def refresh(store: "FeatureStore") -> None:
    """Read the registry again; Feast does so by itself for SQL.

    Raises:
        RegistryError: It cannot be reached.
    """
    if not is_sql(store):
        with registry_errors(store):
            store.registry.refresh(store.project)


@contextmanager
def _conditional_writes(store: "FeatureStore") -> Iterator[None]:
    """Replace the object through which Feast (0.67) reads and writes a registry's file.

    That is ``Registry._registry_store``: Feast's own overwrites what other processes have written
    since the file was read.
    """
    with registry_errors(store):
        file = None if is_sql(store) else registry_file(store)
    if file is None:
        yield
        return
    registry = store.registry
    stock = registry._registry_store  # noqa: SLF001
    registry._registry_store = _ConditionalStore(store, file, stock)  # noqa: SLF001
    try:
        yield
    finally:
        registry._registry_store = stock  # noqa: SLF001


class _ConditionalStore:
    """Feast's registry store over a `RegistryFile`, replaced only if it is still what was read.

    Args:
        store: The Feast store.
        file: The registry's file.
        stock: Feast's own object, for everything but reads and writes.
    """

    def __init__(self, store: "FeatureStore", file: RegistryFile, stock: Any) -> None:
        self._store = store
        self._file = file
        self._stock = stock
        self._version: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)

    def get_registry_proto(self) -> Any:
        """The whole registry, as Feast's method."""
        from feast.protos.feast.core.Registry_pb2 import Registry

        with registry_errors(self._store):
            content, self._version = self._file.read()
            return Registry.FromString(content)

    def update_registry_proto(self, registry_proto: Any) -> None:
        """Write the whole registry, as Feast's method.

        Raises:
            ConflictError: Another process has written it since it was read.
        """
        registry_proto.version_id = str(uuid.uuid4())
        registry_proto.last_updated.FromDatetime(datetime.now(UTC))
        content = registry_proto.SerializeToString()
        with registry_errors(self._store):
            self._file.write(content, self._version)
            # Read it even if the write was refused: a client that got no answer has tried again,
            # and was refused because of its own first write.
            written, self._version = self._file.read()
        if written != content:
            raise ConflictError
