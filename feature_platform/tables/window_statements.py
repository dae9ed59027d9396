"""The statements by which a warehouse builds one window of a source table."""

from datetime import datetime

from sqlglot import exp
from sqlglot.errors import SqlglotError

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.sources.sql.sql_dialect import SqlDialect
from feature_platform.tables.source_sql import SourceSql, instant

OUTSIDE = "event time outside of the window: "
"""How the warehouse's error begins, before the event time, when a query gives such a row."""


def insert_script(  # noqa: PLR0917  the window and its two times belong at the end
    sql: SourceSql,
    dialect: SqlDialect,
    table: str,
    event_timestamp_column: str,
    window: Window,
    computed_at: datetime,
) -> str:
    """One script that replaces exactly one window of an existing table, in one transaction.

    It deletes the rows with an event time in the window and inserts the query's rows. A row with an
    event time outside of the window, or with none, fails the script with `OUTSIDE` in the error.
    Repeating the script leaves the same rows. Of two that run at once on one table one waits, or is
    cancelled and can be retried; see `SqlDialect.transaction`.

    Raises:
        SourceError: As `SourceSql`, or the query does not name its columns, the event timestamp
            column among them.
    """
    query = sql.parsed(window, computed_at)
    columns = _columns(query, event_timestamp_column, sql.name)
    target = _table(table, dialect, sql.name)
    moment = exp.column(event_timestamp_column)
    delete = exp.delete(target).where(_inside(moment, window))
    insert = exp.insert(
        _checked(query, event_timestamp_column, window, dialect),
        target.copy(),
        columns=[exp.to_identifier(column) for column in columns],
    )
    statements = [sql.generate(step, dialect) for step in (delete, insert)]
    return ";\n".join(dialect.transaction(target.sql(dialect.name), statements)) + ";"


def create_table_statement(
    sql: SourceSql, dialect: SqlDialect, table: str, event_timestamp_column: str
) -> str:
    """The table that `insert_script` fills, unless it exists.

    Column types are those of the query's outermost casts.

    Raises:
        SourceError: As `insert_script`, or the SQL does not tell the type of a column.
    """
    query = sql.parsed()
    _columns(query, event_timestamp_column, sql.name)
    definitions = [
        exp.ColumnDef(this=exp.to_identifier(column.output_name), kind=sql.type_of(column))
        for column in query.selects
    ]
    create = exp.Create(
        this=exp.Schema(this=_table(table, dialect, sql.name), expressions=definitions),
        kind="TABLE",
        exists=True,
        properties=dialect.table_properties(event_timestamp_column),
    )
    return sql.generate(create, dialect)


def _inside(moment: exp.Expression, window: Window) -> exp.Expression:
    return exp.and_(moment.copy() >= instant(window.start), moment.copy() < instant(window.end))


def _checked(query: exp.Query, moment: str, window: Window, dialect: SqlDialect) -> exp.Select:
    """The query's rows; it fails at a row whose event time lies outside of the window."""
    columns = {each.output_name: exp.column(_identifier(each), "built") for each in query.selects}
    time = columns[moment]
    text = exp.func("COALESCE", exp.cast(time.copy(), "text"), exp.Literal.string("null"))
    message = exp.func("CONCAT", exp.Literal.string(OUTSIDE), text)
    # In the list of columns: a condition might be evaluated before those of the query itself.
    checked = (
        exp.Case()
        .when(_inside(time, window), time.copy())
        .when(dialect.failure(message), time.copy())
    )
    columns[moment] = exp.alias_(checked, _identifier(time))
    return exp.select(*columns.values()).from_(query.subquery("built"))


def _identifier(column: exp.Expression) -> exp.Identifier:
    """A column's name, quoted as the query quotes it."""
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


def _table(table: str, dialect: SqlDialect, name: str) -> exp.Table:
    try:
        return exp.to_table(table, dialect=dialect.name)
    except SqlglotError as error:
        raise SourceError(
            name, f"its table '{table}' is not a table name", "use schema.table"
        ) from error
