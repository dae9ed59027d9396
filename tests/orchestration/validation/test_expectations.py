import gc
import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from worlds.arrow_rows import ArrowRows
from worlds.places import ROOT

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, WindowError
from feature_platform.orchestration.validation.check_declarations import SOURCE_CHECKS
from feature_platform.orchestration.validation.default_checks import SourceSchema
from feature_platform.orchestration.validation.gx import ExpectationSpec
from feature_platform.orchestration.validation.outcomes import CheckOutcome, ExpectationOutcome
from feature_platform.orchestration.validation.source_validator import SourceValidator

START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
NOW = START + timedelta(days=2)
MOMENT = pa.timestamp("us", "UTC")
SCHEMA = SourceSchema(
    source="payments",
    join_keys=("user_id",),
    timestamp_field="event_timestamp",
    created_timestamp_column="created_timestamp",
    columns=(
        ("user_id", "String"),
        ("amount", "Float64"),
        ("count", "Int64"),
        ("event_timestamp", "UnixTimestamp"),
        ("created_timestamp", "UnixTimestamp"),
    ),
)


def payments(rows: int = 8, **columns: Any) -> pa.Table:
    """A window without fault, save for the columns given."""
    table: dict[str, Any] = {
        "user_id": [f"u{row}" for row in range(rows)],
        "amount": pa.array([float(row) for row in range(rows)], pa.float64()),
        "count": list(range(rows)),
        "event_timestamp": pa.array([START + timedelta(hours=row) for row in range(rows)], MOMENT),
        "created_timestamp": pa.array([NOW] * rows, MOMENT),
    }
    table.update(columns)
    return pa.table({name: column for name, column in table.items() if column is not None})


def check(
    table: pa.Table,
    schema: SourceSchema = SCHEMA,
    suite: Sequence[ExpectationSpec] = (),
    min_rows: int | None = None,
    **arguments: Any,
) -> dict[str, CheckOutcome]:
    validator = SourceValidator(schema, suite, min_rows=min_rows)
    outcomes = validator.validate(ArrowRows(table), WINDOW, **{"now": NOW, **arguments})
    return {outcome.name: outcome for outcome in outcomes}


def before(*rows: int, every: int = 1) -> dict[Window, int]:
    """Rows of the windows before: a day (or so many) apart, the newest last."""
    return {
        Window(WINDOW.start - timedelta(days=days), WINDOW.end - timedelta(days=days)): count
        for days, count in zip(range(every * len(rows), 0, -every), rows, strict=True)
    }


def after(*rows: int, every: int = 1) -> dict[Window, int]:
    """Rows of the windows after: a day (or so many) apart, the nearest first."""
    return {
        Window(WINDOW.start + timedelta(days=days), WINDOW.end + timedelta(days=days)): count
        for days, count in zip(range(every, every * len(rows) + 1, every), rows, strict=True)
    }


def failed(outcomes: Mapping[str, CheckOutcome]) -> set[str]:
    return {name for name, outcome in outcomes.items() if not outcome.passed}


def only(outcome: CheckOutcome) -> ExpectationOutcome:
    (failure,) = outcome.failures
    return failure


def users(failure: ExpectationOutcome) -> list[str]:
    return [row["user_id"] for row in failure.unexpected_rows]


def test_a_window_without_fault_passes_every_check_in_their_order():
    outcomes = tuple(check(payments()).values())

    assert [outcome.name for outcome in outcomes] == [
        each.name for each in SOURCE_CHECKS if each.name != "suite"
    ]
    assert all(outcome.passed and not outcome.blocks for outcome in outcomes)
    assert all(outcome.results for outcome in outcomes)
    assert not any(
        row for each in outcomes for result in each.results for row in result.unexpected_rows
    )


@pytest.mark.parametrize("name", ["user_id", "amount", "event_timestamp", "created_timestamp"])
def test_a_missing_column_fails_the_schema_and_names_what_is_there(name: str):
    outcomes = check(payments(**{name: None}))

    failure = only(outcomes["schema"])
    assert (failure.expectation, failure.column) == ("expect_column_to_exist", name)
    there = ", ".join(column for column in payments().column_names if column != name)
    assert failure.sentence == (
        f"{name}: expect_column_to_exist failed: found the columns {there}, "
        f"expected a column '{name}'"
    )


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("user_id", {"schema", "keys"}),
        ("amount", {"schema", "numbers"}),
        ("count", {"schema"}),
        ("event_timestamp", {"schema", "keys", "event_time"}),
        ("created_timestamp", {"schema", "keys"}),
    ],
)
def test_checks_that_need_a_missing_column_fail_and_say_so(name: str, checks: set[str]):
    outcomes = check(payments(**{name: None}))

    assert failed(outcomes) == checks
    for dependent in checks - {"schema"}:
        assert all(
            f"column '{name}' is missing" in failure.sentence
            for failure in outcomes[dependent].failures
        )


def test_a_column_of_another_type_fails_the_schema_with_rows_that_show_it():
    failure = only(check(payments(count=["one", "two", None, *"abcde"]))["schema"])

    assert failure.expectation == "expect_column_values_to_be_in_type_list"
    assert failure.column == "count"
    assert failure.observed == "type string"
    assert failure.expected.startswith("Int64: integers")
    assert failure.unexpected_count == 7
    assert users(failure) == ["u0", "u1", "u3", "u4", "u5"]


def test_whole_numbers_in_a_float_column_fit_an_integer_feature_and_fractions_do_not():
    nullable = pa.array([1.0, None, 3.0, 4.0, None, 0.0, -1.0, 2.0])
    assert check(payments(count=nullable))["schema"].passed

    broken = pa.array([1.0, None, 3.5, 4.0, None, 0.0, -1.25, 2.0])
    failure = only(check(payments(count=broken))["schema"])
    assert failure.unexpected_count == 2
    assert users(failure) == ["u2", "u6"]
    assert "2 of 8 rows not whole, or beyond Int64" in failure.sentence


def test_integers_beyond_the_declared_width_fail_the_schema():
    schema = SourceSchema("s", ("user_id",), "event_timestamp", None, (("count", "Int32"),))

    assert check(payments(count=[2**31 - 1, -(2**31)] * 4), schema)["schema"].passed
    failure = only(check(payments(count=[2**31, *range(7)]), schema)["schema"])
    assert users(failure) == ["u0"]
    assert failure.unexpected_rows[0]["count"] == 2**31


def test_a_feature_that_is_all_null_is_fine_and_a_key_or_event_time_is_not():
    assert failed(check(payments(amount=pa.nulls(8), count=pa.nulls(8)))) == set()

    keys = check(payments(user_id=pa.nulls(8)))
    assert failed(keys) == {"schema", "keys"}
    assert "of type null" in keys["schema"].sentence
    assert failed(check(payments(event_timestamp=pa.nulls(8)))) == {"schema", "event_time"}


def test_text_declared_as_json_must_be_json():
    schema = SourceSchema("s", ("user_id",), "event_timestamp", None, {"details": "Json"})
    details = ['{"a": 1}', "[]", "3", None, "{", "{}", "nothing", '"text"']

    failure = only(check(payments(details=details), schema)["schema"])

    assert failure.expectation == "expect_column_values_to_be_json_parseable"
    assert users(failure) == ["u4", "u6"]


def test_null_keys_fail_with_the_rows_at_most_five():
    ids = ["u0", None, "u2", *[None] * 7, "u10"]
    outcomes = check(payments(11, user_id=ids))

    failure = only(outcomes["keys"])
    assert failed(outcomes) == {"keys"}
    assert outcomes["keys"].blocks
    assert failure.expectation == "expect_column_values_to_not_be_null"
    assert failure.unexpected_count == 8
    assert [row["count"] for row in failure.unexpected_rows] == [1, 3, 4, 5, 6]
    assert failure.sentence == (
        "user_id: expect_column_values_to_not_be_null failed: 8 of 11 rows null, e.g. "
        '{"user_id": null, '
        '"event_timestamp": "2026-03-01T01:00:00.000000Z", '
        '"created_timestamp": "2026-03-03T00:00:00.000000Z"}'
    )


def test_rows_with_the_same_key_and_times_fail_and_are_shown_side_by_side():
    ids = ["a", "b", "c", "d", "e", "c", "f", "b"]
    table = payments(user_id=ids, event_timestamp=pa.array([START] * 8, MOMENT))

    failure = only(check(table)["keys"])

    assert failure.expectation == "expect_compound_columns_to_be_unique"
    assert failure.column == "user_id, event_timestamp, created_timestamp"
    assert failure.unexpected_count == 4
    assert users(failure) == ["b", "b", "c", "c"]
    assert [row["count"] for row in failure.unexpected_rows] == [1, 7, 2, 5]


def test_rows_that_differ_in_created_time_alone_are_a_correction_not_a_duplicate():
    same = {"user_id": ["u"] * 8, "event_timestamp": pa.array([START] * 8, MOMENT)}
    created = pa.array([NOW - timedelta(seconds=row) for row in range(8)], MOMENT)

    assert check(payments(**same, created_timestamp=created))["keys"].passed


def test_rows_that_differ_in_nothing_but_lack_a_created_time_are_duplicates():
    same = {"user_id": ["u"] * 8, "event_timestamp": pa.array([START] * 8, MOMENT)}
    created = pa.array([*[NOW - timedelta(seconds=row) for row in range(6)], None, None], MOMENT)

    failure = only(check(payments(**same, created_timestamp=created))["keys"])

    assert [row["count"] for row in failure.unexpected_rows] == [6, 7]


def test_rows_a_nanosecond_apart_are_not_duplicates():
    first = int(START.timestamp() * 10**9)
    times = pa.array([first + row for row in range(8)], pa.timestamp("ns", "UTC"))

    assert failed(check(payments(user_id=["u"] * 8, event_timestamp=times))) == set()


def test_without_a_created_time_column_key_and_event_time_are_unique():
    schema = SourceSchema("s", ("user_id",), "event_timestamp", None, (("amount", "Float64"),))
    assert failed(check(payments(created_timestamp=None), schema)) == set()

    twice = payments(user_id=["u"] * 8, event_timestamp=pa.array([START] * 8, MOMENT))
    failure = only(check(twice, schema)["keys"])
    assert failure.column == "user_id, event_timestamp"
    assert failure.unexpected_count == 8
    assert len(failure.unexpected_rows) == 5


def test_composite_keys_are_unique_together_and_none_is_null():
    schema = SourceSchema("s", ("user_id", "shop"), "event_timestamp", None, ())
    same_time = pa.array([START] * 8, MOMENT)
    pairs = {"user_id": list("aaaabbbb"), "shop": [1, 2, 3, 4] * 2}
    assert check(payments(**pairs, event_timestamp=same_time), schema)["keys"].passed

    pairs["shop"] = [1, 2, 3, None, 1, 1, None, 4]
    failures = check(payments(**pairs, event_timestamp=same_time), schema)["keys"].failures
    assert [(each.column, each.unexpected_count) for each in failures] == [
        ("shop", 2),
        ("user_id, shop, event_timestamp", 2),
    ]
    assert [row["count"] for row in failures[1].unexpected_rows] == [4, 5]


def test_a_source_without_keys_has_unique_event_times():
    schema = SourceSchema("s", (), "event_timestamp", None, (("amount", "Float64"),))
    assert failed(check(payments(user_id=None), schema)) == set()

    times = pa.array([START + timedelta(hours=row // 2) for row in range(8)], MOMENT)
    failure = only(check(payments(event_timestamp=times), schema)["keys"])
    assert failure.expectation == "expect_column_values_to_be_unique"
    assert failure.column == "event_timestamp"
    assert [row["count"] for row in failure.unexpected_rows] == [0, 1, 2, 3, 4]


def test_a_key_that_cannot_be_compared_fails_instead_of_crashing():
    outcomes = check(payments(user_id=[[row] for row in range(8)]))

    assert failed(outcomes) == {"schema", "keys"}
    assert "which cannot be compared" in outcomes["keys"].sentence


def test_the_start_of_a_window_belongs_to_it_and_its_end_does_not():
    last = WINDOW.end - timedelta(microseconds=1)
    before = WINDOW.start - timedelta(microseconds=1)
    times = [WINDOW.start, last, WINDOW.end, before, *[WINDOW.start] * 4]

    failure = only(check(payments(event_timestamp=pa.array(times, MOMENT)))["event_time"])

    assert failure.expectation == "expect_column_values_to_be_between"
    assert users(failure) == ["u2", "u3"]
    assert "2 of 8 rows outside 2026-03-01..2026-03-02" in failure.sentence


def test_an_event_in_the_future_fails_even_inside_the_window():
    now = (START + timedelta(hours=5)).astimezone(timezone(timedelta(hours=-7)))

    failure = only(check(payments(), now=now)["event_time"])

    assert users(failure) == ["u6", "u7"]
    assert "in the future" in failure.sentence
    assert failure.expected == "not after 2026-03-01T05:05:00+00:00"


@pytest.mark.parametrize(("tolerance", "ahead"), [(5, ["u7"]), (0, ["u6", "u7"]), (90, [])])
def test_an_event_a_little_ahead_of_the_clock_is_tolerated_as_far_as_the_tag_says(
    tolerance: int, ahead: list[str]
):
    schema = replace(SCHEMA, future_tolerance=timedelta(minutes=tolerance))

    outcome = check(payments(), schema, now=START + timedelta(hours=5, minutes=57))["event_time"]

    assert [user for each in outcome.failures for user in users(each)] == ahead


def test_a_null_event_time_fails():
    times = pa.array([None, *[START + timedelta(hours=row) for row in range(7)]], MOMENT)

    failure = only(check(payments(event_timestamp=times))["event_time"])

    assert (failure.expectation, users(failure)) == ("expect_column_values_to_not_be_null", ["u0"])


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s"),
        pa.timestamp("ms", "UTC"),
        pa.timestamp("us", "America/New_York"),
        pa.timestamp("ns"),
        pa.timestamp("ns", "+05:30"),
    ],
    ids=str,
)
def test_event_times_of_any_unit_and_zone_are_the_moments_they_are(kind: pa.DataType):
    times = [START, *[START + timedelta(hours=row) for row in range(1, 7)], WINDOW.end]
    column = pa.array(times, pa.timestamp("us", "UTC")).cast(pa.timestamp(kind.unit, "UTC"))
    outcomes = check(payments(event_timestamp=column.cast(kind)))

    assert failed(outcomes) == {"event_time"}
    assert users(only(outcomes["event_time"])) == ["u7"]


def test_days_are_event_times_too():
    days = [date(2026, 3, 1)] * 7 + [date(2026, 3, 2)]

    assert users(only(check(payments(event_timestamp=days))["event_time"])) == ["u7"]


def test_an_event_time_beyond_the_years_of_python_is_outside_not_a_crash():
    times = pa.array([2**60, *[int(START.timestamp() * 10**6) + row for row in range(7)]])

    failures = check(payments(event_timestamp=times.cast(MOMENT)))["event_time"].failures

    assert [users(failure) for failure in failures] == [["u0"], ["u0"]]


def test_event_times_as_text_fail_schema_and_event_time():
    outcomes = check(payments(event_timestamp=["2026-03-01"] * 8))

    assert failed(outcomes) == {"schema", "event_time"}
    assert "it is of type string, not a timestamp" in outcomes["event_time"].sentence


def test_nulls_in_a_float_column_are_allowed_and_nan_and_infinities_are_not():
    nulls = pa.array([None, 1.0, None, 3.0, 4.0, 5.0, 6.0, None], pa.float64())
    assert failed(check(payments(amount=nulls))) == set()

    mixed = pa.array([None, 1.0, float("nan"), 3.0, float("inf"), 5.0, -float("inf"), None])
    outcomes = check(payments(amount=mixed))
    failure = only(outcomes["numbers"])
    assert failed(outcomes) == {"numbers"}
    assert failure.unexpected_count == 3
    assert [row["amount"] for row in failure.unexpected_rows] == ["nan", "inf", "-inf"]


def test_nulls_that_came_through_pandas_are_nulls():
    frame = pd.DataFrame(payments().to_pydict())
    frame.loc[2, "amount"] = None
    frame.loc[3, "count"] = None

    table = pa.Table.from_pandas(frame)

    assert table.schema.field("count").type == pa.float64()
    assert failed(check(table)) == set()


def test_a_double_that_overflows_its_32_bit_feature_is_not_finite():
    schema = SourceSchema("s", ("user_id",), "event_timestamp", None, (("amount", "Float32"),))
    amounts = pa.array([1e39, 3e38, *[0.1] * 6])

    failure = only(check(payments(amount=amounts), schema)["numbers"])

    assert users(failure) == ["u0"]
    assert check(payments(amount=amounts))["numbers"].passed


def test_a_list_with_a_number_that_is_not_finite_fails():
    schema = SourceSchema(
        "s", ("user_id",), "event_timestamp", None, (("vector", "Array(Float32)"),)
    )
    vectors = [[1.0, 2.0], None, [], [float("nan"), 1.0], [1.0, float("inf")], [0.0], [1.0], [2.0]]
    column = pa.chunked_array(
        [
            pa.array(vectors[:3], pa.list_(pa.float32())),
            pa.array(vectors[3:], pa.list_(pa.float32())),
        ]
    )

    outcomes = check(payments(vector=column), schema)

    failure = only(outcomes["numbers"])
    assert failed(outcomes) == {"numbers"}
    assert (failure.column, users(failure)) == ("vector", ["u3", "u4"])
    assert failure.unexpected_rows[0]["vector"] == ["nan", 1.0]


def test_columns_of_lists_bytes_times_and_nested_values_pass_and_are_shown_as_json():
    schema = SourceSchema(
        "s",
        ("user_id",),
        "event_timestamp",
        None,
        {
            "vector": "Array(Float64)",
            "tags": "Set(String)",
            "raw": "Bytes",
            "seen": "UnixTimestamp",
            "days": "Array(UnixTimestamp)",
            "facts": "Map",
            "price": "Decimal",
        },
    )
    table = payments(
        user_id=[None, *"bcdefgh"],
        vector=[[float(item) for item in range(30)]] * 8,
        tags=[["x", "y"]] * 8,
        raw=[b"\x00\xff"] * 8,
        seen=pa.array([START] * 8, pa.timestamp("ns")),
        days=pa.array([[START]] * 8, pa.list_(MOMENT)),
        facts=[{"a": 1}] * 8,
        price=[Decimal("1.50")] * 8,
    )

    outcomes = check(table, schema)

    assert failed(outcomes) == {"keys"}
    (row,) = only(outcomes["keys"]).unexpected_rows
    assert row["vector"] == [*range(20), "and 10 more"]
    assert row["raw"] == "00ff"
    assert row["seen"] == "2026-03-01T00:00:00.000000000Z"
    assert row["days"] == ["2026-03-01T00:00:00+00:00"]
    assert (row["tags"], row["facts"], row["price"]) == (["x", "y"], {"a": 1}, "1.50")
    json.dumps(row, allow_nan=False)


def test_columns_packed_in_dictionaries_and_chunks_are_checked_by_row():
    ids = pa.chunked_array([["a", "b"], ["a", None], ["c", "d", "e", "f"]]).dictionary_encode()

    failure = only(check(payments(user_id=ids))["keys"])

    assert [row["count"] for row in failure.unexpected_rows] == [3]


@pytest.mark.parametrize("times", [pa.array([], MOMENT), pa.nulls(0)], ids=["typed", "untyped"])
def test_an_empty_window_fails_on_its_row_count_alone(times: pa.Array):
    outcomes = check(payments(0, event_timestamp=times))

    assert failed(outcomes) == {"row_count"}
    failure = only(outcomes["row_count"])
    said = "at least 1 row; if 0 is right, set the source's tag dagster/min_rows: 0"
    assert (failure.observed, failure.expected, failure.column) == (0, said, None)
    assert failure.sentence == (
        f"table: expect_table_row_count_to_be_between failed: found 0, expected {said}"
    )


@pytest.mark.parametrize(
    ("counts", "least"),
    [
        (before(*[1000] * 6), 1),  # not each weekday is known
        (before(*[1000] * 7), 250),
        (before(1000, 40, *[1000] * 5), 10),  # the quietest day may have been like this one
        (before(*[1000] * 4, every=7) | before(*[9] * 6), 250),  # now the same weekday counts
        (before(0, 9, 1000, 1000, 1000, every=7), 250),  # outliers do not move the median
        (before(*[0] * 4, every=7), 0),  # closed on this weekday
        (after(0, 0, every=7) | after(9), 0),  # so it is in what comes later of a first range
        (after(0, every=7) | after(9), 1),  # one other is not enough
        (after(0, 0, every=7), 1),  # nothing says that there are rows at all
    ],
)
def test_how_few_rows_will_do_is_known_from_the_windows_like_it(
    counts: Mapping[Window, int], least: int
):
    outcome = check(payments(8), row_counts=counts)["row_count"]

    assert outcome.results[0].expected.startswith(f"at least {least} row")
    assert outcome.blocks == (least > 8)


def test_a_window_with_few_rows_is_told_what_is_usual():
    counts = before(*[100] * 8, every=7)
    failure = only(check(payments(8), row_counts=counts)["row_count"])

    assert failure.sentence == (
        "table: expect_table_row_count_to_be_between failed: found 8, expected at least 25 rows "
        "(usual: 100, the median of the 8 windows of the same weekday before it); if 8 is right, "
        "set the source's tag dagster/min_rows: 8"
    )


def test_far_more_rows_than_usual_are_told_and_served():
    outcome = check(payments(24), row_counts=before(*[5] * 8, every=7))["row_count"]

    assert not outcome.passed
    assert not outcome.blocks
    assert "found 24, expected at most 20 rows (usual: 5" in only(outcome).sentence


def test_who_says_how_few_rows_will_do_is_not_held_to_the_windows_before():
    counts = before(*[50] * 8, every=7)

    assert check(payments(0), row_counts=counts, min_rows=0)["row_count"].passed
    assert "found 8, expected at least 9 rows" in (
        only(check(payments(8), row_counts=counts, min_rows=9)["row_count"]).sentence
    )


def test_rows_of_the_source_without_an_event_time_are_told_and_the_window_is_served():
    outcome = check(payments(8), untimed=3)["event_time"]

    assert not outcome.passed
    assert not outcome.blocks
    assert only(outcome).sentence == (
        "event_timestamp: expect_column_values_to_not_be_null failed: found 3 rows of the source "
        "without an event time, expected none in the whole source"
    )
    assert check(payments(8), untimed=0)["event_time"].passed


def test_a_suite_of_the_repo_is_a_check_of_its_own():
    suite = [
        ExpectationSpec("expect_column_values_to_be_between", {"column": "amount", "min_value": 0}),
        ExpectationSpec(
            "expect_table_columns_to_match_set", {"column_set": payments().column_names}
        ),
    ]

    outcomes = check(payments(), suite=suite)

    assert list(outcomes) == [each.name for each in SOURCE_CHECKS]
    assert outcomes["suite"].passed
    assert outcomes["suite"].sentence == "2 expectations held"


def test_a_failing_suite_blocks_and_shows_the_rows():
    suite = [
        ExpectationSpec(
            "expect_column_values_to_be_between",
            {"column": "amount", "min_value": 2, "max_value": 6},
            description="what a till takes",
        )
    ]

    outcomes = check(payments(), suite=suite)

    failure = only(outcomes["suite"])
    assert failed(outcomes) == {"suite"}
    assert outcomes["suite"].blocks
    assert users(failure) == ["u0", "u1", "u7"]
    assert failure.observed == ("3 of 8 rows against min_value=2, max_value=6; what a till takes")


def test_a_warning_of_a_suite_is_told_and_does_not_block():
    kwargs = {"column": "amount", "max_value": 3}
    warning = ExpectationSpec("expect_column_mean_to_be_between", kwargs, severity="warn")
    error = ExpectationSpec("expect_column_max_to_be_between", kwargs)

    warned = check(payments(), suite=[warning])["suite"]
    assert (warned.passed, warned.blocks, warned.severity) == (False, False, "warn")
    assert only(warned).observed == 3.5
    assert "found 3.5, expected max_value=3" in warned.sentence

    both = check(payments(), suite=[warning, error])["suite"]
    assert (both.blocks, both.severity) == (True, "error")
    assert [failure.severity for failure in both.failures] == ["error", "warn"]


def test_a_row_condition_shows_rows_under_their_own_numbers():
    condition = {
        "type": "comparison",
        "column": {"name": "count"},
        "operator": ">=",
        "parameter": 5,
    }
    kwargs = {"column": "amount", "max_value": 5.5, "row_condition": condition}
    suite = [ExpectationSpec("expect_column_values_to_be_between", kwargs)]

    failure = only(check(payments(), suite=suite)["suite"])

    assert users(failure) == ["u6", "u7"]
    assert "2 of 3 rows" in failure.sentence


def test_an_expectation_that_tolerates_some_rows_passes_with_some():
    kwargs = {"column": "amount", "min_value": 1, "mostly": 0.8}
    suite = [ExpectationSpec("expect_column_values_to_be_between", kwargs)]

    (result,) = check(payments(), suite=suite)["suite"].results

    assert (result.passed, result.unexpected_count, result.unexpected_rows) == (True, 1, ())


def test_a_suite_that_names_a_missing_column_fails_and_the_other_expectations_still_run():
    suite = [
        ExpectationSpec("expect_column_values_to_not_be_null", {"column": "amont"}),
        ExpectationSpec("expect_column_to_exist", {"column": "colour"}),
        ExpectationSpec("expect_column_max_to_be_between", {"column": "amount", "max_value": 7}),
    ]

    outcomes = check(payments(), suite=suite)

    missing, absent = outcomes["suite"].failures
    assert failed(outcomes) == {"suite"}
    assert "column 'amont' is missing; there are user_id, amount" in missing.sentence
    assert "found the columns user_id, amount" in absent.sentence


def test_an_expectation_that_cannot_be_evaluated_fails_and_says_why():
    suite = [
        ExpectationSpec("expect_column_mean_to_be_between", {"column": "user_id", "min_value": 0})
    ]

    outcome = check(payments(), suite=suite)["suite"]

    assert outcome.blocks
    assert "expect_column_mean_to_be_between failed: " in outcome.sentence
    assert "u0u1u2" in outcome.sentence or "could not convert" in outcome.sentence


def test_a_bound_without_a_zone_is_in_utc():
    times = {
        "column": "event_timestamp",
        "min_value": "2026-03-01",
        "max_value": "2026-03-01T06:00",
    }
    suite = [ExpectationSpec("expect_column_values_to_be_between", times)]

    assert users(only(check(payments(), suite=suite)["suite"])) == ["u7"]


def test_a_suite_can_look_into_columns_that_no_view_takes():
    suite = [
        ExpectationSpec(
            "expect_column_values_to_be_in_set", {"column": "note", "value_set": ["x"]}
        ),
        ExpectationSpec("expect_column_values_to_not_be_null", {"column": "parts"}),
    ]
    table = payments(note=["x"] * 7 + ["y"], parts=[[1, 2]] * 7 + [None])

    note, parts = check(table, suite=suite)["suite"].failures

    assert users(note) == users(parts) == ["u7"]


def test_one_validator_checks_many_windows_each_for_itself():
    validator = SourceValidator(SCHEMA)
    said = [
        {
            outcome.name
            for outcome in validator.validate(ArrowRows(table), WINDOW, now=NOW)
            if not outcome.passed
        }
        for table in (payments(), payments(0), payments(user_id=[None, *"abcdefg"]), payments())
    ]

    assert said == [set(), {"row_count"}, {"keys"}, set()]


def test_a_validator_keeps_no_window_in_memory():
    validator = SourceValidator(SCHEMA)
    rows = 4321

    window = Window(START, START + timedelta(days=999))
    validator.validate(ArrowRows(payments(rows)), window, now=NOW)
    gc.collect()

    assert not any(type(each) is pd.DataFrame and len(each) == rows for each in gc.get_objects())


def test_outcomes_fit_into_json_and_across_processes():
    import pickle

    table = payments(
        amount=pa.array([float("nan"), float("inf"), *[1.0] * 6]),
        user_id=[None, "a", "a", *"bcdef"],
        event_timestamp=pa.array([NOW] * 8, MOMENT),
    )
    outcomes = tuple(check(table, now=START).values())

    for outcome in outcomes:
        for result in outcome.results:
            json.dumps([result.observed, *result.unexpected_rows], allow_nan=False)
    assert pickle.loads(pickle.dumps(outcomes)) == outcomes  # noqa: S301 - our own bytes


def test_a_table_with_two_columns_of_one_name_is_refused():
    table = pa.table([[1], [2]], names=["amount", "amount"])

    with pytest.raises(SourceError, match=r"'payments'.*more than one column 'amount'"):
        check(table)


def test_a_present_without_a_zone_is_refused():
    with pytest.raises(WindowError, match="has no time zone"):
        check(payments(), now=datetime(2026, 3, 1))  # noqa: DTZ001


def test_an_unknown_feast_type_is_refused():
    schema = SourceSchema("s", (), "event_timestamp", None, (("amount", "Float"),))

    with pytest.raises(SourceError, match="Feast type 'Float'"):
        check(payments(), schema)


def test_great_expectations_comes_late_sends_nothing_and_writes_nothing(tmp_path: Path):
    program = """
        import os, socket, sys
        from datetime import UTC, datetime, timedelta
        import pyarrow as pa
        from worlds.arrow_rows import ArrowRows
        from feature_platform.orchestration.validation.default_checks import SourceSchema
        from feature_platform.orchestration.validation.gx import ExpectationSpec
        from feature_platform.orchestration.validation.source_validator import SourceValidator
        from feature_platform.core.windows import Window

        assert "great_expectations" not in sys.modules
        assert "GX_ANALYTICS_ENABLED" not in os.environ

        def refuse(*_):
            raise AssertionError("a connection was opened")

        def watch(event, arguments):
            if event in {"os.mkdir", "tempfile.mkdtemp", "tempfile.mkstemp"}:
                raise AssertionError(f"{event} {arguments}")

        socket.socket.connect = socket.socket.connect_ex = refuse
        sys.addaudithook(watch)
        start = datetime(2026, 3, 1, tzinfo=UTC)
        times = pa.array([start, start], pa.timestamp("us", "UTC"))
        table = pa.table({"k": ["a", None], "t": times})
        schema = SourceSchema("s", ("k",), "t", None, ())
        window = Window(start, start + timedelta(days=1))

        def failed(*suite):
            found = SourceValidator(schema, suite).validate(ArrowRows(table), window, now=start)
            return [outcome.name for outcome in found if not outcome.passed]

        print(failed())
        assert "great_expectations" not in sys.modules
        not_null = ExpectationSpec("expect_column_values_to_not_be_null", {"column": "k"})
        print(failed(not_null))
        assert "great_expectations" in sys.modules
        assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
    """
    home = tmp_path / "home"
    home.mkdir()
    work = tmp_path / "work"
    work.mkdir()

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=work,
        env={
            "HOME": str(home),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("['keys']\n['keys', 'suite']\n", "")
    assert set(tmp_path.rglob("*")) == {home, work}
