import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from feature_platform.orchestration.validation.outcomes import (
    CheckOutcome,
    ExpectationOutcome,
    Severity,
    rows_as_json,
    value_as_json,
)


def result(*, passed: bool, severity: Severity = "error", said: str = "x") -> ExpectationOutcome:
    return ExpectationOutcome("expect_x", "x", passed, 1, "2", said, severity=severity)


def test_a_check_blocks_when_one_failure_is_an_error():
    warned = CheckOutcome("suite", (result(passed=True), result(passed=False, severity="warn")))
    mixed = CheckOutcome("suite", (*warned.results, result(passed=False)))

    assert (warned.passed, warned.blocks, warned.severity) == (False, False, "warn")
    assert (mixed.passed, mixed.blocks, mixed.severity) == (False, True, "error")


def test_a_passing_check_does_not_block_whatever_its_severity():
    passed = CheckOutcome("keys", (result(passed=True),))
    without_results = CheckOutcome("numbers", ())

    assert (passed.passed, passed.blocks, passed.sentence) == (True, False, "1 expectation held")
    assert (without_results.passed, without_results.sentence) == (True, "0 expectations held")


def test_a_failing_check_says_errors_before_warnings():
    outcome = CheckOutcome(
        "suite",
        (
            result(passed=False, severity="warn", said="odd"),
            result(passed=True, said="fine"),
            result(passed=False, said="broken"),
        ),
    )

    assert outcome.sentence == "broken; odd"


def test_rows_are_at_most_five_in_their_order():
    table = pa.table({"n": [9, 3, 0, 1, 2, 4]})

    assert [row["n"] for row in rows_as_json(table)] == [9, 3, 0, 1, 2]
    assert rows_as_json(table.slice(0, 0)) == ()


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (pa.array([float("nan")]), "nan"),
        (pa.array([-float("inf")]), "-inf"),
        (pa.array([1.5]), 1.5),
        (pa.array([2**63], pa.uint64()), 2**63),
        (pa.array([b"\x00\x01"]), "0001"),
        (pa.array([Decimal("1.10")]), "1.10"),
        (pa.array([date(2026, 3, 1)]), "2026-03-01"),
        (pa.array([time(12, 30)]), "12:30:00"),
        (pa.array([timedelta(hours=1)]), "1:00:00"),
        (pa.array([datetime(2026, 3, 1, tzinfo=UTC)], pa.timestamp("s", "Asia/Tokyo")),
         "2026-03-01T00:00:00Z"),
        (pa.array([2**58], pa.timestamp("us")), "11103-08-29T17:22:31.711744Z"),
        (pa.array([2**60], pa.timestamp("us")), "<value out of range: 1152921504606846976>"),
        (pa.array([[2**60]], pa.list_(pa.timestamp("us"))), "unreadable list<item: timestamp[us]>"),
        (pa.array([None], pa.timestamp("us")), None),
        (pa.array([[("a", 1.0)]], pa.map_(pa.string(), pa.float64())), [["a", 1.0]]),
        (pa.array([{"a": {"b": [float("inf")]}}]), {"a": {"b": ["inf"]}}),
        (pa.array(["x" * 300]), "x" * 199 + "…"),
        (pa.array([list(range(25))]), [*range(20), "and 5 more"]),
        (pa.array([UUID(int=1).bytes], pa.uuid()), str(UUID(int=1))),
    ],
    ids=str,
)  # fmt: skip
def test_every_arrow_type_has_a_form_that_json_can_hold(column: pa.Array, shown: object):
    (row,) = rows_as_json(pa.table({"x": column}))

    assert row == {"x": shown}
    json.dumps(row, allow_nan=False)


def test_observed_values_are_scalars_or_text():
    assert value_as_json(np.float64(1.5)) == 1.5
    assert type(value_as_json(np.int64(3))) is int
    assert value_as_json(np.float64("nan")) == "nan"
    assert value_as_json([np.int64(1), "a", None]) == '[1, "a", null]'
    assert value_as_json({"quantiles": [0.5]}) == '{"quantiles": [0.5]}'
    assert value_as_json(None) is None
