"""What is accepted for a Feast type is held against Feast's own conversion."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feature_platform.errors import SourceError
from feature_platform.orchestration.validation.arrow_types import (
    feast_type,
    unpacked_array,
    value_rules,
)

DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
COLUMNS = {
    "int8": pa.array([1, -2], pa.int8()),
    "uint64": pa.array([1, 2], pa.uint64()),
    "uint64 beyond": pa.array([1, 2**63], pa.uint64()),
    "int64": pa.array([7, -8]),
    "int64 beyond int32": pa.array([7, 2**40]),
    "int64 nulls": pa.array([7, None]),
    "int64 flags": pa.array([1, 0]),
    "whole doubles": pa.array([1.0, None, -3.0]),
    "doubles": pa.array([1.5, None]),
    "double beyond int64": pa.array([1e19, None]),
    "floats": pa.array([1.5, 0.25], pa.float32()),
    "halves": pa.array([1.5, 0.25], pa.float16()),
    "decimals": pa.array([Decimal("1.50"), None]),
    "whole decimals": pa.array([Decimal("2.00"), None]),
    "strings": pa.array(["a", None]),
    "large strings": pa.array(["a", None], pa.large_string()),
    "numbers as text": pa.array(["12", None]),
    "dictionary": pa.array(["a", None]).dictionary_encode(),
    "booleans": pa.array([True, False, None]),
    "timestamps": pa.array([DAY, DAY], pa.timestamp("us")),
    "timestamps ns": pa.array([DAY, DAY], pa.timestamp("ns", "UTC")),
    "dates": pa.array([date(2026, 1, 2)]),
    "bytes": pa.array([b"\xff", None]),
    "fixed bytes": pa.array([b"ab", None], pa.binary(2)),
    "lists of floats": pa.array([[1.5], None, []], pa.list_(pa.float32())),
    "lists of doubles": pa.array([[1.5, 2.5], None]),
    "lists of doubles and null": pa.array([[1.5, None], [1.0]]),
    "vectors": pa.array([[1.5, 2.5], [3.5, 4.5]], pa.list_(pa.float32(), 2)),
    "lists of ints": pa.array([[1], None]),
    "lists of big ints": pa.array([[1], [2**40]]),
    "lists of ints and null": pa.array([[1, None], None]),
    "lists of strings": pa.array([["a", "b"], None]),
    "lists of strings and null": pa.array([["a", None], None]),
    "lists of bytes": pa.array([[b"a"], None]),
    "lists of booleans": pa.array([[True], None]),
    "lists of times": pa.array([[DAY]], pa.list_(pa.timestamp("us", "UTC"))),
    "lists of lists": pa.array([[[1]], None]),
    "structs": pa.array([{"a": 1}, None]),
    "lists of structs": pa.array([[{"a": 1}], None]),
    "maps": pa.array([[("a", "b")], None], pa.map_(pa.string(), pa.string())),
    "nulls": pa.nulls(2),
}  # fmt: skip
TYPES = [
    "Int32", "Int64", "Float32", "Float64", "String", "Bytes", "Bool", "UnixTimestamp", "Decimal",
    "Array(Int32)", "Array(Int64)", "Array(Float32)", "Array(Float64)", "Array(String)",
    "Array(Bytes)", "Array(Bool)", "Array(UnixTimestamp)", "Set(Int64)", "Set(String)",
]  # fmt: skip


def misfit(column: pa.Array, declared: str) -> tuple[str, list[bool]] | None:
    """The first rule that rows of the column break, and which rows."""
    plain = unpacked_array(column)
    for rule in value_rules(plain.type, feast_type(declared)):
        rows = rule.test(plain)
        if rows.any():
            return rule.problem, rows.tolist()
    return None


def fits(column: pa.Array, declared: str) -> bool:
    return misfit(column, declared) is None


@pytest.mark.parametrize("declared", TYPES)
def test_what_is_accepted_comes_out_of_feast_with_the_value_that_went_in(declared: str):
    accepted = [name for name, column in COLUMNS.items() if fits(column, declared)]

    changed = {}
    for name in accepted:
        served = through_feast(COLUMNS[name], declared)
        # Feast refuses some widenings with an error; what it must not do is change a value.
        if served is not None and not same(served, COLUMNS[name], declared):
            changed[name] = served

    assert len(accepted) >= 2
    assert changed == {}


@pytest.mark.parametrize("declared", TYPES)
def test_what_feast_serves_unchanged_is_accepted(declared: str):
    refused = {
        name
        for name, column in COLUMNS.items()
        if not fits(column, declared)
        and (served := through_feast(column, declared)) is not None
        and same(served, column, declared)
    }

    # Feast takes a flag or an amount for seconds since 1970. Nobody means that.
    assert refused == ({"booleans", "whole decimals"} if declared == "UnixTimestamp" else set())


def through_feast(column: pa.Array, declared: str) -> list[Any] | None:
    """The values that a client of the online store gets, or None where Feast refuses the column."""
    from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values

    values = column.to_numpy(zero_copy_only=False)
    try:
        return [
            feast_value_type_to_python_type(value)
            for value in python_values_to_proto_values(values, feast_value(declared))
        ]
    except Exception:  # noqa: BLE001 - Feast raises what it likes
        return None


def feast_value(declared: str) -> Any:
    import feast.types

    namespace = vars(feast.types)
    return eval(declared, {}, namespace).to_value_type()  # noqa: S307 - our own names


def same(served: list[Any], column: pa.Array, declared: str) -> bool:
    given = [comparable(value, declared) for value in column.to_pylist()]
    return [comparable(value, declared) for value in served] == given


def comparable(value: Any, declared: str) -> Any:
    """A value in the one form that what goes in and what comes out have in common."""
    if isinstance(value, list | set | tuple):
        inner = declared[declared.index("(") + 1 : -1] if "(" in declared else declared
        items = [comparable(item, inner) for item in value]
        return sorted(items, key=str) if declared.startswith("Set") else items
    if isinstance(value, date):
        naive = value if isinstance(value, datetime) else datetime(*value.timetuple()[:3])  # noqa: DTZ001
        return int((naive if naive.tzinfo else naive.replace(tzinfo=UTC)).timestamp())
    if declared == "Float32" and isinstance(value, int | float | Decimal):
        return float(np.float32(value))  # rounding to a float's precision is not counted as loss
    if declared in {"String", "Decimal"} and isinstance(value, int | Decimal):
        return str(value)
    return value


@pytest.mark.parametrize(
    ("column", "declared", "problem"),
    [
        ("strings", "Int64", "of type string"),
        ("numbers as text", "Float64", "of type string"),
        ("int64 beyond int32", "Int32", "beyond Int32"),
        ("uint64 beyond", "Int64", "beyond Int64"),
        ("double beyond int64", "Int64", "not whole, or beyond Int64"),
        ("doubles", "Int64", "not whole, or beyond Int64"),
        ("decimals", "Int64", "not whole, or beyond Int64"),
        ("int64 nulls", "String", "null in a column of integers"),
        ("int64 nulls", "UnixTimestamp", "null in a column of integers"),
        ("int64", "Bool", "neither 0 nor 1"),
        ("bytes", "String", "of type binary"),
        ("lists of ints", "Int64", "of type list<item: int64>"),
        ("int64", "Array(Int64)", "of type int64"),
        ("lists of strings", "Array(Int64)", "of type list<item: string>"),
        ("lists of big ints", "Array(Int32)", "holding an element beyond Int32"),
        ("lists of strings and null", "Array(String)", "holding a null among its elements"),
        ("dictionary", "Float32", "of type string"),
    ],
)
def test_what_is_refused_is_refused_for_a_reason(column: str, declared: str, problem: str):
    found = misfit(COLUMNS[column], declared)

    assert found is not None
    assert found[0] == problem


def test_only_the_rows_that_do_not_survive_are_marked():
    found = misfit(pa.array([1, 2**31, None, 3, -(2**31) - 1]), "Int32")

    assert found is not None
    assert found[1] == [False, True, False, False, True]


def test_a_sliced_list_column_marks_its_own_rows():
    column = pa.array([[None], [1], [None, 2], None, []], pa.list_(pa.int64()))

    found = misfit(column.slice(1), "Array(Int64)")

    assert found is not None
    assert found[1] == [False, True, False, False]


def test_doubles_are_exact_up_to_two_to_the_53():
    exact = pa.array([2.0**53, -(2.0**53)])

    assert fits(exact, "Int64")
    assert not fits(pa.array([2.0**54]), "Int64")
    assert not fits(exact, "Int32")


def test_nan_is_left_to_the_check_on_numbers():
    assert fits(pa.array([math.nan, math.inf, 1.0]), "Int64")


def test_a_column_of_the_wrong_type_without_a_value_loses_nothing():
    assert fits(pa.array([None, None], pa.string()), "Int64")


@pytest.mark.parametrize(
    ("column", "declared"),
    [
        (pa.array(['{"a": 1}']), "Json"),
        (pa.array([{"a": 1}]), "Map"),
        (pa.array(['{"a": 1}']), "Struct({a: Int64, b: Array(String)})"),
        (pa.array(['[{"a": 1}]']), "Array(Map)"),
        (pa.array([[[1.0]], None]), "Array(Array(Float64))"),
        (pa.array([b"[1, 2]"]), "Array(Int64)"),
        (COLUMNS["maps"], "ScalarMap"),
        (pa.array(["0d3c"]), "Uuid"),
        (pa.array([DAY], pa.timestamp("us", "UTC")), "ZonedTimestamp"),
        (pa.array([[["anything"]]]), "Invalid"),
    ],
    ids=str,
)
def test_nested_and_rare_types_have_carriers(column: pa.Array, declared: str):
    assert fits(column, declared)
    assert declared == "Invalid" or not fits(pa.array([1.5]), declared)


@pytest.mark.parametrize("name", ["Integer", "Array()", "Array(Integer)", "INT64", ""])
def test_a_type_that_feast_does_not_have_is_refused(name: str):
    with pytest.raises(SourceError, match="there is no such type; use one of Int32, Int64"):
        feast_type(name)
