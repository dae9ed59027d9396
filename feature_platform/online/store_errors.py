"""One error type for everything that online stores raise."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from feature_platform.errors import FeaturePlatformError, OnlineStoreError, type_and_line

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
        raise OnlineStoreError(
            f"feature view '{view}'",
            f"the online store '{store.config.online_store.type}' failed ({type_and_line(error)})",
            "check that the store runs and that feast apply has made the view's table",
        ) from error
