"""Feast's serialized entity keys, encoded by column."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.encoding.buffers import constant, fixed_width, join
from feature_platform.encoding.feature_values import feast_values

_VERSION = 3  # the only one Feast 0.67 still writes


def encode_keys(
    names: Sequence[str], columns: Sequence[pa.Array], value_types: Sequence[Any], version: int = 3
) -> pa.Array:
    """Serialize entity keys as ``feast.infra.key_encoding_utils.serialize_entity_key`` does.

    Args:
        names: Join keys.
        columns: Their values, without nulls, all of the same length.
        value_types: Their ``feast.ValueType``.
        version: ``entity_key_serialization_version`` of the repo.

    Returns:
        An Arrow binary array: the serialized key of each row.

    Raises:
        ValueError: Feast has no encoding for the type of a key, or a value does not fit it.
    """
    count = len(columns[0])
    ordered = sorted(zip(names, columns, value_types, strict=True), key=lambda key: key[0])
    pieces = [_value(column, kind) for _, column, kind in ordered]
    if version != _VERSION or any(piece is None for piece in pieces):
        return _by_feast(names, columns, value_types, version)
    return join(constant(_head([name for name, _, _ in ordered]), count), *pieces)


def of_layout(keys: Sequence[bytes], value_types: Mapping[str, Any]) -> list[bytes]:
    """Those of some serialized keys of version 3 that have these join keys, of these types.

    A view whose entity was changed still has rows under its earlier keys.

    Args:
        keys: Serialized keys.
        value_types: Join key to Feast's ``ValueType``.
    """
    from feast.infra.key_encoding_utils import deserialize_entity_key

    head = _head(sorted(value_types))
    wanted = {name: f"{kind.name.lower()}_val" for name, kind in value_types.items()}
    found = []
    for key in keys:
        if not key.startswith(head):
            continue
        message = deserialize_entity_key(key, entity_key_serialization_version=_VERSION)
        kinds = [value.WhichOneof("val") for value in message.entity_values]
        if dict(zip(message.join_keys, kinds, strict=True)) == wanted:
            found.append(key)
    return found


def key_columns_of(keys: Sequence[bytes], names: Sequence[str]) -> dict[str, list[Any]]:
    """The values in serialized keys of version 3, by join key."""
    from feast.infra.key_encoding_utils import deserialize_entity_key

    found: dict[str, list[Any]] = {name: [] for name in names}
    for key in keys:
        message = deserialize_entity_key(key, entity_key_serialization_version=_VERSION)
        values = dict(zip(message.join_keys, message.entity_values, strict=True))
        for name, column in found.items():
            value = values[name]
            column.append(getattr(value, value.WhichOneof("val")))
    return found


def _head(names: Sequence[str]) -> bytes:
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix

    return bytes(serialize_entity_key_prefix(list(names), _VERSION))


def _value(column: pa.Array, value_type: Any) -> pa.Array | None:
    """Type, length and bytes of a key's values; None if Feast has to convert them."""
    from feature_platform.core.feast_protos import ValueType

    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    kind, name = column.type, value_type.name
    if name == "STRING" and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return _sized(ValueType.STRING, column)
    if name == "BYTES" and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return _sized(ValueType.BYTES, column)
    if name in ("INT32", "INT64") and pa.types.is_integer(kind) and kind != pa.uint64():
        width = pa.int32() if name == "INT32" else pa.int64()
        try:
            numbers = column.cast(width).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            return None  # Feast's conversion raises the error
        head = struct.pack("<II", ValueType.Enum.Value(name), numbers.dtype.itemsize)
        return join(constant(head, len(column)), fixed_width(numbers))
    return None


def _sized(kind: int, column: pa.Array) -> pa.Array:
    body = column.cast(pa.binary())
    lengths = pc.binary_length(body).to_numpy(zero_copy_only=False).astype(np.uint32)
    return join(constant(struct.pack("<I", kind), len(column)), fixed_width(lengths), body)


def _by_feast(
    names: Sequence[str], columns: Sequence[pa.Array], value_types: Sequence[Any], version: int
) -> pa.Array:
    from feast.infra.key_encoding_utils import serialize_entity_key

    from feature_platform.core.feast_protos import EntityKey

    values = [feast_values(column, kind) for column, kind in zip(columns, value_types, strict=True)]
    return pa.array(
        [
            serialize_entity_key(
                EntityKey(join_keys=list(names), entity_values=list(row)),
                entity_key_serialization_version=version,
            )
            for row in zip(*values, strict=True)
        ],
        pa.binary(),
    )
