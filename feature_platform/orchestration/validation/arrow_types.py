"""Which Arrow types can hold a Feast type, and which of their values Feast would change.

Feast converts a column value by value, in Python. It refuses some types, and silently changes
values of others: a list in a scalar column becomes null, a null in a list of strings the empty
string, an integer column with nulls the strings "1.0" and "2.0".
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from feature_platform.core.times import to_microseconds
from feature_platform.errors import SourceError

Mask = npt.NDArray[np.bool_]

FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT64_MAX = float(np.finfo(np.float64).max)
# A double beyond this may have been another whole number before it was rounded.
_EXACT_IN_DOUBLE = 2**53
_INTEGERS = {"Int32": (-(2**31), 2**31 - 1), "Int64": (-(2**63), 2**63 - 1)}
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_COLLECTION = re.compile(r"(Array|Set)\((.+)\)")


@dataclass(frozen=True)
class FeastType:
    """A Feast type.

    Attributes:
        name: As Feast writes it, such as ``Int64`` or ``Array(String)``.
        base: ``Array``, ``Set``, ``Struct`` or the name of the primitive.
        item: The type of an array's or set's elements.
    """

    name: str
    base: str
    item: "FeastType | None" = None


@dataclass(frozen=True)
class ValueRule:
    """What Feast would change, or refuse, in a column of some Arrow type.

    Attributes:
        problem: What offending rows are, in words.
        expected: What the declared type takes.
        test: True for each offending row of an array, without dictionary or extension type.
    """

    problem: str
    expected: str
    test: Callable[[pa.Array], Mask]


def feast_type(name: str) -> FeastType:
    """Read the name of a Feast type, as ``str(field.dtype)`` gives it.

    Raises:
        SourceError: There is no such type.
    """
    found = _COLLECTION.fullmatch(name)
    if found:
        return FeastType(name, found[1], feast_type(found[2]))
    base = "Struct" if name.startswith("Struct(") else name
    if base not in _CARRIERS:
        raise SourceError(
            f"Feast type '{name}'",
            "there is no such type",
            f"use one of {', '.join(_CARRIERS)}, Array(...) or Set(...) of them",
        )
    return FeastType(name, base)


def value_rules(kind: pa.DataType, declared: FeastType) -> list[ValueRule]:
    """The rules that a column of a type must meet to be served as its declared type.

    A column of nulls fits every type. Rounding to the precision of a float is allowed, a value out
    of range is not. If rows break several rules, the first says why.
    """
    if pt.is_null(kind) or declared.base == "Invalid":
        return []
    if not _carries(kind, declared):
        # Every row with a value offends.
        return [ValueRule(f"of type {kind}", _carriers(declared), has_value)]
    return [ValueRule(*each) for each in _value_rules(kind, declared)]


def has_value(values: pa.Array) -> Mask:
    """True for rows with a value."""
    return _mask(pc.is_valid(values))


def is_null(values: pa.Array) -> Mask:
    """True for rows without a value."""
    return _mask(pc.is_null(values))


def not_between(values: pa.Array, low: datetime | None, high: datetime, *, closed: bool) -> Mask:
    """True for timestamps and dates outside of an interval; not for nulls.

    They are compared as numbers of their own unit, so that no time is too late for the comparison.

    Args:
        values: Timestamps or dates; those without a zone are UTC.
        low: The first moment inside; None for no lower bound. Aware.
        high: The first moment after the interval, or the last inside of it. Aware.
        closed: Whether `high` is inside.
    """
    kind = values.type
    if pt.is_date(kind):
        values = values.cast(pa.timestamp("s" if pt.is_date32(kind) else "ms"))
    per_second = _PER_SECOND[values.type.unit]
    numbers = values.cast(pa.int64())

    def at(moment: datetime, *, up: bool) -> int:
        micros = to_microseconds(moment) * per_second
        return -(-micros // 10**6) if up else micros // 10**6

    if closed:
        outside = pc.greater(numbers, at(high, up=False))
    else:
        outside = pc.greater_equal(numbers, at(high, up=True))
    if low is not None:
        outside = pc.or_(outside, pc.less(numbers, at(low, up=True)))
    return _mask(outside)


def not_json(values: pa.Array) -> Mask:
    """True for texts that Feast cannot read as JSON."""
    return np.array([text is not None and not _is_json(text) for text in values.to_pylist()], bool)


def unpacked_array(values: pa.Array) -> pa.Array:
    """The array without dictionary encoding or extension type."""
    kind = values.type
    if pt.is_dictionary(kind):
        return values.cast(kind.value_type)
    return values.storage if isinstance(kind, pa.BaseExtensionType) else values


def unpacked_type(kind: pa.DataType) -> pa.DataType:
    """The type that `unpacked_array` gives."""
    if pt.is_dictionary(kind):
        return kind.value_type
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_instant(kind: pa.DataType) -> bool:
    """Whether values are timestamps or dates; without a zone they are UTC, as in Feast."""
    return bool(pt.is_timestamp(kind) or pt.is_date(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether values are strings, in any layout."""
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether values are lists, of fixed width or not."""
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def holds_floats(kind: pa.DataType) -> bool:
    """Whether values are floating-point numbers, or lists of them at any depth."""
    return bool(pt.is_floating(kind) or (is_list(kind) and holds_floats(_item_type(kind))))


def not_finite(values: pa.Array, limit: float) -> Mask:
    """True for rows of a floating or list column with NaN, an infinity, or more than `limit`."""
    if is_list(values.type):
        return _in_lists(values, lambda items: not_finite(items, limit))
    wide = values.cast(pa.float64())
    return _mask(pc.invert(pc.less_equal(pc.abs(wide), limit)))


def _item_type(kind: pa.DataType) -> pa.DataType:
    item = kind.value_type
    return item.value_type if pt.is_dictionary(item) else item


def _carries(kind: pa.DataType, declared: FeastType) -> bool:
    if declared.item is None:
        return pt.is_null(kind) or any(test(kind) for test in _CARRIERS[declared.base][1])
    if is_list(kind):
        return declared.item.base == "Invalid" or _carries(_item_type(kind), declared.item)
    # Feast reads JSON from bytes for lists of primitives, and from text for lists of maps.
    if declared.item.base in {"Map", "Struct"}:
        return is_text(kind)
    return _is_bytes(kind) and declared.item.item is None and not _is_bytes_type(declared.item)


def _carriers(declared: FeastType) -> str:
    """What can hold a Feast type, in words."""
    if declared.item is None:
        return f"{declared.name}: {_CARRIERS[declared.base][0]}"
    return f"{declared.name}: lists of {_CARRIERS.get(declared.item.base, ('lists', ()))[0]}"


_ValueRule = tuple[str, str, Callable[[pa.Array], Mask]]


def _value_rules(kind: pa.DataType, declared: FeastType) -> list[_ValueRule]:
    """Problem, expectation, and the test that finds values which Feast would change."""
    if is_list(kind):
        return _list_rules(kind, declared)
    name, base = declared.name, declared.base
    if base in _INTEGERS:
        return _integer_rules(kind, declared)
    if base == "Bool" and pt.is_integer(kind):
        return [("neither 0 nor 1", f"{name}: true, false, 0 or 1", lambda a: _outside(a, 0, 1))]
    if pt.is_integer(kind) and base in {"String", "UnixTimestamp"}:
        # Feast reads integers with nulls as floats: "1.0" for 1, and no time for a time.
        return [("null in a column of integers", f"{name}: integers without nulls", is_null)]
    return []


def _integer_rules(kind: pa.DataType, declared: FeastType) -> list[_ValueRule]:
    name = declared.name
    low, high = _INTEGERS[declared.base]
    if pt.is_integer(kind):
        least, greatest = _bounds(kind)
        if low <= least and greatest <= high:
            return []
        words = f"{name}: from {low} to {high}"
        return [(f"beyond {name}", words, lambda a: _outside(a, low, high))]
    if not pt.is_floating(kind) and not pt.is_decimal(kind):
        return []
    words = f"{name}: whole numbers from {low} to {high}"
    if pt.is_floating(kind):
        high = min(high, _EXACT_IN_DOUBLE)
        low, words = -high, f"{name}: whole numbers up to {high}"
    return [(f"not whole, or beyond {name}", words, lambda a: _not_whole(a, low, high))]


def _list_rules(kind: pa.DataType, declared: FeastType) -> list[_ValueRule]:
    if declared.item is None or declared.item.base in {"Struct", "Map", "Json", "Invalid"}:
        return []
    holds_null = "holding a null among its elements"
    rules: list[_ValueRule] = [
        (
            holds_null,
            f"{declared.name}: lists without nulls in them",
            lambda a: _in_lists(a, is_null),
        )
    ]
    for problem, expected, test in _value_rules(_item_type(kind), declared.item):
        rules.append(
            (
                f"holding an element {problem}",
                f"{declared.name}: {expected}",
                # The default binds this turn's test, not the last one's.
                lambda a, test=test: _in_lists(a, test),  # type: ignore[misc]
            )
        )
    return rules


def _in_lists(lists: pa.Array, test: Callable[[pa.Array], Mask]) -> Mask:
    """True for lists with an element that the test finds."""
    found = np.zeros(len(lists), np.bool_)
    items = pc.list_flatten(lists)
    if pt.is_dictionary(items.type):
        items = items.cast(items.type.value_type)
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    found[parents[test(items)]] = True
    return found


def _outside(values: pa.Array, low: int, high: int) -> Mask:
    kind = values.type
    least, greatest = _bounds(kind)
    below = pc.less(values, pa.scalar(max(low, least), kind))
    above = pc.greater(values, pa.scalar(min(high, greatest), kind))
    return _mask(pc.or_(below, above))


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    bits = kind.bit_width
    signed = pt.is_signed_integer(kind)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _not_whole(values: pa.Array, low: int, high: int) -> Mask:
    """True for a fraction, or a number outside of `low` to `high`, of floats or decimals."""
    wide = values.cast(pa.float64())
    exact = values if pt.is_decimal(values.type) else wide
    beyond = pc.or_(pc.less(wide, float(low)), pc.greater(wide, float(high)))
    lost = pc.or_(pc.not_equal(pc.floor(exact), exact), beyond)
    # The check on numbers finds NaN and the infinities.
    return _mask(pc.and_(lost, pc.is_finite(wide)))


def _mask(condition: Any) -> Mask:
    return np.asarray(pc.fill_null(condition, fill_value=False), np.bool_)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_bytes(kind: pa.DataType) -> bool:
    binary = pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)
    return bool(binary or pt.is_fixed_size_binary(kind))


def _is_bytes_type(declared: FeastType) -> bool:
    return declared.base in {"Bytes", "PdfBytes", "ImageBytes"}


_Tests = tuple[Callable[[pa.DataType], bool], ...]
_NUMBERS: _Tests = (pt.is_integer, pt.is_floating, pt.is_decimal, pt.is_boolean)
_BYTES: tuple[str, _Tests] = ("bytes", (_is_bytes,))
_OBJECTS: tuple[str, _Tests] = ("structs, maps or JSON text", (pt.is_struct, pt.is_map, is_text))
_IDS: tuple[str, _Tests] = ("strings", (is_text,))
# For each primitive Feast type: what can hold it, in words, and the tests of Arrow types.
_CARRIERS: dict[str, tuple[str, _Tests]] = {
    "Int32": ("integers, or whole numbers as floats or decimals", _NUMBERS),
    "Int64": ("integers, or whole numbers as floats or decimals", _NUMBERS),
    "Float32": ("numbers", _NUMBERS),
    "Float64": ("numbers", _NUMBERS),
    "String": (
        "strings, or what has one spelling: integers, decimals, true and false",
        (is_text, pt.is_integer, pt.is_decimal, pt.is_boolean),
    ),
    "Bytes": _BYTES,
    "PdfBytes": _BYTES,
    "ImageBytes": _BYTES,
    "Bool": ("true and false, or 1 and 0", (pt.is_boolean, pt.is_integer)),
    "UnixTimestamp": ("timestamps, dates, or seconds since 1970", (is_instant, pt.is_integer)),
    "ZonedTimestamp": ("timestamps", (pt.is_timestamp,)),
    "Uuid": _IDS,
    "TimeUuid": _IDS,
    "Decimal": ("decimals or strings", (pt.is_decimal, is_text)),
    "Json": _OBJECTS,
    "Map": _OBJECTS,
    "Struct": _OBJECTS,
    "ScalarMap": ("maps", (pt.is_map,)),
    "Invalid": ("anything", (lambda _: True,)),
}
