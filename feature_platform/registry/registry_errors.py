"""Errors of the registry's client libraries as `RegistryError`, its address without credentials."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import online_store_of
from feature_platform.errors import (
    FeaturePlatformError,
    OnlineStoreError,
    RegistryError,
    SourceError,
    type_and_line,
)
from feature_platform.online.stores import backend_of
from feature_platform.registry.registry_address import local_registry_file, registry_subject

if TYPE_CHECKING:
    from feast import FeatureStore

DAMAGED_FILE = (
    "check its permissions; if it is damaged, restore it from a backup, or remove it, "
    "and materialize its windows again"
)
# Protobuf's, and the base class of SQLite's: a locked or full database raises a subclass.
_DAMAGE = ("DecodeError", "DatabaseError")


class ConflictError(Exception):
    """Another process has written the registry since it was read."""


@contextmanager
def registry_errors(store: "FeatureStore") -> Iterator[None]:
    """Raise any error of the block as `unreachable`; for blocks that only use the registry.

    Every kind of registry raises the errors of its own client library.
    """
    try:
        yield
    except (FeaturePlatformError, ConflictError):
        raise
    except Exception as error:
        raise unreachable(store, error) from error


def too_many_conflicts(store: "FeatureStore", attempts: int) -> RegistryError:
    """The error for a registry that other processes have written each time it was read."""
    return RegistryError(
        registry_subject(store),
        f"other writers were faster {attempts} times in a row",
        "run again when fewer runs write it, or use a SQL registry",
        is_transient=True,
    )


def unreachable(store: "FeatureStore", error: Exception) -> RegistryError:
    """The error for a registry that fails.

    The message of a local file's error is quoted; a server's may repeat a password, and is not.
    """
    reason: BaseException = getattr(error, "orig", None) or error
    file = local_registry_file(store)
    if file is not None and file.is_file():
        damaged = type(reason).__name__ in _DAMAGE
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


@contextmanager
def apply_errors(store: "FeatureStore") -> Iterator[None]:
    """Name what failed while Feast plans or applies: the registry, a source, the online store."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (FeaturePlatformError, ConflictError):
        raise
    except FileNotFoundError as error:
        if not _raised_by_inference(error):
            raise unreachable(store, error) from error
        path = error.filename or (error.args[0] if error.args else "unknown path")
        raise SourceError(
            f"source table '{path}'",
            "there is no such file, and Feast infers from it what the repo does not declare",
            "build the table, or declare every join key's type and every feature in the schema",
        ) from error
    except (SQLAlchemyError, OSError) as error:
        raise unreachable(store, error) from error
    except sqlite3.Error as error:  # not the registry's: that raises SQLAlchemy's
        raise _without_tables(store, error) from error


def _without_tables(store: "FeatureStore", error: Exception) -> OnlineStoreError:
    kind = str(store.config.online_store.type)
    backend = backend_of(kind)
    fault = backend.fault(error)
    return OnlineStoreError(
        f"online store '{kind}'",
        f"it could not make the tables of the feature views ({type_and_line(error)})",
        fault.remedy if fault else backend.update_remedy(error),
        is_transient=fault.is_transient if fault else None,
    )


@contextmanager
def online_update_errors(store: "FeatureStore") -> Iterator[None]:
    """Name the online store in what ``OnlineStore.update`` raises while Feast (0.67) applies.

    The method, which makes and drops online tables, is replaced: ``FeatureStore.apply`` writes the
    registry too, and the errors of client libraries do not tell which of the two failed.
    """
    online = online_store_of(store)
    if online is None:
        yield
        return
    update = online.update

    def named(*args: Any, **kwargs: Any) -> None:
        try:
            update(*args, **kwargs)
        except FeaturePlatformError:
            raise
        except Exception as error:
            raise _without_tables(store, error) from error

    online.update = named
    try:
        yield
    finally:
        del online.update  # uncovers the method of the class


def _raised_by_inference(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "feast.inference":
            return True
        trace = trace.tb_next
    return False
