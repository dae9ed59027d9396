"""A source table's SQL, rendered for one window or many in DuckDB's or a warehouse's dialect."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, first_line
from feature_platform.sources.sql.sql_dialect import DUCKDB, SqlDialect

PARAMETERS = ("window_start", "window_end", "computed_at")

_INSTANT = exp.DataType.Type.TIMESTAMPTZ

# For what does not depend on a window, such as column types.
_ANY_WINDOW = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC))


@dataclass(frozen=True)
class SourceSql:
    """One DuckDB query that names its window by ``$window_start`` and ``$window_end``.

    ``$computed_at`` stands for the time of the build. SQLGlot replaces the parameters and writes
    the dialect. Methods raise a `SourceError` if the SQL does not parse, is not one query, names an
    unknown parameter, or cannot be written in the dialect; or if ``computed_at`` is naive.

    Attributes:
        text: The query.
        name: What errors call it, such as its file.
    """

    text: str
    name: str = "the source SQL"

    @classmethod
    def read(cls, path: Path) -> "SourceSql":
        """The SQL in a file.

        Raises:
            SourceError: The file cannot be read.
        """
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"source SQL '{path}'",
                f"cannot be read: {error}",
                "name the file after the Feast batch source it builds, in the repo's sql/",
            ) from error

    def render(self, window: Window, computed_at: datetime, dialect: SqlDialect = DUCKDB) -> str:
        """The query for one window, times as UTC literals."""
        return self.generate(self.parsed(window, computed_at), dialect)

    def render_windows(
        self, windows: Sequence[Window], computed_at: datetime, dialect: SqlDialect, number: str
    ) -> str:
        """One query for many windows: the rows of each, with its number in the column `number`.

        A dialect with LATERAL computes the query once per row of a list of windows; for any other
        the query is repeated for each window.
        """
        if not dialect.has_lateral:
            queries = [self.render(each, computed_at, dialect) for each in windows]
            return " UNION ALL ".join(
                f"(SELECT {place} AS {number}, built.* FROM ({query}) AS built)"
                for place, query in enumerate(queries)
            )
        bounds = [exp.column(each, table="source_window") for each in ("starts", "ends")]
        query = self._parsed([*(exp.cast(each, _INSTANT) for each in bounds), instant(computed_at)])
        listed = ", ".join(
            f"({place}, {instant(each.start).sql(dialect.name)}, "
            f"{instant(each.end).sql(dialect.name)})"
            for place, each in enumerate(windows)
        )
        return (
            f"SELECT source_window.{number}, built.* "
            f"FROM (VALUES {listed}) AS source_window({number}, starts, ends) "
            f"CROSS JOIN LATERAL ({self.generate(query, dialect)}) AS built"
        )

    def columns(self, dialect: SqlDialect) -> dict[str, str]:
        """The columns that the query selects, each with its type in the dialect."""
        return {
            column.output_name: self.type_of(column).sql(dialect.name)
            for column in self.parsed().selects
        }

    def parsed(
        self, window: Window = _ANY_WINDOW, computed_at: datetime = _ANY_WINDOW.end
    ) -> exp.Query:
        """The query as a tree with its parameters replaced by times."""
        if computed_at.utcoffset() is None:
            raise SourceError(
                self.name,
                f"computed_at {computed_at} has no time zone",
                "give an aware datetime, for example datetime.now(UTC)",
            )
        return self._parsed([instant(each) for each in (window.start, window.end, computed_at)])

    def _parsed(self, times: Sequence[exp.Expression]) -> exp.Query:
        """The query as a tree with each of `PARAMETERS` replaced by an expression."""
        try:
            statements = [one for one in sqlglot.parse(self.text, read="duckdb") if one is not None]
        except SqlglotError as error:
            raise SourceError(
                self.name, f"does not parse as DuckDB SQL: {first_line(error)}", "fix the SQL there"
            ) from error
        if len(statements) != 1 or not isinstance(statements[0], exp.Query):
            kinds = ", ".join(type(one).__name__.upper() for one in statements) or "nothing"
            raise SourceError(
                self.name,
                f"is not one query but {kinds}",
                "leave a single SELECT, helpers in its WITH",
            )
        values = dict(zip(PARAMETERS, times, strict=True))

        def replace(node: exp.Expression) -> exp.Expression:
            if not isinstance(node, (exp.Placeholder, exp.Parameter)):
                return node
            if node.name not in values:
                known = ", ".join(f"${known}" for known in PARAMETERS)
                raise SourceError(
                    self.name, f"unknown parameter '{node.sql('duckdb')}'", f"use one of {known}"
                )
            return values[node.name].copy()

        query: exp.Query = statements[0].transform(replace)
        return query

    def generate(self, tree: exp.Expression, dialect: SqlDialect) -> str:
        """SQL text of a tree in a dialect."""
        try:
            # Without comments, which mention the parameters that were replaced.
            text: str = tree.transform(dialect.rewrite).sql(
                dialect.name, pretty=True, comments=False, unsupported_level=ErrorLevel.RAISE
            )
        except SqlglotError as error:
            raise SourceError(
                self.name,
                f"cannot be written in {dialect.name}: {first_line(error)}",
                "write it with functions that both dialects have",
            ) from error
        return text

    def type_of(self, column: exp.Expression) -> exp.DataType:
        """The type of a selected column, which the SQL must tell, as by a cast."""
        kind = annotate_types(column.copy(), dialect="duckdb").type
        if kind is None or kind.this in (exp.DataType.Type.UNKNOWN, exp.DataType.Type.NULL):
            raise SourceError(
                self.name,
                f"the type of column '{column.output_name}' is unknown",
                f"cast it: CAST(... AS BIGINT) AS {column.output_name}",
            )
        return kind.copy()


def instant(moment: datetime) -> exp.Cast:
    """An aware datetime as an expression."""
    return exp.cast(exp.Literal.string(moment.astimezone(UTC).isoformat(sep=" ")), _INSTANT)
