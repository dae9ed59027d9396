"""BigQuery's dialect of SQL."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlglot import exp

from feature_platform.sources.sql.sql_dialect import SqlDialect

if TYPE_CHECKING:
    from collections.abc import Sequence


class BigQueryDialect(SqlDialect):
    """See `SqlDialect`."""

    name = "bigquery"

    def identifier(self, name: str) -> str:
        """A name in backticks."""
        return f"`{name}`"

    def text(self, value: str) -> str:
        """A string with JSON's escapes, which are also BigQuery's."""
        return json.dumps(value, ensure_ascii=False)

    def instant(self, moment: datetime) -> str:
        """A TIMESTAMP literal."""
        return f"TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"

    def rewrite(self, node: exp.Expression) -> exp.Expression:
        """Write DuckDB's EPOCH, seconds with their fraction, which SQLGlot does not translate."""
        if isinstance(node, exp.TimeToUnix):
            micros = exp.func("UNIX_MICROS", node.this, dialect="bigquery")
            return exp.paren(exp.Div(this=micros, expression=exp.Literal.number(1_000_000)))
        return node

    def table_properties(self, event_timestamp_column: str) -> exp.Properties:
        """One partition per day."""
        day = exp.Anonymous(
            this="TIMESTAMP_TRUNC", expressions=[exp.column(event_timestamp_column), exp.var("DAY")]
        )
        return exp.Properties(expressions=[exp.PartitionedByProperty(this=day)])

    def transaction(self, table: str, statements: "Sequence[str]") -> list[str]:
        """BigQuery itself cancels the later of two transactions on one table."""
        del table
        return ["BEGIN TRANSACTION", *statements, "COMMIT TRANSACTION"]
