"""One source table's SQL for one window, or for many, in the dialect of whoever runs it.

The SQL is DuckDB's and names its window by parameters: ``$window_start``, ``$window_end``, and
``$computed_at`` for the time of the build. SQLGlot reads it, fills them in and writes the dialect
of whoever runs it.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

Dialect = Literal["duckdb", "bigquery", "postgres"]
DIALECTS: tuple[Dialect, ...] = ("duckdb", "bigquery", "postgres")
PARAMETERS = ("window_start", "window_end", "computed_at")

OUTSIDE = "event time outside of the window: "
"""What a warehouse's error says, before the event time, where a query gives such a row."""

_INSTANT = exp.DataType.Type.TIMESTAMPTZ

# For what does not depend on a window, such as a table's column types.
_ANY_WINDOW = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC))


def render(
    sql: str,
    dialect: Dialect,
    window: Window,
    computed_at: datetime,
    *,
    name: str = "the source SQL",
) -> str:
    """The query for one window in a warehouse's dialect, times as UTC literals.

    Args:
        sql: One DuckDB query, with ``$window_start``, ``$window_end`` and ``$computed_at``.
        dialect: Whose SQL to write.
        window: What the parameters stand for.
        computed_at: When the window is computed, aware.
        name: What errors call the SQL, such as its file.

    Raises:
        SourceError: The SQL does not parse, is not one query, names an unknown parameter, or says
            what the dialect cannot; or ``computed_at`` is naive.
    """
    return _generate(_filled(sql, window, computed_at, name), dialect, name)


def render_windows(
    sql: str,
    dialect: Dialect,
    windows: "Sequence[Window]",
    computed_at: datetime,
    number: str,
    *,
    name: str = "the source SQL",
) -> str:
    """One query for many windows: the rows of each, with its number in the column `number`.

    PostgreSQL computes the query once for each row of a list of windows. BigQuery has no such join,
    and gets a query for each.

    Args:
        sql: As for `render`.
        dialect: Whose SQL to write.
        windows: At least one.
        computed_at: When the windows are computed, aware.
        number: The column's name.
        name: What errors call the SQL, such as its file.

    Raises:
        SourceError: As for `render`.
    """
    if dialect != "postgres":
        queries = [render(sql, dialect, each, computed_at, name=name) for each in windows]
        return " UNION ALL ".join(
            f"(SELECT {place} AS {number}, built.* FROM ({query}) AS built)"
            for place, query in enumerate(queries)
        )
    bounds = [exp.column(each, table="source_window") for each in ("starts", "ends")]
    query = _parsed(
        sql, name, [*(exp.cast(each, _INSTANT) for each in bounds), _moment(computed_at)]
    )
    listed = ", ".join(
        f"({place}, {_moment(each.start).sql(dialect)}, {_moment(each.end).sql(dialect)})"
        for place, each in enumerate(windows)
    )
    return (
        f"SELECT source_window.{number}, built.* "
        f"FROM (VALUES {listed}) AS source_window({number}, starts, ends) "
        f"CROSS JOIN LATERAL ({_generate(query, dialect, name)}) AS built"
    )


def columns_built(sql: str, dialect: Dialect, *, name: str = "the source SQL") -> dict[str, str]:
    """The columns that a source's SQL gives, each with its type in the dialect.

    Raises:
        SourceError: As for `render`, or a column has no name, or its type cannot be told.
    """
    query = _filled(sql, _ANY_WINDOW, _ANY_WINDOW.end, name)
    return {column.output_name: _type(column, name).sql(dialect) for column in query.selects}


def insert_statements(  # noqa: PLR0917  the window and its two times belong at the end
    sql: str,
    dialect: Dialect,
    table: str,
    event_timestamp_column: str,
    window: Window,
    computed_at: datetime,
    *,
    name: str = "the source SQL",
) -> list[str]:
    """What replaces exactly one window of an existing table, all of it or nothing.

    Each string is one script that brings its own transaction: rows with an event time in the window
    go, the query's rows come. A row of it with an event time outside of the window, or with none,
    fails the script with `OUTSIDE` in its message. Repeating it leaves the same rows. Two that run
    at once on one table wait for each other on PostgreSQL; on BigQuery the later one is cancelled
    and can be retried.

    Args:
        sql: As for `render`; it must name its columns.
        dialect: Whose SQL to write.
        table: The table's dotted name, such as ``ml_data.merchant_statistics``.
        event_timestamp_column: The column whose time decides what belongs to the window.
        window: The window to replace.
        computed_at: When the window is computed, aware.
        name: What errors call the SQL, such as its file.

    Raises:
        SourceError: As for `render`, or the query does not name the event timestamp column.
    """
    query = _filled(sql, window, computed_at, name)
    columns = _columns(query, event_timestamp_column, name)
    target = _table(table, dialect, name)
    moment = exp.column(event_timestamp_column)
    delete = exp.delete(target).where(
        exp.and_(moment >= _moment(window.start), moment.copy() < _moment(window.end))
    )
    insert = exp.insert(
        _inside(query, event_timestamp_column, window, dialect),
        target.copy(),
        columns=[exp.to_identifier(c) for c in columns],
    )
    steps = [_generate(step, dialect, name) for step in (delete, insert)]
    if dialect == "bigquery":
        steps = ["BEGIN TRANSACTION", *steps, "COMMIT TRANSACTION"]
    elif dialect == "postgres":
        # Without the lock two builds of one window would each delete the rows they see, and both
        # insert. Readers are not held up.
        lock = f"LOCK TABLE {target.sql(dialect)} IN SHARE ROW EXCLUSIVE MODE"
        steps = ["BEGIN", lock, *steps, "COMMIT"]
    else:
        steps = ["BEGIN TRANSACTION", *steps, "COMMIT"]
    return [";\n".join(steps) + ";"]


def create_table_statement(
    sql: str,
    dialect: Dialect,
    table: str,
    event_timestamp_column: str,
    *,
    name: str = "the source SQL",
) -> str:
    """The table that `insert_statements` fills, if it is not there; on BigQuery a partition a day.

    Column types are those of the query's outermost casts.

    Raises:
        SourceError: As for `render`, or a column's type cannot be told from the SQL.
    """
    query = _filled(sql, _ANY_WINDOW, _ANY_WINDOW.end, name)
    _columns(query, event_timestamp_column, name)
    definitions = [
        exp.ColumnDef(this=exp.to_identifier(column.output_name), kind=_type(column, name))
        for column in query.selects
    ]
    properties = None
    if dialect == "bigquery":
        day = exp.Anonymous(
            this="TIMESTAMP_TRUNC", expressions=[exp.column(event_timestamp_column), exp.var("DAY")]
        )
        properties = exp.Properties(expressions=[exp.PartitionedByProperty(this=day)])
    create = exp.Create(
        this=exp.Schema(this=_table(table, dialect, name), expressions=definitions),
        kind="TABLE",
        exists=True,
        properties=properties,
    )
    return _generate(create, dialect, name)


def _filled(sql: str, window: Window, computed_at: datetime, name: str) -> exp.Query:
    """The parsed query with every parameter replaced by its time."""
    if computed_at.utcoffset() is None:
        raise SourceError(
            name,
            f"computed_at {computed_at} has no time zone",
            "give an aware datetime, for example datetime.now(UTC)",
        )
    return _parsed(sql, name, [_moment(each) for each in (window.start, window.end, computed_at)])


def _parsed(sql: str, name: str, times: "Sequence[exp.Expression]") -> exp.Query:
    """The parsed query with each of `PARAMETERS` replaced by what stands for it."""
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

    def fill(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, (exp.Placeholder, exp.Parameter)):
            return node
        if node.name not in values:
            known = ", ".join(f"${known}" for known in PARAMETERS)
            raise SourceError(
                name, f"unknown parameter '{node.sql('duckdb')}'", f"use one of {known}"
            )
        return values[node.name].copy()

    query: exp.Query = statements[0].transform(fill)
    return query


def _generate(tree: exp.Expression, dialect: Dialect, name: str) -> str:
    if dialect not in DIALECTS:
        raise SourceError(name, f"unknown dialect '{dialect}'", f"use one of {', '.join(DIALECTS)}")
    if dialect == "bigquery":
        tree = tree.transform(_epoch_for_bigquery)
    try:
        # Without comments, which speak of the parameters that are gone.
        text: str = tree.sql(
            dialect, pretty=True, comments=False, unsupported_level=ErrorLevel.RAISE
        )
    except SqlglotError as error:
        raise SourceError(
            name,
            f"cannot be said in {dialect}: {first_line(error)}",
            "write it with functions both dialects have",
        ) from error
    return text


def _epoch_for_bigquery(node: exp.Expression) -> exp.Expression:
    # SQLGlot has no BigQuery form of DuckDB's EPOCH, which is seconds with their fraction.
    if isinstance(node, exp.TimeToUnix):
        micros = exp.func("UNIX_MICROS", node.this, dialect="bigquery")
        return exp.paren(exp.Div(this=micros, expression=exp.Literal.number(1_000_000)))
    return node


def _inside(query: exp.Query, moment: str, window: Window, dialect: Dialect) -> exp.Select:
    """The query's rows, which fails at one whose event time lies outside of the window."""
    columns = {each.output_name: exp.column(_identifier(each), "built") for each in query.selects}
    time = columns[moment]
    start, end = _moment(window.start), _moment(window.end)
    text = exp.func("COALESCE", exp.cast(time.copy(), "text"), exp.Literal.string("null"))
    said = exp.func("CONCAT", exp.Literal.string(OUTSIDE), text)
    failing = (
        exp.cast(said, "boolean")
        if dialect == "postgres"
        else exp.Anonymous(this="ERROR", expressions=[said])
    )
    # In the list of columns: a condition might be looked at before those of the query itself.
    checked = (
        exp.Case()
        .when(exp.and_(time.copy() >= start, time.copy() < end), time.copy())
        .when(failing, time.copy())
    )
    columns[moment] = exp.alias_(checked, _identifier(time))
    return exp.select(*columns.values()).from_(query.subquery("built"))


def _identifier(column: exp.Expression) -> exp.Identifier:
    """A column's name, quoted as the query has it."""
    found = column.args.get("alias") or column.this
    named = isinstance(found, exp.Identifier)
    return found.copy() if named else exp.to_identifier(column.output_name)


def _columns(query: exp.Query, event_timestamp_column: str, name: str) -> list[str]:
    columns = [column.output_name for column in query.selects]
    if "*" in columns or not all(columns):
        raise SourceError(
            name, "its outermost SELECT leaves columns unnamed", "name each: CAST(x AS t) AS name"
        )
    if event_timestamp_column not in columns:
        raise SourceError(
            name,
            f"has no column '{event_timestamp_column}' among {', '.join(columns)}",
            "select the event timestamp under the name the Feast source gives it",
        )
    return columns


def _type(column: exp.Expression, name: str) -> exp.DataType:
    kind = annotate_types(column.copy(), dialect="duckdb").type
    if kind is None or kind.this in (exp.DataType.Type.UNKNOWN, exp.DataType.Type.NULL):
        raise SourceError(
            name,
            f"the type of column '{column.output_name}' cannot be told",
            f"cast it: CAST(... AS BIGINT) AS {column.output_name}",
        )
    return kind.copy()


def _table(table: str, dialect: Dialect, name: str) -> exp.Table:
    try:
        return exp.to_table(table, dialect=dialect)
    except SqlglotError as error:
        raise SourceError(
            name, f"its table '{table}' is not a table name", "use schema.table"
        ) from error


def _moment(moment: datetime) -> exp.Cast:
    return exp.cast(
        exp.Literal.string(moment.astimezone(UTC).isoformat(sep=" ")),
        _INSTANT,
    )
