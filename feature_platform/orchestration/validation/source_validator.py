"""Validation of one window of a source table: the default checks, and the repo's own suite."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, WindowError
from feature_platform.orchestration.validation.check_declarations import ROW_COUNT, SUITE
from feature_platform.orchestration.validation.default_checks import (
    EXISTS,
    Expected,
    SourceSchema,
    expectations,
    row_count,
)
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
from feature_platform.orchestration.validation.row_tallies import CheckedRows, RowTally, tally


class SourceValidator:
    """Validates windows of one source, one after the other.

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
        rows: CheckedRows,
        window: Window,
        *,
        now: datetime,
        row_counts: Mapping[Window, int] | None = None,
        untimed: int | None = None,
    ) -> tuple[CheckOutcome, ...]:
        """Validate one window.

        The default checks are made in one pass over the rows, in constant memory. A suite is
        evaluated by Great Expectations on a data frame of the window.

        Args:
            rows: All rows of the window, by the source's column names. Times without a zone are
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
        columns = rows.schema
        _require_unambiguous(columns, self.schema.source)
        if now.utcoffset() is None:
            raise WindowError(
                f"window {window}",
                f"the present it is compared with, {now}, has no time zone",
                "give an aware datetime, for example datetime.now(UTC)",
            )
        now = now.astimezone(UTC)
        plan = expectations(columns, self.schema, window, now, untimed, self.suite)
        tests = {
            id(each): [
                RowTally(each.spec.columns[0], test, self.schema.identity) for test in each.tests
            ]
            for check in plan.values()
            for each in check
            if each.tests
        }
        count = tally(rows.batches(), [each for found in tests.values() for each in found])
        plan[ROW_COUNT] = row_count(usual_rows(window, row_counts or {}, self.min_rows), count)
        found = _Outcomes(rows, count, self.schema.identity)
        return tuple(
            CheckOutcome(
                check.name,
                tuple(self._suite(rows, expected, found))
                if check is SUITE
                else tuple(found.of(each, tests.get(id(each), ())) for each in expected),
            )
            for check, expected in plan.items()
        )

    def _suite(
        self, rows: CheckedRows, expected: Sequence[Expected], found: "_Outcomes"
    ) -> Iterator[ExpectationOutcome]:
        from feature_platform.orchestration.validation.expectation_frames import expectation_frame

        table = pa.Table.from_batches(rows.batches(), rows.schema)
        # A row condition may name any column, in several syntaxes.
        named = {name for each in expected for name in each.spec.columns}
        read = named | {each.name for each in rows.schema if not pt.is_nested(each.type)}
        specs = [each.spec for each in expected if each.result is None]
        results = iter(self._runner.run(expectation_frame(table, read), specs))
        for each in expected:
            result = each.result or next(results)
            places = pa.array(result.positions[:MAX_ROWS], pa.int64())
            yield found.outcome(each, result, table.take(places))


class _Outcomes:
    """Outcomes of expectations on one window."""

    def __init__(self, rows: CheckedRows, count: int, identity: Sequence[str]) -> None:
        self._rows = rows
        self._count = count
        self._identity = identity

    def of(self, each: Expected, tallies: Sequence[RowTally]) -> ExpectationOutcome:
        """The outcome of an expectation of a default check."""
        if each.result is not None:
            return self.outcome(each, each.result)
        if each.unique:
            count, some = self._rows.repeated(each.unique, MAX_ROWS)
            return self.outcome(each, self._counted(count), some)
        for tally_ in tallies:
            if tally_.count:
                test = tally_.test
                why = Expected(each.spec, test.expected, test.offence, each.observed)
                return self.outcome(why, self._counted(tally_.count), tally_.rows)
        return self.outcome(each, self._counted(0))

    def outcome(
        self, each: Expected, result: SpecResult, offenders: pa.Table | None = None
    ) -> ExpectationOutcome:
        """The outcome of an expectation, with at most five offending rows."""
        rows = rows_as_json(offenders) if offenders is not None and not result.passed else ()
        return ExpectationOutcome(
            expectation=each.spec.type,
            column=", ".join(each.spec.columns) or None,
            passed=result.passed,
            observed=_observed(each, result),
            expected=each.expected,
            sentence=_sentence(each, result, rows, self._identity),
            unexpected_count=result.unexpected,
            unexpected_rows=rows,
            severity=each.spec.severity,
        )

    def _counted(self, unexpected: int) -> SpecResult:
        return SpecResult(passed=not unexpected, counted=self._count, unexpected=unexpected)


def _require_unambiguous(columns: pa.Schema, source: str) -> None:
    names = columns.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"source '{source}'",
            f"has more than one column '{twice[0]}'",
            "give each column of the table or query a name of its own",
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
