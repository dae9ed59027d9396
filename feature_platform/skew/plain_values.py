"""Comparison of Feast's values: which are null, a default, or the same."""

import math
from typing import Any

import pyarrow as pa

from feature_platform.encoding.feature_values import encode_values

_NUMBERS = {"float_val", "double_val", "int32_val", "int64_val"}
_LISTS = {"float_list_val", "double_list_val", "int32_list_val", "int64_list_val"}
_TOLERANCE = 1e-6  # relative; a transformation may add up in another order


def values_of(column: pa.Array, value_type: Any) -> list[Any]:
    """A column as Feast's ``Value``; integers beside nulls stay exact.

    ValueError or TypeError if a value does not fit the type.
    """
    from feature_platform.core.feast_protos import Value

    return [Value.FromString(each) for each in encode_values(column, value_type).to_pylist()]


def is_null(value: Any) -> bool:
    """Whether a ``Value`` is empty, or a NaN, which is null in pandas."""
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return True
    return kind in ("float_val", "double_val") and math.isnan(getattr(value, kind))


def is_default(value: Any) -> bool:
    """Whether a ``Value`` is the default of its type: 0, empty text, false, []."""
    kind = value.WhichOneof("val")
    if kind is None:
        return False
    inner = getattr(value, kind)
    return not inner.val if hasattr(inner, "val") else not inner


def same(left: Any, right: Any, *, computed: bool = False) -> bool:
    """Whether two values are equal; computed numbers may differ by rounding."""
    if is_null(left) or is_null(right):
        return is_null(left) and is_null(right)
    if left.SerializeToString(deterministic=True) == right.SerializeToString(deterministic=True):
        return True
    kinds = left.WhichOneof("val"), right.WhichOneof("val")
    ours, theirs = getattr(left, kinds[0]), getattr(right, kinds[1])
    if computed and set(kinds) <= _NUMBERS:
        # With full feature names, Feast guesses the type of computed values.
        return math.isclose(ours, theirs, rel_tol=_TOLERANCE)
    if computed and set(kinds) <= _LISTS:
        return len(ours.val) == len(theirs.val) and all(
            math.isclose(a, b, rel_tol=_TOLERANCE) or (math.isnan(a) and math.isnan(b))
            for a, b in zip(ours.val, theirs.val, strict=True)
        )
    # 0.0 and -0.0 differ in bytes only.
    return bool(kinds[0] == kinds[1] and kinds[0] in _NUMBERS and ours == 0 == theirs)


def python_value(value: Any) -> Any:
    """A ``Value`` as a Python object; None for null."""
    from feast.type_map import feast_value_type_to_python_type

    return None if is_null(value) else feast_value_type_to_python_type(value)
