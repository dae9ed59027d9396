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
    """The table's columns of the event time and, if there is one, of the created time.

    Feast takes either by the name in the table or by the one that the field mapping gives it.
    """
    origin = {served: column for column, served in (source.field_mapping or {}).items()}
    timestamp, created = source.timestamp_field, source.created_timestamp_column or None
    return origin.get(timestamp, timestamp), origin.get(created, created) if created else None
