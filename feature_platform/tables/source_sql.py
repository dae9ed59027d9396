"""A source table's SQL, rendered for one window or many in the dialect of whoever runs it.

The SQL is DuckDB's and names its window by parameters: ``$window_start``, ``$window_end``, and
``$computed_at`` for the time of the build. SQLGlot reads it, replaces them and writes the dialect.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

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


def render(
    sql: str,
    window: Window,
    computed_at: datetime,
    dialect: SqlDialect = DUCKDB,
    *,
    name: str = "the source SQL",
) -> str:
    """The query for one window in a dialect, times as UTC literals.

    Args:
        sql: One DuckDB query, with ``$window_start``, ``$window_end`` and ``$computed_at``.
        window: What the parameters stand for.
        computed_at: When the window is computed, aware.
        dialect: The dialect to write.
        name: What errors call the SQL, such as its file.

    Raises:
        SourceError: The SQL does not parse, is not one query, names an unknown parameter, or cannot
            be written in the dialect; or ``computed_at`` is naive.
    """
    return generate(parsed_for(sql, window, computed_at, name), dialect, name)


def render_windows(
    sql: str,
    dialect: SqlDialect,
    windows: Sequence[Window],
    computed_at: datetime,
    number: str,
    *,
    name: str = "the source SQL",
) -> str:
    """One query for many windows: the rows of each, with its number in the column `number`.

    A dialect with LATERAL computes the query once per row of a list of windows; for any other the
    query is repeated for each window.

    Args:
        sql: As for `render`.
        dialect: The dialect to write.
        windows: At least one.
        computed_at: When the windows are computed, aware.
        number: The column's name.
        name: What errors call the SQL, such as its file.

    Raises:
        SourceError: As for `render`.
    """
    if not dialect.has_lateral:
        queries = [render(sql, each, computed_at, dialect, name=name) for each in windows]
        return " UNION ALL ".join(
            f"(SELECT {place} AS {number}, built.* FROM ({query}) AS built)"
            for place, query in enumerate(queries)
        )
    bounds = [exp.column(each, table="source_window") for each in ("starts", "ends")]
    query = _parsed(
        sql, name, [*(exp.cast(each, _INSTANT) for each in bounds), instant_of(computed_at)]
    )
    ends = ((instant_of(each.start), instant_of(each.end)) for each in windows)
    listed = ", ".join(
        f"({place}, {start.sql(dialect.name)}, {end.sql(dialect.name)})"
        for place, (start, end) in enumerate(ends)
    )
    return (
        f"SELECT source_window.{number}, built.* "
        f"FROM (VALUES {listed}) AS source_window({number}, starts, ends) "
        f"CROSS JOIN LATERAL ({generate(query, dialect, name)}) AS built"
    )


def columns_built(sql: str, dialect: SqlDialect, *, name: str = "the source SQL") -> dict[str, str]:
    """The columns that a source's SQL selects, each with its type in the dialect.

    Raises:
        SourceError: As for `render`, or a column has no name, or its type is unknown.
    """
    query = parsed_for(sql, None, None, name)
    return {column.output_name: type_of(column, name).sql(dialect.name) for column in query.selects}


def parsed_for(
    sql: str, window: Window | None, computed_at: datetime | None, name: str
) -> exp.Query:
    """The parsed query with its parameters replaced by times.

    Args:
        sql: As for `render`.
        window: None for what does not depend on a window.
        computed_at: Likewise.
        name: What errors call the SQL.

    Raises:
        SourceError: As for `render`.
    """
    window = window or _ANY_WINDOW
    computed_at = computed_at or _ANY_WINDOW.end
    if computed_at.utcoffset() is None:
        raise SourceError(
            name,
            f"computed_at {computed_at} has no time zone",
            "give an aware datetime, for example datetime.now(UTC)",
        )
    return _parsed(
        sql, name, [instant_of(each) for each in (window.start, window.end, computed_at)]
    )


def _parsed(sql: str, name: str, times: Sequence[exp.Expression]) -> exp.Query:
    """The parsed query with each of `PARAMETERS` replaced by an expression."""
    try:
        statements = [one for one in sqlglot.parse(sql, read="duckdb") if one is not None]
    except SqlglotError as error:
        raise SourceError(
            name, f"does not parse as DuckDB SQL: {first_line(error)}", "fix the SQL there"
        ) from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kinds = ", ".join(type(one).__name__.upper() for one in statements) or "nothing"
        raise SourceError(
            name, f"is not one query but {kinds}", "leave a single SELECT, helpers in its WITH"
        )
    values = dict(zip(PARAMETERS, times, strict=True))

    def replace(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, (exp.Placeholder, exp.Parameter)):
            return node
        if node.name not in values:
            known = ", ".join(f"${known}" for known in PARAMETERS)
            raise SourceError(
                name, f"unknown parameter '{node.sql('duckdb')}'", f"use one of {known}"
            )
        return values[node.name].copy()

    query: exp.Query = statements[0].transform(replace)
    return query


def generate(tree: exp.Expression, dialect: SqlDialect, name: str) -> str:
    """SQL text in a dialect.

    Raises:
        SourceError: The dialect cannot express it.
    """
    try:
        # Without comments, which mention the parameters that were replaced.
        text: str = tree.transform(dialect.rewrite).sql(
            dialect.name, pretty=True, comments=False, unsupported_level=ErrorLevel.RAISE
        )
    except SqlglotError as error:
        raise SourceError(
            name,
            f"cannot be written in {dialect.name}: {first_line(error)}",
            "write it with functions that both dialects have",
        ) from error
    return text


def type_of(column: exp.Expression, name: str) -> exp.DataType:
    """The type of a selected column.

    Raises:
        SourceError: The SQL does not say.
    """
    kind = annotate_types(column.copy(), dialect="duckdb").type
    if kind is None or kind.this in (exp.DataType.Type.UNKNOWN, exp.DataType.Type.NULL):
        raise SourceError(
            name,
            f"the type of column '{column.output_name}' is unknown",
            f"cast it: CAST(... AS BIGINT) AS {column.output_name}",
        )
    return kind.copy()


def instant_of(moment: datetime) -> exp.Cast:
    """An aware datetime as an expression."""
    return exp.cast(exp.Literal.string(moment.astimezone(UTC).isoformat(sep=" ")), _INSTANT)
