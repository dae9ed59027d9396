"""Arrow columns as the Python values that Feast's own conversion takes.

Feast converts NumPy values and checks the class of each. Columns that Arrow holds in another width
or form are converted here if nothing is lost by it; all others are left to Feast.
"""

from typing import Any

import pyarrow as pa

_INTEGERS = ("INT32", "INT64")
_FLOATS = ("FLOAT", "DOUBLE")
_MAPS = ("MAP", "MAP_LIST", "SCALAR_MAP", "STRUCT", "STRUCT_LIST")


def values_for_feast(column: pa.Array, value_type: Any) -> Any:
    """The cells of a column for ``feast.type_map.python_values_to_proto_values``.

    Args:
        column: Values as they came from the source.
        value_type: The feature's ``feast.ValueType``.

    Returns:
        A sequence as long as the column, None or NaN for null.
    """
    name, kind = value_type.name, column.type
    if name in _MAPS and pa.types.is_nested(kind):
        return [_plain(value, kind) for value in column.to_pylist()]
    if name in (*_INTEGERS, *_FLOATS) and _is_number(kind):
        return _scalars(name, column)
    if name.endswith("_LIST") and _is_list(kind):
        return _lists(name.removesuffix("_LIST"), column)
    return column.to_numpy(zero_copy_only=False)


def _scalars(name: str, column: pa.Array) -> Any:
    if name in _INTEGERS and pa.types.is_integer(column.type):
        # NumPy has no null integers and would convert all of them to floats.
        return column.to_pylist() if column.null_count else column.to_numpy()
    if name in _FLOATS and pa.types.is_floating(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return column.to_numpy(zero_copy_only=False)


def _lists(name: str, column: pa.Array) -> Any:
    items = column.type.value_type
    if name in _FLOATS and _is_number(items):
        column = column.cast(pa.list_(pa.float64()))
    elif name in _INTEGERS and pa.types.is_integer(items) and column.flatten().null_count:
        # Lists, not arrays: NumPy would convert integers beside a null to floats.
        return column.to_pylist()
    return column.to_numpy(zero_copy_only=False)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _plain(value: Any, kind: pa.DataType) -> Any:
    """A nested value with a dict for each Arrow map, which ``to_pylist`` makes a list of pairs."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {key: _plain(each, kind.item_type) for key, each in value}
    if pa.types.is_struct(kind):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    if _is_list(kind):
        return [_plain(each, kind.value_type) for each in value]
    return value
