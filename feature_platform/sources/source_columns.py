"""What a batch source declares of its table."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.infra.offline_stores.file_source import FileSource


def parquet_source(source: "DataSource") -> "FileSource | None":
    """`source` if it is a file source of Parquet, else None."""
    from feast.data_format import ParquetFormat
    from feast.infra.offline_stores.file_source import FileSource

    if isinstance(source, FileSource) and (
        source.file_format is None or isinstance(source.file_format, ParquetFormat)
    ):
        return source
    return None


def time_columns(source: "DataSource") -> tuple[str, str | None]:
    """The table's event time column and, if there is one, its created time column.

    Feast takes either by the column's name or by the name that the field mapping gives it.
    """
    column_of = {served: column for column, served in (source.field_mapping or {}).items()}
    timestamp, created = source.timestamp_field, source.created_timestamp_column or None
    return column_of.get(timestamp, timestamp), column_of.get(created, created) if created else None
