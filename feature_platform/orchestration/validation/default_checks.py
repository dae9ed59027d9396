"""The expectations of the default checks, as the Feast schema implies them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from feature_platform.core.windows import Window
from feature_platform.orchestration.validation.arrow_types import (
    FLOAT32_MAX,
    FLOAT64_MAX,
    FeastType,
    Mask,
    by_chunk,
    feast_type,
    holds_floats,
    is_instant,
    is_text,
    misfit,
    not_finite,
    unpacked,
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
from feature_platform.orchestration.validation.outcomes import MAX_ROWS
from feature_platform.orchestration.validation.row_counts import UsualRows

IN_TYPE_LIST = "expect_column_values_to_be_in_type_list"
BETWEEN = "expect_column_values_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"
UNIQUE = "expect_column_values_to_be_unique"
UNIQUE_TOGETHER = "expect_compound_columns_to_be_unique"
EXISTS = "expect_column_to_exist"
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
    """

    source: str
    join_keys: tuple[str, ...]
    timestamp_field: str
    created_timestamp_column: str | None
    columns: tuple[tuple[str, str], ...] | Mapping[str, str]

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
class Expected:
    """One expectation of a check.

    Attributes:
        spec: The expectation.
        expected: What it expects, in a few words.
        offence: What offending rows are, to follow "3 of 120 rows".
        observed: What was looked at, if Great Expectations does not report it.
        result: The verdict, if it needs no Great Expectations: on Arrow types, which pandas does
            not have, on elements of lists, and on missing columns.
    """

    spec: ExpectationSpec
    expected: str
    offence: str = "unexpected"
    observed: str | None = None
    result: SpecResult | None = None


def expectations(  # noqa: PLR0917
    table: pa.Table,
    schema: SourceSchema,
    window: Window,
    now: datetime,
    untimed: int | None,
    usual: UsualRows,
    suite: Sequence[ExpectationSpec],
) -> dict[CheckDeclaration, list[Expected]]:
    """The expectations of each check of a source on one window.

    Args:
        table: The rows of the window.
        schema: The columns that Feast declares.
        window: The half-open window.
        now: Later event times are in the future; in UTC.
        untimed: Rows of the whole source without an event time; None if not counted.
        usual: How many rows the window should have.
        suite: The repo's own expectations; without any there is no check of them.
    """
    expected = {
        SCHEMA: _schema(table, schema),
        KEYS: _keys(table, schema),
        EVENT_TIME: _event_time(table, schema.timestamp_field, window, now, untimed),
        NUMBERS: _numbers(table, schema),
        ROW_COUNT: _row_count(usual),
        **({SUITE: _suite(table, suite)} if suite else {}),
    }
    return {check: list(each) for check, each in expected.items()}


def _schema(table: pa.Table, schema: SourceSchema) -> Iterator[Expected]:
    """Columns exist, with types and values that fit the declared Feast types."""
    present = ", ".join(table.column_names)
    for name, declared in schema.types.items():
        yield Expected(
            ExpectationSpec(EXISTS, {"column": name}),
            f"a column '{name}'",
            observed=f"the columns {present}",
        )
        if name not in table.column_names:
            continue
        column = table.column(name)
        yield _typed(name, column, declared, schema)
        kind = unpacked(column).type
        if declared.base in {"Json", "Map", "Struct"} and is_text(kind):
            yield Expected(
                ExpectationSpec("expect_column_values_to_be_json_parseable", {"column": name}),
                "JSON",
                "not JSON",
            )


def _keys(table: pa.Table, schema: SourceSchema) -> Iterator[Expected]:
    """Keys are not null; keys, event time and created time are unique together."""
    for key in schema.join_keys:
        yield _on_column(table, ExpectationSpec(NOT_NULL, {"column": key}), "a key", "null")
    identity = schema.identity
    spec = (
        ExpectationSpec(UNIQUE, {"column": identity[0]})
        if len(identity) == 1
        # "never": rows without a created time are ambiguous too.
        else ExpectationSpec(
            UNIQUE_TOGETHER, {"column_list": list(identity), "ignore_row_if": "never"}
        )
    )
    nested = [
        f"column '{name}' is of type {table.column(name).type}, which cannot be compared"
        for name in identity
        if name in table.column_names and pt.is_nested(unpacked(table.column(name)).type)
    ]
    expected = f"{' and '.join(identity)} unique{' together' if len(identity) > 1 else ''}"
    if nested:
        yield Expected(spec, expected, result=_failed(nested[0]))
    else:
        yield _on_column(table, spec, expected, "not unique")


def _event_time(
    table: pa.Table, name: str, window: Window, now: datetime, untimed: int | None
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
    inside = ExpectationSpec(
        BETWEEN,
        {"column": name, "min_value": window.start, "max_value": window.end, "strict_max": True},
    )
    if name in table.column_names:
        kind = unpacked(table.column(name)).type
        if len(table) and not is_instant(kind):
            wrong = _failed(f"it is of type {kind}, not a timestamp")
            yield Expected(inside, f"inside {window}", result=wrong)
            return
    not_null = ExpectationSpec(NOT_NULL, {"column": name})
    yield _on_column(table, not_null, "an event time", "null")
    yield _on_column(table, inside, f"inside {window}", f"outside {window}")
    past = ExpectationSpec(BETWEEN, {"column": name, "max_value": now})
    moment = now.isoformat(timespec="seconds")
    yield _on_column(table, past, f"not after {moment}", "in the future")


def _numbers(table: pa.Table, schema: SourceSchema) -> Iterator[Expected]:
    """Floating-point numbers are finite, including in lists; nulls are allowed."""
    for name, declared in schema.types.items():
        base = _leaf(declared).base
        narrow = base == "Float32"
        limit = FLOAT32_MAX if narrow else FLOAT64_MAX
        spec = ExpectationSpec(BETWEEN, {"column": name, "min_value": -limit, "max_value": limit})
        expected = "finite, also as Float32" if narrow else "finite"
        offence = "NaN, infinite or beyond Float32" if narrow else "NaN or infinite"
        column = unpacked(table.column(name)) if name in table.column_names else None
        if pt.is_floating(column.type) if column is not None else base in {"Float32", "Float64"}:
            yield _on_column(table, spec, expected, offence)
        elif column is not None and holds_floats(column.type):
            rows = by_chunk(column, partial(not_finite, limit=limit))
            offence = f"with elements {offence}"
            yield Expected(spec, f"elements {expected}", offence, result=_verdict(rows))


def _row_count(usual: UsualRows) -> Iterator[Expected]:
    """The window has enough rows; far more than usual only warn."""
    said = f" (usual: {usual.usual})" if usual.usual else ""
    yield Expected(
        ExpectationSpec(ROWS_BETWEEN, {"min_value": usual.least}),
        f"at least {usual.least} row{'' if usual.least == 1 else 's'}{said}",
    )
    if usual.most is not None:
        yield Expected(
            ExpectationSpec(ROWS_BETWEEN, {"max_value": usual.most}, severity="warn"),
            f"at most {usual.most} rows{said}",
        )


def _suite(table: pa.Table, suite: Sequence[ExpectationSpec]) -> Iterator[Expected]:
    """The repo's own expectations."""
    for spec in suite:
        named = {"column", "column_A", "column_B", "column_list"}
        wanted = [f"{key}={value}" for key, value in spec.kwargs.items() if key not in named]
        words = "; ".join(filter(None, [", ".join(wanted), spec.description]))
        offence = f"against {words}" if words else "unexpected"
        expected = _on_column(table, spec, words or spec.type, offence)
        present = f"the columns {', '.join(table.column_names)}" if spec.type == EXISTS else None
        yield replace(expected, observed=present)


def _on_column(table: pa.Table, spec: ExpectationSpec, expected: str, offence: str) -> Expected:
    """An expectation on columns; it has failed if one of them is missing."""
    missing = [name for name in spec.columns if name not in table.column_names]
    if not missing or spec.type == EXISTS:
        return Expected(spec, expected, offence)
    said = f"column '{missing[0]}' is missing; there are {', '.join(table.column_names)}"
    return Expected(spec, expected, offence, result=_failed(said))


def _typed(
    name: str, column: pa.ChunkedArray, declared: FeastType, schema: SourceSchema
) -> Expected:
    kind = unpacked(column).type
    spec = ExpectationSpec(IN_TYPE_LIST, {"column": name})
    observed = f"type {column.type}"
    wrong_time = name in schema.times and not is_instant(kind)
    if len(column) and (wrong_time or (name in schema.join_keys and pt.is_null(kind))):
        # A feature may be null in every row, a key may not; event times are compared as times.
        expected = "timestamps or dates" if wrong_time else f"keys of type {declared.name}"
        everywhere = replace(_verdict(np.ones(len(column), np.bool_)), passed=False)
        offence = f"of type {kind}, expected {expected}"
        return Expected(spec, expected, offence, observed, everywhere)
    found = misfit(column, declared)
    if found is None:
        fits = _verdict(np.zeros(len(column), np.bool_))
        return Expected(spec, declared.name, observed=observed, result=fits)
    offence = f"{found.problem}, expected {found.expected}"
    return Expected(spec, found.expected, offence, observed, _verdict(found.rows))


def _failed(exception: str) -> SpecResult:
    return SpecResult(passed=False, exception=exception)


def _verdict(rows: Mask) -> SpecResult:
    positions = np.flatnonzero(rows)
    return SpecResult(
        passed=not len(positions),
        counted=len(rows),
        unexpected=len(positions),
        positions=tuple(int(row) for row in positions[:MAX_ROWS]),
    )


def _leaf(declared: FeastType) -> FeastType:
    return declared if declared.item is None else _leaf(declared.item)
