"""What differs between SQL dialects when a source table's SQL is run."""

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from sqlglot import exp

from feature_platform.core.sql import identifier, instant, literal

if TYPE_CHECKING:
    from collections.abc import Sequence


class SqlDialect:
    """A dialect of SQL; this one is DuckDB's, and others override what they say differently."""

    name: ClassVar[str] = "duckdb"
    """What SQLGlot calls it."""
    has_lateral: ClassVar[bool] = False
    """Whether one query can be computed for each row of a list of windows (LATERAL)."""

    def identifier(self, name: str) -> str:
        """A quoted name."""
        return identifier(name)

    def text(self, value: str) -> str:
        """A quoted string."""
        return literal(value)

    def instant(self, moment: datetime) -> str:
        """An aware datetime as a literal."""
        return instant(moment)

    def rewrite(self, node: exp.Expression) -> exp.Expression:
        """Replace a node of a query that SQLGlot would write wrongly."""
        return node

    def failure(self, message: exp.Expression) -> exp.Expression:
        """A condition that fails the statement with a message when it is evaluated."""
        return exp.Anonymous(this="ERROR", expressions=[message])

    def table_properties(self, event_timestamp_column: str) -> exp.Properties | None:
        """How CREATE TABLE lays out a source table, such as its partitions."""
        del event_timestamp_column
        return None

    def transaction(self, table: str, statements: "Sequence[str]") -> list[str]:
        """The statements as one transaction that keeps other builds of the table waiting."""
        del table
        return ["BEGIN TRANSACTION", *statements, "COMMIT"]


DUCKDB = SqlDialect()
