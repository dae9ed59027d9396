"""Validation of one window of a source table with Great Expectations."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, WindowError
from feature_platform.orchestration.validation.arrow_types import unpacked
from feature_platform.orchestration.validation.default_checks import (
    EXISTS,
    UNIQUE,
    UNIQUE_TOGETHER,
    Expected,
    SourceSchema,
    expectations,
)
from feature_platform.orchestration.validation.expectation_frames import expectation_frame
from feature_platform.orchestration.validation.gx import (
    ExpectationRunner,
    ExpectationSpec,
    SpecResult,
)
from feature_platform.orchestration.validation.outcomes import (
    MAX_ROWS,
    CheckOutcome,
    ExpectationOutcome,
    rows_as_json,
    value_as_json,
)
from feature_platform.orchestration.validation.row_counts import usual_rows


class SourceValidator:
    """Validates windows of one source, one after the other, in one Great Expectations context.

    Holds no data between windows. Not for use by several threads.

    Args:
        schema: The columns that Feast declares.
        suite: The repo's own expectations, from `load_suite`; may be empty.
        min_rows: Minimum number of rows of a window; None derives it from earlier windows, see
            `feature_platform.orchestration.validation.row_counts.usual_rows`.
    """

    def __init__(
        self,
        schema: SourceSchema,
        suite: Sequence[ExpectationSpec] = (),
        *,
        min_rows: int | None = None,
    ) -> None:
        self.schema = schema
        self.suite = tuple(suite)
        self.min_rows = min_rows
        self._runner = ExpectationRunner()

    def validate(
        self,
        frame: pa.Table,
        window: Window,
        *,
        now: datetime,
        row_counts: Mapping[Window, int] | None = None,
        untimed: int | None = None,
    ) -> tuple[CheckOutcome, ...]:
        """Validate one window.

        Args:
            frame: All rows of the window, by the source's column names. Times without a zone are
                UTC.
            window: The half-open window of event time that the rows should lie in.
            now: The present, aware; a later event time is in the future.
            row_counts: Row counts of other windows of the source, as far as known.
            untimed: Rows of the whole source without an event time; None if not counted.

        Returns:
            One outcome per check of a source, in the order of `SOURCE_CHECKS`. A fault of the data
            is an outcome, not an error.

        Raises:
            WindowError: `now` has no time zone.
            SourceError: Two columns of the table have the same name, or the schema names a type
                that Feast does not have.
        """
        _require_unambiguous(frame, self.schema.source)
        if now.utcoffset() is None:
            raise WindowError(
                f"window {window}",
                f"the present it is compared with, {now}, has no time zone",
                "give an aware datetime, for example datetime.now(UTC)",
            )
        usual = usual_rows(window, row_counts or {}, self.min_rows)
        now = now.astimezone(UTC)
        plan = expectations(frame, self.schema, window, now, untimed, usual, self.suite)
        # Great Expectations evaluates those of all checks in one run.
        everything = chain.from_iterable(plan.values())
        specs = [each.spec for each in everything if each.result is None]
        contents = expectation_frame(frame, self._contents(frame, specs))
        results = iter(self._runner.run(contents, specs))
        return tuple(
            CheckOutcome(
                check.name,
                tuple(
                    _outcome(frame, self.schema.identity, each, each.result or next(results))
                    for each in expected
                ),
            )
            for check, expected in plan.items()
        )

    def _contents(self, frame: pa.Table, specs: Sequence[ExpectationSpec]) -> set[str]:
        """The columns whose values an expectation may read."""
        read = {name for spec in specs if spec.type != EXISTS for name in spec.columns}
        if self.suite:
            # A row condition may name any column, in several syntaxes.
            read |= {field.name for field in frame.schema if not pt.is_nested(field.type)}
        return read


def _require_unambiguous(frame: pa.Table, source: str) -> None:
    names = frame.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"source '{source}'",
            f"has more than one column '{twice[0]}'",
            "give each column of the table or query a name of its own",
        )


def _outcome(
    frame: pa.Table, identity: Sequence[str], each: Expected, result: SpecResult
) -> ExpectationOutcome:
    positions = result.positions
    if positions and each.spec.type in {UNIQUE, UNIQUE_TOGETHER}:
        positions = _with_twins(frame, each.spec.columns, positions)
    rows = rows_as_json(frame, positions) if not result.passed else ()
    return ExpectationOutcome(
        expectation=each.spec.type,
        column=", ".join(each.spec.columns) or None,
        passed=result.passed,
        observed=_observed(each, result),
        expected=each.expected,
        sentence=_sentence(each, result, rows, identity),
        unexpected_count=result.unexpected,
        unexpected_rows=rows,
        severity=each.spec.severity,
    )


def _observed(each: Expected, result: SpecResult) -> Any:
    if result.passed and each.spec.type == EXISTS:
        return "it is there"
    if each.observed is not None:
        return each.observed
    if result.observed is not None or result.counted is None:
        return value_as_json(result.observed)
    return f"{result.unexpected} of {result.counted} rows {each.offence}"


def _sentence(
    each: Expected,
    result: SpecResult,
    rows: Sequence[Mapping[str, Any]],
    identity: Sequence[str],
) -> str:
    subject = ", ".join(each.spec.columns) or "table"
    start = f"{subject}: {each.spec.type}"
    if result.passed:
        return f"{start} held"
    if result.exception:
        return f"{start} failed: {result.exception}"
    if result.counted is None:
        return f"{start} failed: found {_observed(each, result)}, expected {each.expected}"
    # The columns that identify the row and offend; the outcome holds the whole rows.
    shown = dict.fromkeys([*identity, *each.spec.columns])
    found = {name: rows[0][name] for name in shown if name in rows[0]} if rows else {}
    example = f", e.g. {json.dumps(found or dict(rows[0]), ensure_ascii=False)}" if rows else ""
    count = f"{result.unexpected} of {result.counted} rows"
    return f"{start} failed: {count} {each.offence}{example}"


def _with_twins(
    frame: pa.Table, columns: Sequence[str], positions: Sequence[int]
) -> tuple[int, ...]:
    """The offending rows, each followed by the rows that equal it in `columns`."""
    shown: list[int] = []
    for position in positions:
        if position in shown or len(shown) >= MAX_ROWS:
            continue
        same = np.ones(frame.num_rows, np.bool_)
        for name in columns:
            column = unpacked(frame.column(name))
            value = column[position]
            match = pc.is_null(column) if not value.is_valid else pc.equal(column, value)
            same &= pc.fill_null(match, fill_value=False).to_numpy()
        shown += [int(row) for row in np.flatnonzero(same)]
    return tuple(shown[:MAX_ROWS])
