"""The expectations of the default checks, as the Feast schema implies them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from feature_platform.core.future_tolerance import FUTURE_TOLERANCE
from feature_platform.core.windows import Window
from feature_platform.orchestration.validation.arrow_types import (
    FLOAT32_MAX,
    FLOAT64_MAX,
    FeastType,
    Mask,
    feast_type,
    holds_floats,
    is_instant,
    is_null,
    is_text,
    not_between,
    not_finite,
    not_json,
    unpacked_type,
    value_rules,
)
from feature_platform.orchestration.validation.check_declarations import (
    EVENT_TIME,
    KEYS,
    NUMBERS,
    ROW_COUNT,
    SCHEMA,
    SUITE,
    CheckDeclaration,
)
from feature_platform.orchestration.validation.gx import ExpectationSpec, SpecResult
from feature_platform.orchestration.validation.row_counts import UsualRows

IN_TYPE_LIST = "expect_column_values_to_be_in_type_list"
BETWEEN = "expect_column_values_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"
UNIQUE = "expect_column_values_to_be_unique"
UNIQUE_TOGETHER = "expect_compound_columns_to_be_unique"
EXISTS = "expect_column_to_exist"
JSON = "expect_column_values_to_be_json_parseable"
ROWS_BETWEEN = "expect_table_row_count_to_be_between"


@dataclass(frozen=True)
class SourceSchema:
    """The columns of a source table that Feast declares, by the table's own column names.

    Attributes:
        source: Name of the source.
        join_keys: Columns of the entity keys; empty for views without entities.
        timestamp_field: Column of the event time.
        created_timestamp_column: Column of the created time, or None.
        columns: Each column that feature views take, and the name of its Feast type, such as
            ``Int64`` or ``Array(String)``.
        future_tolerance: How far ahead of the present an event time may be.
    """

    source: str
    join_keys: tuple[str, ...]
    timestamp_field: str
    created_timestamp_column: str | None
    columns: tuple[tuple[str, str], ...] | Mapping[str, str]
    future_tolerance: timedelta = FUTURE_TOLERANCE

    @cached_property
    def types(self) -> Mapping[str, FeastType]:
        """Feast type of every column: keys first, then times, then the rest."""
        declared = {name: feast_type(kind) for name, kind in dict(self.columns).items()}
        first = dict.fromkeys(self.join_keys, FeastType("Invalid", "Invalid"))
        first |= dict.fromkeys(self.times, FeastType("UnixTimestamp", "UnixTimestamp"))
        return {**first, **declared}

    @property
    def times(self) -> tuple[str, ...]:
        """The columns of the event time and, if declared, of the created time."""
        created = self.created_timestamp_column
        return (self.timestamp_field, created) if created else (self.timestamp_field,)

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that identify a row: keys and times."""
        return tuple(dict.fromkeys([*self.join_keys, *self.times]))


@dataclass(frozen=True)
class RowTest:
    """A test of each row by one of its columns.

    Attributes:
        test: True for each offending row of the column's values, without dictionary encoding.
        offence: What offending rows are, to follow "3 of 120 rows".
        expected: What is expected, in a few words.
    """

    test: Callable[[pa.Array], Mask]
    offence: str
    expected: str


@dataclass(frozen=True)
class Expected:
    """One expectation of a check, and how it is evaluated.

    Attributes:
        spec: The expectation.
        expected: What it expects, in a few words.
        offence: What offending rows are, to follow "3 of 120 rows".
        observed: What was looked at, if the result does not have it.
        result: The verdict, if the columns of the window suffice for it.
        tests: Tests of its column. It fails if one finds a row; the first that does says why.
        unique: Columns that no two rows have in common.
    """

    spec: ExpectationSpec
    expected: str
    offence: str = "unexpected"
    observed: str | None = None
    result: SpecResult | None = None
    tests: tuple[RowTest, ...] = ()
    unique: tuple[str, ...] = ()


def expectations(  # noqa: PLR0917
    columns: pa.Schema,
    schema: SourceSchema,
    window: Window,
    now: datetime,
    untimed: int | None,
    suite: Sequence[ExpectationSpec],
) -> dict[CheckDeclaration, list[Expected]]:
    """The expectations of each check of a source on one window, but for its number of rows.

    Args:
        columns: The columns of the window.
        schema: The columns that Feast declares.
        window: The half-open window.
        now: The present, in UTC.
        untimed: Rows of the whole source without an event time; None if not counted.
        suite: The repo's own expectations; without any there is no check of them.
    """
    expected = {
        SCHEMA: _schema(columns, schema),
        KEYS: _keys(columns, schema),
        EVENT_TIME: _event_time(
            columns, schema.timestamp_field, window, now + schema.future_tolerance, untimed
        ),
        NUMBERS: _numbers(columns, schema),
        ROW_COUNT: iter(()),
        **({SUITE: _suite(columns, suite)} if suite else {}),
    }
    return {check: list(each) for check, each in expected.items()}


def row_count(usual: UsualRows, rows: int) -> list[Expected]:
    """The window has enough rows; far more than usual only warn."""
    said = f" (usual: {usual.usual})" if usual.usual else ""
    remedy = f"; if {rows} is right, set the source's tag dagster/min_rows: {rows}"
    wanted = f"at least {usual.least} row{'' if usual.least == 1 else 's'}{said}"
    least = Expected(
        ExpectationSpec(ROWS_BETWEEN, {"min_value": usual.least}),
        f"{wanted}{remedy if rows < usual.least else ''}",
        result=SpecResult(passed=rows >= usual.least, observed=rows),
    )
    if usual.most is None:
        return [least]
    most = Expected(
        ExpectationSpec(ROWS_BETWEEN, {"max_value": usual.most}, severity="warn"),
        f"at most {usual.most} rows{said}",
        result=SpecResult(passed=rows <= usual.most, observed=rows),
    )
    return [least, most]


def _schema(columns: pa.Schema, schema: SourceSchema) -> Iterator[Expected]:
    """Columns exist, with types and values that fit the declared Feast types."""
    present = ", ".join(columns.names)
    for name, declared in schema.types.items():
        exists = name in columns.names
        yield Expected(
            ExpectationSpec(EXISTS, {"column": name}),
            f"a column '{name}'",
            observed=f"the columns {present}",
            result=SpecResult(passed=exists),
        )
        if not exists:
            continue
        yield _typed(name, columns.field(name).type, declared, schema)
        if declared.base in {"Json", "Map", "Struct"} and is_text(_kind(columns, name)):
            spec = ExpectationSpec(JSON, {"column": name})
            yield _on_column(columns, spec, RowTest(not_json, "not JSON", "JSON"))


def _keys(columns: pa.Schema, schema: SourceSchema) -> Iterator[Expected]:
    """Keys are not null; keys, event time and created time are unique together."""
    for key in schema.join_keys:
        spec = ExpectationSpec(NOT_NULL, {"column": key})
        yield _on_column(columns, spec, RowTest(is_null, "null", "a key"))
    identity = schema.identity
    spec = (
        ExpectationSpec(UNIQUE, {"column": identity[0]})
        if len(identity) == 1
        # "never": rows without a created time are ambiguous too.
        else ExpectationSpec(
            UNIQUE_TOGETHER, {"column_list": list(identity), "ignore_row_if": "never"}
        )
    )
    problems = [_missing(columns, name) for name in identity if name not in columns.names] or [
        f"column '{name}' is of type {columns.field(name).type}, which cannot be compared"
        for name in identity
        if pt.is_nested(_kind(columns, name))
    ]
    yield Expected(
        spec,
        f"{' and '.join(identity)} unique{' together' if len(identity) > 1 else ''}",
        "not unique",
        result=_failed(problems[0]) if problems else None,
        unique=identity,
    )


def _event_time(
    columns: pa.Schema, name: str, window: Window, latest: datetime, untimed: int | None
) -> Iterator[Expected]:
    """Event times are not null, inside the half-open window, and not in the future.

    Rows of the whole source without an event time, `untimed`, only warn: their window can't be
    determined.
    """
    if untimed is not None:
        yield Expected(
            ExpectationSpec(NOT_NULL, {"column": name}, severity="warn"),
            "none in the whole source",
            observed=f"{untimed} rows of the source without an event time",
            result=SpecResult(passed=not untimed),
        )
    bounds = {"column": name, "min_value": window.start, "max_value": window.end}
    inside = ExpectationSpec(BETWEEN, {**bounds, "strict_max": True})
    if name in columns.names and not _may_be_instant(_kind(columns, name)):
        wrong = _failed(f"it is of type {_kind(columns, name)}, not a timestamp")
        yield Expected(inside, f"inside {window}", result=wrong)
        return
    not_null = ExpectationSpec(NOT_NULL, {"column": name})
    yield _on_column(columns, not_null, RowTest(is_null, "null", "an event time"))
    outside = partial(_times_not_between, low=window.start, high=window.end, closed=False)
    within = RowTest(outside, f"outside {window}", f"inside {window}")
    yield _on_column(columns, inside, within)
    past = ExpectationSpec(BETWEEN, {"column": name, "max_value": latest})
    later = partial(_times_not_between, low=None, high=latest, closed=True)
    moment = latest.isoformat(timespec="seconds")
    yield _on_column(columns, past, RowTest(later, "in the future", f"not after {moment}"))


def _numbers(columns: pa.Schema, schema: SourceSchema) -> Iterator[Expected]:
    """Floating-point numbers are finite, including in lists; nulls are allowed."""
    for name, declared in schema.types.items():
        base = _leaf(declared).base
        narrow = base == "Float32"
        limit = FLOAT32_MAX if narrow else FLOAT64_MAX
        spec = ExpectationSpec(BETWEEN, {"column": name, "min_value": -limit, "max_value": limit})
        expected = "finite, also as Float32" if narrow else "finite"
        offence = "NaN, infinite or beyond Float32" if narrow else "NaN or infinite"
        test = partial(not_finite, limit=limit)
        kind = _kind(columns, name) if name in columns.names else None
        if pt.is_floating(kind) if kind is not None else base in {"Float32", "Float64"}:
            yield _on_column(columns, spec, RowTest(test, offence, expected))
        elif kind is not None and holds_floats(kind):
            in_lists = RowTest(test, f"with elements {offence}", f"elements {expected}")
            yield _on_column(columns, spec, in_lists)


def _suite(columns: pa.Schema, suite: Sequence[ExpectationSpec]) -> Iterator[Expected]:
    """The repo's own expectations, which Great Expectations evaluates."""
    for spec in suite:
        named = {"column", "column_A", "column_B", "column_list"}
        wanted = [f"{key}={value}" for key, value in spec.kwargs.items() if key not in named]
        words = "; ".join(filter(None, [", ".join(wanted), spec.description]))
        missing = [name for name in spec.columns if name not in columns.names]
        said = missing and spec.type != EXISTS
        yield Expected(
            spec,
            words or spec.type,
            f"against {words}" if words else "unexpected",
            f"the columns {', '.join(columns.names)}" if spec.type == EXISTS else None,
            _failed(_missing(columns, missing[0])) if said else None,
        )


def _on_column(columns: pa.Schema, spec: ExpectationSpec, test: RowTest) -> Expected:
    """An expectation on one column; it has failed if the column is missing."""
    (name,) = spec.columns
    if name in columns.names:
        return Expected(spec, test.expected, test.offence, tests=(test,))
    missing = _failed(_missing(columns, name))
    return Expected(spec, test.expected, test.offence, result=missing)


def _typed(name: str, kind: pa.DataType, declared: FeastType, schema: SourceSchema) -> Expected:
    plain = unpacked_type(kind)
    wrong_time = name in schema.times and not is_instant(plain)
    if wrong_time or (name in schema.join_keys and pt.is_null(plain)):
        # A feature may be null in every row, a key may not; event times are compared as times.
        expected = "timestamps or dates" if wrong_time else f"keys of type {declared.name}"
        tests = [RowTest(_every_row, f"of type {plain}, expected {expected}", expected)]
    else:
        tests = [
            RowTest(rule.test, f"{rule.problem}, expected {rule.expected}", rule.expected)
            for rule in value_rules(plain, declared)
        ]
    spec = ExpectationSpec(IN_TYPE_LIST, {"column": name})
    return Expected(spec, declared.name, observed=f"type {kind}", tests=tuple(tests))


def _every_row(values: pa.Array) -> Mask:
    return np.ones(len(values), np.bool_)


def _times_not_between(
    values: pa.Array, low: datetime | None, high: datetime, *, closed: bool
) -> Mask:
    if pt.is_null(values.type):
        return np.zeros(len(values), np.bool_)
    return not_between(values, low, high, closed=closed)


def _may_be_instant(kind: pa.DataType) -> bool:
    return is_instant(kind) or pt.is_null(kind)


def _kind(columns: pa.Schema, name: str) -> pa.DataType:
    return unpacked_type(columns.field(name).type)


def _missing(columns: pa.Schema, name: str) -> str:
    return f"column '{name}' is missing; there are {', '.join(columns.names)}"


def _failed(exception: str) -> SpecResult:
    return SpecResult(passed=False, exception=exception)


def _leaf(declared: FeastType) -> FeastType:
    return declared if declared.item is None else _leaf(declared.item)
