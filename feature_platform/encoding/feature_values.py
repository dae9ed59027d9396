"""Feast's serialized values, encoded by column instead of one protobuf object per cell.

The bytes are what ``feast.types.Value_pb2.Value.SerializeToString`` returns for the cells that
Feast's own conversion (``feast.type_map.python_values_to_proto_values``) makes. Types that are not
encoded by column go through that conversion.
"""

from functools import cache
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.encoding.buffers import (
    binary_array,
    constant,
    fixed_width,
    join,
    length_prefix,
    varints,
)
from feature_platform.encoding.feast_columns import values_for_feast
from feature_platform.errors import SourceError, first_line

_INTEGERS = ("INT32", "INT64")
_FLOATS = ("FLOAT", "DOUBLE")
_BINARY = ("BYTES", "PDF_BYTES", "IMAGE_BYTES")
_SAME_TEXT_FROM, _SAME_TEXT_TO = 1e-4, 1e10
_MISFITS = (ValueError, TypeError, OverflowError, pa.ArrowException)
_SHOWN = 80


def encode_values(column: pa.Array, value_type: Any) -> pa.Array:
    """Serialize a column of feature values.

    Args:
        column: Values as read from the source.
        value_type: The feature's ``feast.ValueType``.

    Returns:
        An Arrow binary array: the serialized ``Value`` of each cell, empty for null. Integers
        beside nulls stay exact, whereas Feast's own conversion makes floats of them.

    Raises:
        ValueError: A value does not fit the type; raised by Feast.
        TypeError: Likewise.
    """
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    encoded = _encode(value_type.name, column)
    return _by_feast(column, value_type) if encoded is None else encoded


def encode_column(view: str, name: str, column: pa.Array, value_type: Any) -> pa.Array:
    """`encode_values` for the key or feature `name` of a view.

    Raises:
        SourceError: A value does not fit the type; it names the column and the value.
    """
    try:
        return encode_values(column, value_type)
    except _MISFITS as error:
        value = repr(_misfit(column, value_type).as_py())
        raise SourceError(
            f"column '{name}' of feature view '{view}'",
            f"the source holds {value[:_SHOWN]}, of type {column.type}, which is no "
            f"{value_type.name} ({first_line(error)})",
            "declare the type that the source holds, or correct the value there",
        ) from error


def _misfit(column: pa.Array, value_type: Any) -> pa.Scalar:
    """One value of a column that cannot be encoded, found by bisection."""
    while len(column) > 1:
        half = len(column) // 2
        try:
            encode_values(column[:half], value_type)
        except _MISFITS:
            column = column[:half]
        else:
            column = column[half:]
    return column[0]


def value_texts(column: pa.Array, value_type: Any) -> pa.Array:
    """The readable texts that Feast's SQL stores keep beside values, as Arrow strings.

    They are Python's ``str`` of each scalar; null for nulls and for types without a text.
    """
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    name = value_type.name
    if name == "STRING" and _is_text(column.type):
        return column.cast(pa.string())
    if name in _INTEGERS and pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if name == "BOOL" and pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    if name in _FLOATS and pa.types.is_floating(column.type):
        narrow = column.cast(pa.float32()) if name == "FLOAT" else column
        return _float_texts(narrow.cast(pa.float64()))
    if name in (*_BINARY, "UNIX_TIMESTAMP"):
        return pa.nulls(len(column), pa.string())
    return pa.array([_text_of(value) for value in feast_values(column, value_type)], pa.string())


def feast_values(column: pa.Array, value_type: Any) -> list[Any]:
    """A column as protobuf values, converted by Feast."""
    from feast.type_map import python_values_to_proto_values

    return list(python_values_to_proto_values(values_for_feast(column, value_type), value_type))


def _float_texts(column: pa.Array) -> pa.Array:
    """Doubles as Python writes them. Medium sizes read the same in Arrow, except for ``.0``."""
    sizes = np.abs(column.fill_null(0.0).to_numpy(zero_copy_only=False))
    texts = column.cast(pa.string())
    whole = pa.array(sizes == np.floor(sizes))
    texts = pc.if_else(whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
    same = (sizes == 0) | ((sizes >= _SAME_TEXT_FROM) & (sizes < _SAME_TEXT_TO))
    if same.all():
        return texts
    other = pa.array(~same)
    written = [None if isnan(value) else str(value) for value in column.filter(other).to_pylist()]
    return pc.replace_with_mask(texts, other, pa.array(written, pa.string()))


def _text_of(value: Any) -> str | None:
    from feast.infra.online_stores.helpers import extract_text_and_num

    text: str | None = extract_text_and_num(value, compute_num=False)[0]
    return text


def _by_feast(column: pa.Array, value_type: Any) -> pa.Array:
    serialized = [value.SerializeToString() for value in feast_values(column, value_type)]
    return pa.array(serialized, pa.binary())


def _encode(name: str, column: pa.Array) -> pa.Array | None:
    """A column encoded without protobuf objects; None if Feast has to convert its type."""
    if name.endswith("_LIST"):
        return _encode_lists(name.removesuffix("_LIST"), column)
    return _encode_scalars(name, column)


def _encode_scalars(name: str, column: pa.Array) -> pa.Array | None:
    kind = column.type
    integral = pa.types.is_integer(kind) and kind != pa.uint64()
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if name in _INTEGERS and integral and (name == "INT64" or _fits_int32(column)):
        return _tagged(_field(name), varints(_int64(column)), column)
    if name in _FLOATS and (integral or (pa.types.is_floating(kind) and kind != pa.float16())):
        return _float_values(name, column)
    if (name == "STRING" and _is_text(kind)) or (name in _BINARY and binary):
        return _sized(_field(name), column)
    if name == "BOOL" and pa.types.is_boolean(kind):
        return _tagged(_field(name), _bools(column), column)
    if name == "UNIX_TIMESTAMP" and pa.types.is_timestamp(kind):
        return _timestamps(column)
    return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _fits_int32(column: pa.Array) -> bool:
    try:
        column.cast(pa.int32())
    except pa.ArrowInvalid:
        return False
    return True


def _int64(column: pa.Array) -> npt.NDArray[np.int64]:
    filled = column.cast(pa.int64()).fill_null(0)
    values: npt.NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return values


def _bools(column: pa.Array) -> pa.Array:
    flags = column.fill_null(pa.scalar(value=False)).to_numpy(zero_copy_only=False)
    return fixed_width(flags.astype(np.uint8))


def _float_values(name: str, column: pa.Array) -> pa.Array:
    doubles = column.cast(pa.float64())
    values = doubles.fill_null(0.0).to_numpy(zero_copy_only=False)
    # To Feast, NaN is null.
    present = pc.and_(column.is_valid(), pc.invert(pa.array(np.isnan(values))))
    width: Any = np.float32 if name == "FLOAT" else np.float64
    with np.errstate(over="ignore"):
        body = fixed_width(values.astype(width))
    return _where(present, join(constant(_field(name), len(column)), body))


def _timestamps(column: pa.Array) -> pa.Array:
    # A null becomes NumPy's NaT, whose integer Feast stores and reads as null.
    moments = column.to_numpy(zero_copy_only=False).astype("datetime64[s]").astype(np.int64)
    return join(constant(_field("UNIX_TIMESTAMP"), len(column)), varints(moments))


def _tagged(tag: bytes, body: pa.Array, column: pa.Array) -> pa.Array:
    return _where(column.is_valid(), join(constant(tag, len(column)), body))


def _sized(tag: bytes, column: pa.Array) -> pa.Array:
    body = column.cast(pa.binary()).fill_null(b"")
    encoded = join(constant(tag, len(column)), length_prefix(body), body)
    return _where(column.is_valid(), encoded)


def _where(present: pa.Array, encoded: pa.Array) -> pa.Array:
    if pc.all(present, min_count=0).as_py():
        return encoded
    return pc.if_else(present, encoded, pa.scalar(b"", pa.binary()))


def _encode_lists(name: str, column: pa.Array) -> pa.Array | None:
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return None
    items = column.flatten()
    kind = items.type
    if items.null_count:
        return None  # Feast has a default value for each type
    integral = pa.types.is_integer(kind) and kind != pa.uint64()
    if name in _INTEGERS and integral and (name == "INT64" or _fits_int32(items)):
        return _packed(name, column, varints(_int64(items)))
    if (name, kind) in (("FLOAT", pa.float32()), ("DOUBLE", pa.float64())):
        return _packed(name, column, fixed_width(items.to_numpy(zero_copy_only=False)))
    if (name == "STRING" and _is_text(kind)) or (name == "BYTES" and pa.types.is_binary(kind)):
        return _repeated(name, column)
    return None


def _packed(name: str, column: pa.Array, items: pa.Array) -> pa.Array:
    """Each list as a packed field: one length, then its numbers; nothing for an empty list."""
    body = _concatenated(column, items)
    empty = pc.equal(pc.binary_length(body), 0)
    inner = join(constant(b"\x0a", len(column)), length_prefix(body), body)
    inner = pc.if_else(empty, pa.scalar(b"", pa.binary()), inner)
    return _list_value(name, column, inner)


def _repeated(name: str, column: pa.Array) -> pa.Array:
    items = column.flatten().cast(pa.binary())
    each = join(constant(b"\x0a", len(items)), length_prefix(items), items)
    return _list_value(name, column, _concatenated(column, each))


def _list_value(name: str, column: pa.Array, inner: pa.Array) -> pa.Array:
    tag = _field(f"{name}_LIST")
    encoded = join(constant(tag, len(column)), length_prefix(inner), inner)
    return _where(column.is_valid(), encoded)


def _concatenated(column: pa.Array, items: pa.Array) -> pa.Array:
    """The concatenated bytes of each list's items: only the offsets change."""
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    offsets = np.frombuffer(items.buffers()[1], np.int32, len(items) + 1, items.offset * 4)
    return binary_array(offsets[ends], items.buffers()[2])


@cache
def _field(name: str) -> bytes:
    """The protobuf tag of the field of ``Value`` for a type."""
    from google.protobuf.descriptor import FieldDescriptor

    from feature_platform.core.feast_protos import Value

    plain = "bytes" if name in ("PDF_BYTES", "IMAGE_BYTES") else name.lower()
    field = Value.DESCRIPTOR.fields_by_name[f"{plain}_val"]
    wire = {
        FieldDescriptor.TYPE_DOUBLE: 1,
        FieldDescriptor.TYPE_FLOAT: 5,
        FieldDescriptor.TYPE_STRING: 2,
        FieldDescriptor.TYPE_BYTES: 2,
        FieldDescriptor.TYPE_MESSAGE: 2,
    }.get(field.type, 0)
    return bytes(varints(np.array([field.number << 3 | wire], np.int64))[0].as_py())
