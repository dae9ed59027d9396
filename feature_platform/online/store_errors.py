"""One error type for everything that online stores raise."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from feature_platform.errors import FeaturePlatformError, OnlineStoreError, type_and_line
from feature_platform.online.store_faults import StoreFault
from feature_platform.online.stores import backend_of

if TYPE_CHECKING:
    from feast import FeatureStore


@contextmanager
def online_store_errors(store: "FeatureStore", view: str) -> Iterator[None]:
    """Convert any exception of an online store into an `OnlineStoreError` that names it."""
    try:
        yield
    except FeaturePlatformError:
        raise
    except Exception as error:
        kind = str(store.config.online_store.type)
        raise store_error(f"feature view '{view}'", kind, error) from error


def store_error(subject: str, kind: str, error: Exception) -> OnlineStoreError:
    """What a driver raised as an error that says what to do about it.

    Args:
        subject: What was to be written or read.
        kind: The ``type`` of the online store, or the full name of its class.
        error: What was raised.
    """
    fault = backend_of(kind).fault(error) or StoreFault(
        "failed", "check that the store runs and that feast apply has made the view's table"
    )
    return OnlineStoreError(
        subject,
        f"the online store '{kind}' {fault.problem} ({type_and_line(error)})",
        fault.remedy,
        is_transient=None if fault.problem == "failed" else fault.is_transient,
    )
