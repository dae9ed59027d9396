"""Arrow batches as the rows that Feast's online stores take."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from feature_platform.core.feast_seams import entity_key_messages
from feature_platform.encoding.feature_values import encode_column
from feature_platform.encoding.view_layout import CREATED_TIME, EVENT_TIME, ViewLayout

Row = tuple[Any, dict[str, Any], datetime, datetime | None]
"""Feast's row: entity key, feature name to value (both protobuf), event time, created time."""


def feast_rows(batch: pa.RecordBatch, layout: ViewLayout) -> list[Row]:
    """Convert a batch of `feature_platform.sources.latest_rows.latest_rows`.

    Values are those of `encoded_rows.encode_batch`, so that every online store gets the same; keys
    are those of ``feast materialize``.

    Args:
        batch: Served names, then event and created time.
        layout: The view.

    Returns:
        The rows, with aware times in UTC.

    Raises:
        SourceError: A value does not fit its Feast type.
    """
    values = {
        column.name: _values(
            encode_column(layout.name, column.name, batch.column(column.name), column.value_type)
        )
        for column in (*layout.features, *layout.keys)
    }
    keys = entity_key_messages(batch.num_rows, layout.join_keys, values)
    names = [feature.name for feature in layout.features]
    features: list[dict[str, Any]] = [
        dict(zip(names, row, strict=True))
        for row in zip(*(values[name] for name in names), strict=True)
    ] or [{} for _ in keys]
    return list(
        zip(keys, features, _times(batch, EVENT_TIME), _times(batch, CREATED_TIME), strict=True)
    )


def _values(serialized: pa.Array) -> list[Any]:
    from feature_platform.core.feast_protos import Value

    return [Value.FromString(value) for value in serialized.to_pylist()]


def _times(batch: pa.RecordBatch, name: str) -> list[Any]:
    return [
        None if moment is None else moment.astimezone(UTC)
        for moment in batch.column(name).to_pylist()
    ]
