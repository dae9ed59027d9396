"""PostgreSQL's dialect of SQL."""

from typing import TYPE_CHECKING

from sqlglot import exp

from feature_platform.sources.sql.sql_dialect import SqlDialect

if TYPE_CHECKING:
    from collections.abc import Sequence


class PostgresDialect(SqlDialect):
    """See `SqlDialect`."""

    name = "postgres"
    has_lateral = True

    def text(self, value: str) -> str:
        """An escape string, which does not depend on ``standard_conforming_strings``."""
        return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"

    def failure(self, message: exp.Expression) -> exp.Expression:
        """A cast that cannot succeed: PostgreSQL has no function that raises."""
        return exp.cast(message, "boolean")

    def transaction(self, table: str, statements: "Sequence[str]") -> list[str]:
        """Lock the table first.

        Else two builds of one window would each delete the rows they see, and both insert. Readers
        do not wait.
        """
        lock = f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"
        return ["BEGIN", lock, *statements, "COMMIT"]
