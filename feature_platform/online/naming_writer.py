"""Errors about rows that are too large for a store name the key and the feature."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from feature_platform.errors import OnlineStoreError, type_and_line
from feature_platform.online.written_rows import shown_key

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from feature_platform.encoding.encoded_rows import EncodedRows
    from feature_platform.online.guarded_writer import Guard, OnlineWriter
    from feature_platform.online.online_backend import OnlineBackend

_OF_KEYS = "index row"
"""What PostgreSQL says when it is the key that does not fit."""


class NamingWriter:
    """A writer whose errors about too large rows name them; all else is the writer's.

    Args:
        writer: The writer of a store.
        backend: The store's.
    """

    def __init__(self, writer: "OnlineWriter", backend: "OnlineBackend") -> None:
        self._writer = writer
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, view: Any, rows: "EncodedRows", guard: "Guard") -> None:
        """See `OnlineWriter.write`.

        Raises:
            OnlineStoreError: A row is larger than the store takes.
        """
        try:
            self._writer.write(view, rows, guard)
        except Exception as error:
            if named := too_large(self._backend, view, rows, error):
                raise named from error
            raise


def too_large(
    backend: "OnlineBackend", view: Any, rows: "EncodedRows", error: Exception
) -> OnlineStoreError | None:
    """An error about a too large row that names the largest; None if the error is another."""
    fault = backend.fault(error)
    if fault is None or not fault.is_too_large or not len(rows):
        return None
    keys = _lengths(rows.keys)
    features = {feature.name: _lengths(feature.values) for feature in rows.features}
    sizes = keys if _OF_KEYS in str(error) else keys + sum(features.values())
    place = int(np.argmax(sizes))
    largest = max(features, key=lambda name: int(features[name][place]))
    return OnlineStoreError(
        f"feature view '{view.name}'",
        f"the online store {fault.problem} ({type_and_line(error)}); the largest row is that of "
        f"key {_shown(rows.keys[place].as_py())}: the key takes {keys[place]:,} bytes, and its "
        f"largest feature '{largest}' {features[largest][place]:,}",
        fault.remedy,
    )


def _lengths(column: "pa.Array") -> "npt.NDArray[np.int64]":
    found: npt.NDArray[np.int64] = (
        pc.binary_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return found


def _shown(key: bytes) -> str:
    from feast.infra.key_encoding_utils import deserialize_entity_key

    text = shown_key(deserialize_entity_key(key, entity_key_serialization_version=3))
    return text if len(text) <= 200 else f"{text[:199]}…"  # noqa: PLR2004
