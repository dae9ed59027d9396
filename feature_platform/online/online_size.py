"""How much an online store holds, as the store itself reports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from feature_platform.errors import OnlineStoreError
from feature_platform.online.stores import backend_of

if TYPE_CHECKING:
    from feast import FeatureStore

WHOLE_STORE = ""
"""The key for all views, where a store does not keep them apart."""


@dataclass(frozen=True)
class OnlineSize:
    """What an online store holds.

    Attributes:
        keys: View to number of entity keys; one number under `WHOLE_STORE` where the store keeps
            all views of an entity under one key.
        size: Bytes of the whole store.
        sizes: Bytes by view, indexes included, with the same keys as `keys`; an estimate on SQLite.
        limit: Bytes that the whole store can hold: Redis's ``maxmemory``, or the free space on the
            disk of a SQLite file. None where the store does not report it.
    """

    keys: Mapping[str, int]
    size: int
    sizes: Mapping[str, int] = field(default_factory=dict)
    limit: int | None = None


def online_size(store: "FeatureStore", views: Sequence[str]) -> OnlineSize | None:
    """Measure the configured online store; None if its kind cannot be measured.

    Raises:
        OnlineStoreError: The store cannot be reached.
    """
    backend = backend_of(str(store.config.online_store.type))
    try:
        return backend.size(store, views)
    except OnlineStoreError:
        raise
    except Exception as error:
        fault = backend.fault(error)
        why = f"it {fault.problem}, {type(error).__name__}" if fault else type(error).__name__
        raise OnlineStoreError(
            f"online store of project '{store.project}'",
            f"its size cannot be read ({why})",
            fault.remedy
            if fault
            else "run feature-platform doctor, which says what can be reached",
        ) from error
