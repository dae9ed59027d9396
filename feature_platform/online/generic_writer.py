"""Writes through Feast's own interface, for online stores without a bulk writer."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import provider_of
from feature_platform.core.times import in_utc
from feature_platform.encoding.feast_rows import Row
from feature_platform.errors import FeaturePlatformError, OnlineStoreError, type_and_line
from feature_platform.online.guarded_writer import Guard
from feature_platform.online.stores import backend_of
from feature_platform.online.written_rows import shown_key

if TYPE_CHECKING:
    from feast import FeatureStore


class GenericWriter:
    """Reads the stored rows, then writes those that are not older, through ``OnlineStore``.

    The read and the write are two steps. The lock of `materialize_window` excludes its other runs,
    but a value that a stream pushes between the two can be lost.

    Args:
        store: The Feast store.
    """

    def __init__(self, store: "FeatureStore") -> None:
        self._config = store.config
        self._provider = provider_of(store)

    def write(self, view: Any, rows: Sequence[Row], guard: Guard) -> None:
        """Write the rows that the guard lets in.

        Args:
            view: The feature view.
            rows: At most one per key.
            guard: Created times are not compared: Feast's interface does not read them.
        """
        if not rows:
            return
        # By name: Feast's PostgreSQL store fails when asked for all features.
        names = [feature.name for feature in view.features]
        keys = [row[0] for row in rows]
        stored = self._provider.online_read(self._config, view, keys, names or None)
        allowed = [
            row
            for row, (stored_time, _) in zip(rows, stored, strict=True)
            if stored_time is None or _may_replace(row[2], in_utc(stored_time), guard)
        ]
        if not allowed:
            return
        backend = backend_of(str(self._config.online_store.type))
        backend.require_fit(self._config, view, allowed)
        try:
            self._provider.online_write_batch(self._config, view, allowed, None)
        except FeaturePlatformError:
            raise
        except Exception as error:
            fault = backend.fault(error)
            if fault is None or not fault.is_too_large:
                raise
            key, values, _, _ = max(allowed, key=lambda row: sum(map(_bytes, row[1].values())))
            largest = max(values, key=lambda name: _bytes(values[name]))
            raise OnlineStoreError(
                f"feature view '{view.name}'",
                f"the online store {fault.problem} ({type_and_line(error)}); the largest row is "
                f"that of key {shown_key(key)}, and its largest feature '{largest}' takes "
                f"{_bytes(values[largest]):,} bytes",
                fault.remedy,
            ) from error


def _bytes(value: Any) -> int:
    return int(value.ByteSize())


def _may_replace(new: datetime, stored: datetime, guard: Guard) -> bool:
    return new >= stored or any(stored in window for window in guard.governed)
