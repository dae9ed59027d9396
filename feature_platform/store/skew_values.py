"""Feast's values as they are compared: what counts as null, as a default, as the same."""

import math
from typing import Any

import pyarrow as pa

from feature_platform.engine.encoding import encode_values

_TOLERANCE = 1e-6  # relative; a transformation may add up in another order than its twin did


def values_of(column: pa.Array, value_type: Any) -> list[Any]:
    """A column as Feast serves it; whole numbers beside nulls stay exact.

    Raises:
        ValueError: A value does not fit the type.
        TypeError: Likewise.
    """
    from feast.protos.feast.types.Value_pb2 import Value

    return [Value.FromString(each) for each in encode_values(column, value_type).to_pylist()]


def is_null(value: Any) -> bool:
    """Whether a ``Value`` is empty, or a NaN, which pandas cannot tell from it."""
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return True
    return kind in ("float_val", "double_val") and math.isnan(getattr(value, kind))


def is_default(value: Any) -> bool:
    """Whether a ``Value`` is what its type has in place of nothing: 0, empty text, false, []."""
    kind = value.WhichOneof("val")
    if kind is None:
        return False
    inner = getattr(value, kind)
    return not inner.val if hasattr(inner, "val") else not inner


def same_type(left: Any, right: Any) -> bool:
    """Whether two values that are not null are of one Feast type."""
    return bool(left.WhichOneof("val") == right.WhichOneof("val"))


def same(left: Any, right: Any, *, computed: bool = False) -> bool:
    """Whether two values are equal; computed numbers may differ by rounding."""
    if is_null(left) or is_null(right):
        return is_null(left) and is_null(right)
    if left.SerializeToString(deterministic=True) == right.SerializeToString(deterministic=True):
        return True
    kind = left.WhichOneof("val")
    if kind != right.WhichOneof("val"):
        return False
    if kind in ("float_val", "double_val") and (computed or _zeros(left, right)):
        return math.isclose(getattr(left, kind), getattr(right, kind), rel_tol=_TOLERANCE)
    if computed and kind in ("float_list_val", "double_list_val"):
        ours, theirs = getattr(left, kind).val, getattr(right, kind).val
        return len(ours) == len(theirs) and all(
            math.isclose(a, b, rel_tol=_TOLERANCE) or (a != a and b != b)  # noqa: PLR0124 - NaN
            for a, b in zip(ours, theirs, strict=True)
        )
    return False


def python_value(value: Any) -> Any:
    """A ``Value`` as Python has it; None for null."""
    from feast.type_map import feast_value_type_to_python_type

    return None if is_null(value) else feast_value_type_to_python_type(value)


def _zeros(left: Any, right: Any) -> bool:
    kind = left.WhichOneof("val")
    return bool(
        getattr(left, kind) == 0 == getattr(right, kind)
    )  # 0.0 and -0.0 differ in bytes alone
