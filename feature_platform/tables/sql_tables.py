"""The tables that a query reads."""

from pathlib import Path

from feature_platform.errors import SourceError, first_line


def tables_read(path: Path) -> list[str]:
    """Dotted names of the tables that the DuckDB SQL in `path` reads, sorted, without its CTEs.

    Raises:
        SourceError: The file is not SQL.
    """
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(path.read_text(encoding="utf-8"), read="duckdb")
    except (sqlglot.errors.SqlglotError, OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"source '{path.stem}'",
            f"{path.name} is not SQL that DuckDB reads: {first_line(error)}",
            f"correct {path}",
        ) from error
    own = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    tables = {
        ".".join(part.name for part in table.parts)
        for table in tree.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier)
    }
    return sorted(name for name in tables if name.casefold() not in own)
