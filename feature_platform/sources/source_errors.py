"""Errors that every way of reading a source raises."""

from collections.abc import Collection, Sequence

from feature_platform.errors import SourceError, type_and_line


def require_columns(source: str, present: Collection[str], needed: Sequence[str]) -> None:
    """Check that a source has the needed columns.

    Raises:
        SourceError: Names the missing columns, and those that are present.
    """
    missing = [name for name in dict.fromkeys(needed) if name not in present]
    if not missing:
        return
    lower = {name.lower(): name for name in present}
    for name in missing:
        if (twin := lower.get(name.lower())) is None:
            continue
        # DuckDB takes names whatever their case, and renames the second of two.
        if f"{name}_1" in present:
            raise SourceError(
                f"source '{source}'",
                f"its columns '{twin}' and '{name}' differ by case alone, and cannot be told apart",
                f"rename '{name}' in the table, or in a query that the source reads",
            )
        raise SourceError(
            f"source '{source}'",
            f"it has no column '{name}', but '{twin}', which is another name: case counts",
            f"map it in the source's field_mapping ({{'{twin}': '{name}'}}), or declare '{twin}'",
        )
    raise SourceError(
        f"source '{source}'",
        f"it has no column {', '.join(map(repr, missing))} (it has {', '.join(sorted(present))})",
        "add the column to the table, or map its name in the source's field_mapping",
    )


def unreadable(source: str, error: Exception) -> SourceError:
    """The error for files, or rows in DuckDB, that cannot be read."""
    return SourceError(
        f"source '{source}'",
        f"it cannot be read ({type_and_line(error)})",
        "check that every file of it is complete and that its columns have the same types in all",
    )


def offline_store_failed(source: str, error: Exception) -> SourceError:
    """The error for whatever an offline store or the driver of a warehouse raises."""
    return SourceError(
        f"source '{source}'",
        f"the offline store could not read it ({type_and_line(error)})",
        "check that the table, its columns and the connection exist",
    )
