"""The join against one that looks at every source row for every entity row."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_platform.errors import SourceError
from feature_platform.offline.as_of_join import NO_ROW, AsOf, JoinTarget, fetched, newest_rows
from feature_platform.offline.source_table import (
    Reading,
    SourceTable,
    table_in_memory,
    table_of_dataset,
)
from feature_platform.offline.ticks import Moments, Unit, moments_of

START = 1_767_225_600_000_000_000  # the first of January 2026, in nanoseconds
FEATURES = ("amount", "visits", "city", "tags")

# Few values, so that ties, duplicates and edges are the rule.
KEYS = st.sampled_from([None, 1, 2, 3])
UNKNOWN_KEYS = st.sampled_from([None, 1, 2, 3, 99])
CITIES = st.sampled_from([None, "", "a", "b"])
TAGS = st.sampled_from([None, [], [1], [1, 2]])
AMOUNTS = st.sampled_from([None, math.nan, -0.5, 0.0, 2.5])
VISITS = st.sampled_from([None, -1, 0, 2**53 + 1])


@dataclass(frozen=True)
class Case:
    """A source and entity rows; all times in nanoseconds since `START`."""

    rows: list[dict[str, Any]]
    entities: list[dict[str, Any]]
    ttl: int | None
    known: bool
    nanoseconds: bool
    zone: str | None
    composite: bool


@st.composite
def cases(draw: st.DrawFn) -> Case:
    nanoseconds = draw(st.booleans())
    step = 1 if nanoseconds else 1000
    times = st.one_of(st.none(), st.integers(0, 6).map(lambda n: n * step))
    moments = st.one_of(
        st.none(), st.integers(-1, 8 * step // min(step, 500)).map(lambda n: n * min(step, 500))
    )
    row = st.fixed_dictionaries(
        {
            "key": KEYS,
            "other": CITIES,
            "time": times,
            "created": times,
            "amount": AMOUNTS,
            "visits": VISITS,
            "city": CITIES,
            "tags": TAGS,
        }
    )
    entity = st.fixed_dictionaries({"key": UNKNOWN_KEYS, "other": CITIES, "moment": moments})
    rows = draw(st.lists(row, max_size=25))
    if rows and draw(st.booleans()):
        rows += draw(st.lists(st.sampled_from(rows), max_size=4))
    return Case(
        rows=rows,
        entities=draw(st.lists(entity, max_size=12)),
        ttl=draw(st.sampled_from([None, 0, 1000, 2000, 4000])),
        known=draw(st.booleans()),
        nanoseconds=nanoseconds,
        zone=draw(st.sampled_from([None, "UTC", "Asia/Tokyo"])),
        composite=draw(st.booleans()),
    )


def looked_up(case: Case) -> list[dict[str, Any] | None]:
    """The row of each entity row, by the definition."""
    keys = ["key", "other"] if case.composite else ["key"]
    found = []
    for entity in case.entities:
        seen = [row for row in case.rows if is_seen(row, entity, keys, case)]
        found.append(max(seen, key=rank) if seen else None)
    return found


def is_seen(row: dict[str, Any], entity: dict[str, Any], keys: list[str], case: Case) -> bool:
    if any(row[key] is None or row[key] != entity[key] for key in keys):
        return False
    if row["time"] is None or entity["moment"] is None or row["time"] > entity["moment"]:
        return False
    if case.ttl and row["time"] < entity["moment"] - case.ttl:
        return False
    return not case.known or (row["created"] is not None and row["created"] <= entity["moment"])


def rank(row: dict[str, Any]) -> tuple[Any, ...]:
    """Event time, created time, then what it holds; a missing value is before every other."""
    amount = row["amount"]
    number = (amount is not None, amount is not None and math.isnan(amount))
    return (
        row["time"],
        -1 if row["created"] is None else row["created"],
        (*number, 0.0 if amount is None or math.isnan(amount) else amount),
        (row["visits"] is not None, row["visits"] or 0),
        (row["city"] is not None, row["city"] or ""),
        (row["tags"] is not None, row["tags"] or []),
    )


def table_of(case: Case) -> pa.Table:
    unit = "ns" if case.nanoseconds else "us"

    def times(name: str) -> pa.Array:
        scale = 1 if case.nanoseconds else 1000
        whole = [None if r[name] is None else (START + r[name]) // scale for r in case.rows]
        return pa.array(whole, pa.int64()).cast(pa.timestamp(unit, case.zone))

    return pa.table(
        {
            "id": pa.array([row["key"] for row in case.rows], pa.int32()),
            "other": pa.array([row["other"] for row in case.rows], pa.string()),
            "time": times("time"),
            "created": times("created"),
            "amount": pa.array([row["amount"] for row in case.rows], pa.float64()),
            "visits": pa.array([row["visits"] for row in case.rows], pa.int64()),
            "city": pa.array([row["city"] for row in case.rows], pa.string()),
            "tags": pa.array([row["tags"] for row in case.rows], pa.list_(pa.int64())),
        }
    )


def entities_of(case: Case) -> tuple[pa.Table, Moments]:
    table = pa.table(
        {
            "user": pa.array([entity["key"] for entity in case.entities], pa.int64()),
            "place": pa.array([entity["other"] for entity in case.entities], pa.large_string()),
        }
    )
    whole = [None if e["moment"] is None else START + e["moment"] for e in case.entities]
    times = pa.array(whole, pa.int64()).cast(pa.timestamp("ns", "America/New_York"))
    return table, moments_of(times, "entity rows")


def joined(case: Case, source: SourceTable, reading: Reading) -> list[dict[str, Any] | None]:
    join = AsOf(
        source=source,
        keys=(("id", "user"), ("other", "place")) if case.composite else (("id", "user"),),
        time="time",
        created="created",
        ttl=timedelta(microseconds=case.ttl / 1000) if case.ttl else None,
        known=case.known,
        order=FEATURES,
    )
    entities, moments = entities_of(case)
    rows = newest_rows(join, JoinTarget(entities, moments), reading)
    columns = [column.to_pylist() for column in fetched(source, rows, FEATURES, reading)]
    values = zip(*columns, strict=True) if case.entities else []
    return [
        None if row == NO_ROW else dict(zip(FEATURES, found, strict=True))
        for row, found in zip(rows, values, strict=True)
    ]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right


def assert_same(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert all(same(ours[name], theirs[name]) for name in FEATURES), (ours, theirs)


@settings(max_examples=400, deadline=None)
@given(cases())
def test_no_cell_differs_from_a_join_by_brute_force(case: Case):
    expected = looked_up(case)
    assert_same(joined(case, table_in_memory("s", table_of(case)), Reading()), expected)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 3), st.sampled_from([1, 2, 7]))
def test_files_and_row_groups_and_threads_make_no_difference(case: Case, files: int, group: int):
    table = table_of(case)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(files):
            part = table.slice(
                number * len(table) // files,
                (number + 1) * len(table) // files - number * len(table) // files,
            )
            pq.write_table(part, Path(folder) / f"{number}.parquet", row_group_size=group)
        source = table_of_dataset("s", ds.dataset(folder, format="parquet"), 2)
        assert_same(joined(case, source, Reading(threads=2, batch_rows=3)), looked_up(case))


def users(*rows: tuple[int, int, float], **types: pa.DataType) -> SourceTable:
    """Rows of user, microsecond and amount."""
    table = pa.table(
        {
            "id": pa.array([row[0] for row in rows], types.get("id", pa.int64())),
            "time": pa.array([row[1] for row in rows], pa.int64()).cast(pa.timestamp("us", "UTC")),
            "amount": [row[2] for row in rows],
        }
    )
    return table_in_memory("users", table)


BY_USER = {"keys": (("id", "user"),), "time": "time", "created": None, "known": False}


def amounts(source: SourceTable, users: pa.Array, micros: list[int], **more: Any) -> list[Any]:
    join = AsOf(source=source, **{**BY_USER, "ttl": None, "order": ("amount",), **more})
    moments = moments_of(pa.array(micros, pa.int64()).cast(pa.timestamp("us")), "entity rows")
    rows = newest_rows(join, JoinTarget(pa.table({"user": users}), moments), Reading())
    return fetched(source, rows, ["amount"], Reading())[0].to_pylist()


def test_a_row_is_seen_from_its_own_microsecond_until_the_ttl_has_passed():
    source = users((1, 1_000_000, 5.0))
    keys = pa.array([1] * 4)
    moments = [999_999, 1_000_000, 1_000_000 + 3_000_000, 1_000_000 + 3_000_001]
    found = amounts(source, keys, moments, ttl=timedelta(seconds=3))
    assert found == [None, 5.0, 5.0, None]


def test_a_nanosecond_too_late_is_too_late():
    moments = moments_of(pa.array([1_000, 1_001], pa.int64()).cast(pa.timestamp("ns")), "rows")
    source = users((1, 0, 5.0))
    join = AsOf(source=source, **BY_USER, ttl=timedelta(microseconds=1), order=("amount",))
    rows = newest_rows(join, JoinTarget(pa.table({"user": [1, 1]}), moments), Reading())
    assert rows.tolist() == [0, NO_ROW]


def test_times_beyond_what_nanoseconds_can_tell_are_joined_all_the_same():
    far = int(
        (datetime(9999, 12, 31, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    )
    source = users((1, -2_000_000_000_000_000, 1.0), (1, 10, 2.0), (1, far * 1_000_000, 3.0))
    keys = pa.array([1, 1, 1])
    assert amounts(source, keys, [5, 20, far * 1_000_000]) == [1.0, 2.0, 3.0]
    assert amounts(source, keys, [5, 20, 30], ttl=timedelta(days=999_999_999)) == [1.0, 2.0, 2.0]


def test_a_source_of_nanoseconds_takes_moments_it_cannot_tell():
    table = pa.table(
        {
            "id": [1],
            "time": pa.array([7], pa.int64()).cast(pa.timestamp("ns")),
            "amount": [1.5],
        }
    )
    source = table_in_memory("s", table)
    assert amounts(source, pa.array([1, 1]), [-(10**17), 10**17]) == [None, 1.5]


def test_keys_with_gaps_that_pandas_made_floats_of_match_whole_numbers():
    source = users((1, 0, 5.0), (2**53 + 1, 0, 7.0))
    assert amounts(source, pa.array([1.0, None, 1.5, math.nan]), [9] * 4) == [5.0, None, None, None]


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint32(), pa.uint64(), pa.float64(), pa.decimal128(9)]
)
def test_numbers_of_any_width_are_the_same_key(kind: pa.DataType):
    source = users((1, 0, 5.0), (2, 0, 6.0), id=kind)
    assert amounts(source, pa.array([2, -1, 1, 3], pa.int64()), [9] * 4) == [6.0, None, 5.0, None]


def test_keys_far_apart_are_found_as_well_as_those_close_together():
    far = [-(2**63), 0, 2**63 - 1]
    source = users(*((key, 0, float(place)) for place, key in enumerate(far)))
    assert amounts(source, pa.array([*far, 5]), [9] * 4) == [0.0, 1.0, 2.0, None]


def test_text_binary_boolean_and_date_keys_match():
    for kind, values in (
        (pa.string(), ["a", "b"]),
        (pa.large_string(), ["a", "b"]),
        (pa.binary(), [b"a", b"b"]),
        (pa.bool_(), [True, False]),
        (pa.date32(), [datetime(2026, 1, 1).date(), datetime(2026, 1, 2).date()]),  # noqa: DTZ001
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b"]),
    ):
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        table = pa.table(
            {
                "id": pa.array(values, plain),
                "time": pa.array([0, 0], pa.int64()).cast(pa.timestamp("us")),
                "amount": [1.0, 2.0],
            }
        )
        keys = pa.array([values[1], values[0], None], plain).cast(kind)
        assert amounts(table_in_memory("s", table), keys, [9] * 3) == [2.0, 1.0, None], kind


def test_a_key_of_another_kind_is_refused():
    source = users((1, 0, 5.0))
    with pytest.raises(SourceError, match="key 'user' of type string, but the source's is int64"):
        amounts(source, pa.array(["1"]), [9])


def test_a_hot_key_with_thousands_of_rows_and_moments():
    random = np.random.default_rng(3)
    times = random.permutation(20_000)
    source = users(*((1, int(time), float(time)) for time in times))
    moments = random.integers(-10, 20_010, 5_000).tolist()
    expected = [float(min(m, 19_999)) if m >= 0 else None for m in moments]
    assert amounts(source, pa.array([1] * 5_000), moments) == expected


def test_ties_are_compared_in_pieces_when_there_are_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("feature_platform.offline.tied_rows._MANY", 10)
    rows = [(key, 0, float(amount)) for amount in range(50) for key in range(4)]
    source = users(*rows)
    join = AsOf(source=source, **BY_USER, ttl=None, order=("amount",))
    moments = moments_of(pa.array([9] * 4, pa.int64()).cast(pa.timestamp("us")), "rows")
    found = newest_rows(
        join, JoinTarget(pa.table({"user": [0, 1, 2, 3]}), moments), Reading(batch_rows=7)
    )
    assert fetched(source, found, ["amount"], Reading())[0].to_pylist() == [49.0] * 4


def test_a_view_without_keys_gives_every_moment_the_newest_row_of_all():
    source = users((1, 10, 1.0), (2, 20, 2.0))
    found = amounts(source, pa.array([7, 7, 7]), [5, 15, 25], keys=())
    assert found == [None, 1.0, 2.0]


def test_ties_of_nested_values_are_told_apart_whatever_their_order():
    kinds = {
        "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1)], [("a", 2)], None]),
        "struct": (pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": 2}, None]),
        "raw": (pa.binary(), [b"a", b"b", None]),
        "price": (pa.decimal128(9, 2), [None, None, None]),
        "exact": (pa.timestamp("ns", "UTC"), [1, 2, None]),
    }
    for name, (kind, values) in kinds.items():
        for order in ([0, 1, 2], [2, 1, 0]):
            table = pa.table(
                {
                    "id": [1, 1, 1],
                    "time": pa.array([0, 0, 0], pa.int64()).cast(pa.timestamp("us")),
                    "value": pa.array([values[place] for place in order], kind),
                    "amount": [float(place) for place in order],
                }
            )
            source = table_in_memory("s", table)
            found = amounts(source, pa.array([1]), [9], order=("value", "amount"))
            assert found == [2.0 if name == "price" else 1.0], name


def test_created_times_of_text_tell_ties_apart_in_order_of_time():
    table = pa.table(
        {
            "id": [1, 1],
            "time": pa.array([0, 0], pa.int64()).cast(pa.timestamp("us")),
            "created": ["2026-01-02T00:00:00+09:00", "2026-01-01T20:00:00+00:00"],
            "amount": [1.0, 2.0],
        }
    )
    source = table_in_memory("s", table)
    assert amounts(source, pa.array([1]), [9], created="created") == [2.0]


def test_a_column_that_is_missing_is_named():
    join = AsOf(source=users((1, 0, 1.0)), **{**BY_USER, "created": "made"}, ttl=None, order=())
    moments = moments_of(pa.array([9], pa.int64()).cast(pa.timestamp("us")), "rows")
    with pytest.raises(SourceError, match="has no column 'made' \\(it has amount, id, time\\)"):
        newest_rows(join, JoinTarget(pa.table({"user": [1]}), moments), Reading())


def test_after_an_error_the_rest_of_a_source_is_not_read():
    whole = users(*((1, moment, 1.0) for moment in range(100)))
    read: list[int] = []

    @dataclass(frozen=True)
    class Slow:
        """A row that takes its time; the newest cannot be read."""

        number: int
        rows: int = 1

        def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
            if self.number == 99:
                raise OSError("away")
            read.append(self.number)
            time.sleep(0.2)
            for batch in whole.pieces[0].batches(columns, size):
                yield batch.slice(self.number, 1)

        def bounds(self, _column: str, unit: Unit) -> tuple[int, int]:
            at = self.number * (1000 if unit == "ns" else 1)
            return at, at

    pieces = tuple(Slow(number) for number in range(100))
    source = SourceTable("users", whole.schema, pieces, tuple(range(101)))
    join = AsOf(source=source, **{**BY_USER, "ttl": None, "order": ()})
    moments = moments_of(pa.array([1000]).cast(pa.timestamp("us")), "entity rows")
    with pytest.raises(SourceError, match="away"):
        newest_rows(join, JoinTarget(pa.table({"user": [1]}), moments), Reading(threads=2))
    assert len(read) < 50
