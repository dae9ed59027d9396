"""Values and keys built by column are the bytes Feast writes."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from feast import ValueType
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_platform.encoding.buffers import length_prefix, varints
from feature_platform.encoding.entity_keys import encode_keys, key_columns_of
from feature_platform.encoding.feature_values import _encode, encode_values, value_texts

EXACT = 2**53
floats = st.floats(width=32) | st.just(-0.0)
texts = st.text(max_size=200)
moments = st.integers(-(2**50), 2**50)


def _lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=5)


# Arrow type, Feast type, and values; every one of these is built by column.
COLUMNAR = [
    (pa.int32(), ValueType.INT32, st.integers(-(2**31), 2**31 - 1)),
    (pa.int8(), ValueType.INT32, st.integers(-128, 127)),
    (pa.int64(), ValueType.INT32, st.integers(-(2**31), 2**31 - 1)),
    (pa.int64(), ValueType.INT64, st.integers(-EXACT, EXACT)),
    (pa.uint32(), ValueType.INT64, st.integers(0, 2**32 - 1)),
    (pa.float32(), ValueType.FLOAT, floats),
    (pa.float64(), ValueType.FLOAT, floats),
    (pa.float64(), ValueType.DOUBLE, st.floats()),
    (pa.int64(), ValueType.DOUBLE, st.integers(-EXACT, EXACT)),
    (pa.string(), ValueType.STRING, texts),
    (pa.large_string(), ValueType.STRING, texts),
    # Feast takes empty byte strings for nulls when a batch has no others; see below.
    (pa.binary(), ValueType.BYTES, st.binary(min_size=1, max_size=200)),
    (pa.binary(), ValueType.PDF_BYTES, st.binary(min_size=1, max_size=200)),
    (pa.bool_(), ValueType.BOOL, st.booleans()),
    (pa.timestamp("us"), ValueType.UNIX_TIMESTAMP, moments),
    (pa.timestamp("us", tz="UTC"), ValueType.UNIX_TIMESTAMP, moments),
    (pa.timestamp("ms"), ValueType.UNIX_TIMESTAMP, st.integers(-(2**40), 2**40)),
    (pa.list_(pa.int64()), ValueType.INT64_LIST, _lists(st.integers(-(2**63), 2**63 - 1))),
    (pa.list_(pa.int32()), ValueType.INT32_LIST, _lists(st.integers(-(2**31), 2**31 - 1))),
    (pa.list_(pa.float64()), ValueType.DOUBLE_LIST, _lists(st.floats(allow_nan=False))),
    (pa.list_(pa.float32()), ValueType.FLOAT_LIST, _lists(st.floats(width=32, allow_nan=False))),
    (pa.list_(pa.string()), ValueType.STRING_LIST, _lists(texts)),
    (pa.list_(pa.binary()), ValueType.BYTES_LIST, _lists(st.binary(max_size=20))),
]


def _stock(column: pa.Array, kind: ValueType) -> list[Value]:
    return list(python_values_to_proto_values(column.to_numpy(zero_copy_only=False), kind))


@pytest.mark.parametrize(
    ("arrow", "kind", "values"), COLUMNAR, ids=[f"{a}-{k.name}" for a, k, _ in COLUMNAR]
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_column_is_what_feast_makes_of_its_cells(
    arrow: pa.DataType, kind: ValueType, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    cells = data.draw(st.lists(st.none() | values, max_size=12))
    start = data.draw(st.integers(0, 3))
    column = pa.array(cells, arrow)[start:]
    assert _encode(kind.name, column) is not None
    stock = _stock(column, kind)
    assert encode_values(column, kind).to_pylist() == [v.SerializeToString() for v in stock]
    assert value_texts(column, kind).to_pylist() == [
        extract_text_and_num(v, compute_num=False)[0] for v in stock
    ]


BY_FEAST = [
    (pa.array([True, None]), ValueType.BOOL_LIST, [[True, False], [], None], pa.list_(pa.bool_())),
    (None, ValueType.JSON, ['{"a": [1, 2]}', None, '"x"'], pa.string()),
    (None, ValueType.MAP, ['{"a": 1, "b": {"c": "d"}}', None], pa.string()),
    (None, ValueType.STRUCT, ['{"a": 1.5}', None], pa.string()),
    (None, ValueType.DECIMAL, [Decimal("1.50"), None], pa.decimal128(10, 2)),
    (None, ValueType.UUID, ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", None], pa.string()),
    (None, ValueType.STRING_LIST, [["a", None], []], pa.list_(pa.string())),
    (None, ValueType.INT64_SET, [[3, 3], None], pa.list_(pa.int64())),
    (
        None,
        ValueType.UNIX_TIMESTAMP_LIST,
        [[dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)], []],
        pa.list_(pa.timestamp("us")),
    ),
    (None, ValueType.DECIMAL_LIST, [[Decimal("1.5")], None], pa.list_(pa.decimal128(5, 1))),
    (None, ValueType.INT64, [1.0, None, 7.9], pa.float64()),
    (None, ValueType.STRING, [1, 2], pa.int64()),
    (None, ValueType.VALUE_LIST, [[[1, 2], [3]], None], pa.list_(pa.list_(pa.int64()))),
]


@pytest.mark.parametrize(
    ("kind", "cells", "arrow"),
    [(kind, cells, arrow) for _, kind, cells, arrow in BY_FEAST],
    ids=[kind.name for _, kind, _, _ in BY_FEAST],
)
def test_any_other_type_goes_through_feast_itself(
    kind: ValueType, cells: list[Any], arrow: pa.DataType
) -> None:
    column = pa.array(cells, arrow)
    expected = [value.SerializeToString() for value in _stock(column, kind)]
    assert encode_values(column, kind).to_pylist() == expected


def test_a_map_column_is_taken_as_a_map() -> None:
    column = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    first, second = encode_values(column, ValueType.MAP).to_pylist()
    assert Value.FromString(first).map_val.val["a"].int64_val == 1
    assert second == b""


def test_whole_numbers_beside_nulls_stay_exact() -> None:
    column = pa.array([2**53 + 1, None])
    encoded = encode_values(column, ValueType.INT64).to_pylist()
    assert Value.FromString(encoded[0]).int64_val == 2**53 + 1


def test_an_empty_byte_string_is_one_whatever_else_is_in_the_batch() -> None:
    alone = encode_values(pa.array([b""]), ValueType.BYTES).to_pylist()
    beside = encode_values(pa.array([b"", b"x"]), ValueType.BYTES).to_pylist()
    assert (
        alone[0]
        == beside[0]
        == _stock(pa.array([b"", b"x"]), ValueType.BYTES)[0].SerializeToString()
    )


def test_a_dictionary_column_is_its_values() -> None:
    plain = pa.array(["a", "b", None, "a"])
    assert encode_values(plain.dictionary_encode(), ValueType.STRING) == encode_values(
        plain, ValueType.STRING
    )


def test_a_number_that_does_not_fit_is_refused_as_feast_refuses_it() -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode_values(pa.array([2**31]), ValueType.INT32)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_varints_decode_to_the_numbers(numbers: list[int]) -> None:
    import numpy as np

    for number, encoded in zip(
        numbers, varints(np.array(numbers, np.int64)).to_pylist(), strict=True
    ):
        assert Value.FromString(b"\x20" + encoded).int64_val == number


def test_long_strings_have_long_lengths() -> None:
    column = pa.array([b"x" * 5000, b""])
    assert length_prefix(column).to_pylist() == [b"\x88\x27", b"\x00"]


KEYS = [
    (ValueType.INT64, pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (ValueType.INT32, pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (ValueType.STRING, pa.string(), texts),
    (ValueType.BYTES, pa.binary(), st.binary(min_size=1, max_size=50)),
    (ValueType.UNIX_TIMESTAMP, pa.timestamp("s"), st.integers(0, 2**33)),
]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_keys_are_what_feast_serializes_and_can_be_read_back(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
    names = data.draw(
        st.lists(
            st.text("abcß_", min_size=1), min_size=len(kinds), max_size=len(kinds), unique=True
        )
    )
    count = data.draw(st.integers(1, 5))
    columns = [
        pa.array(data.draw(st.lists(values, min_size=count, max_size=count)), arrow)
        for _, arrow, values in kinds
    ]
    protos = [_stock(column, kind) for column, (kind, _, _) in zip(columns, kinds, strict=True)]
    expected = [
        serialize_entity_key(EntityKey(join_keys=names, entity_values=list(row)), 3)
        for row in zip(*protos, strict=True)
    ]
    encoded = encode_keys(names, columns, [kind for kind, _, _ in kinds])
    assert encoded.to_pylist() == expected
    for name, proto in zip(names, protos, strict=True):
        read = key_columns_of(expected, [name])[name]
        assert read == [getattr(value, value.WhichOneof("val")) for value in proto]
