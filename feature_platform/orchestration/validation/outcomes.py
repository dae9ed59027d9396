"""Outcomes of checks: expectation, column, observed value, and offending rows."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Literal

import numpy as np
import pyarrow as pa

Severity = Literal["error", "warn"]

MAX_ROWS = 5
_MAX_TEXT = 200
_MAX_ITEMS = 20


@dataclass(frozen=True)
class ExpectationOutcome:
    """One expectation on one window.

    Attributes:
        expectation: Its Great Expectations name, such as ``expect_column_values_to_not_be_null``.
        column: The column, or several joined by a comma; None for an expectation on the table.
        observed: A JSON scalar, or text for several values.
        unexpected_count: Number of offending rows; 0 for an expectation on an aggregate.
        unexpected_rows: At most five of them, whole, with values that JSON can hold.
        severity: ``error`` blocks the window, ``warn`` does not.
    """

    expectation: str
    column: str | None
    passed: bool
    observed: Any
    expected: str
    sentence: str
    unexpected_count: int = 0
    unexpected_rows: tuple[Mapping[str, Any], ...] = ()
    severity: Severity = "error"


@dataclass(frozen=True)
class CheckOutcome:
    """The expectations that make up one check, on one window."""

    name: str
    results: tuple[ExpectationOutcome, ...]

    @property
    def severity(self) -> Severity:
        """``warn`` if every failure is a warning; else ``error``."""
        return "warn" if {each.severity for each in self.failures} == {"warn"} else "error"

    @property
    def failures(self) -> tuple[ExpectationOutcome, ...]:
        """The expectations that did not hold, errors before warnings."""
        failed = (result for result in self.results if not result.passed)
        return tuple(sorted(failed, key=lambda result: result.severity))

    @property
    def passed(self) -> bool:
        """Whether all expectations held, including those that only warn."""
        return not self.failures

    @property
    def blocks(self) -> bool:
        """Whether the window must not be served."""
        return not self.passed and self.severity == "error"

    @property
    def sentence(self) -> str:
        """The sentences of the failures; without any, how many expectations held."""
        if not self.passed:
            return "; ".join(result.sentence for result in self.failures)
        count = len(self.results)
        return f"{count} expectation{'' if count == 1 else 's'} held"


def rows_as_json(table: pa.Table) -> tuple[dict[str, Any], ...]:
    """The first five rows of a table, as JSON can hold them.

    NaN and infinities become text, times ISO 8601 in UTC, bytes hexadecimal; text over 200
    characters and collections over 20 items are cut.
    """
    cells = [_cells(column) for column in table.slice(0, MAX_ROWS).columns]
    return tuple(
        dict(zip(table.column_names, row, strict=True)) for row in zip(*cells, strict=True)
    )


def value_as_json(value: Any) -> Any:
    """An observed value as a JSON scalar; a collection as text."""
    plain = _plain(value)
    if isinstance(plain, dict | list):
        return _cut(json.dumps(plain, ensure_ascii=False))
    return plain


def _cells(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        # By Arrow, since Python's datetime ends with the year 9999.
        texts = column.cast(pa.timestamp(kind.unit)).cast(pa.string()).to_pylist()
        # Past the year 32767 Arrow gives "<value out of range: ...>".
        return [f"{text.replace(' ', 'T')}Z" if text and text[0] != "<" else text for text in texts]
    try:
        return [_plain(value) for value in column.to_pylist()]
    except (ValueError, OverflowError):
        return [f"unreadable {kind}"] * len(column)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | date | time):
        return _cut(value.hex() if isinstance(value, bytes) else value.isoformat())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in list(value.items())[:_MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item) for item in list(value)[:_MAX_ITEMS]]
        return items + ([f"and {len(value) - _MAX_ITEMS} more"] if len(value) > _MAX_ITEMS else [])
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
