"""Tables in metadata, as Dagster's UI shows them."""

from collections.abc import Iterable, Mapping

import dagster as dg

Cell = str | int | float | bool | None


def metadata_table(
    columns: Mapping[str, str] | Iterable[str], rows: Iterable[Mapping[str, Cell]]
) -> dg.TableMetadataValue:
    """A table.

    Args:
        columns: Column names, with Dagster's type of each; names alone are of strings.
        rows: Column name to value; other names are left out.
    """
    types = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, "string")
    return dg.TableMetadataValue(
        records=[dg.TableRecord({name: row[name] for name in types}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in types.items()]),
    )
