"""Arrow batches as the rows Feast's online stores take, by Feast's own conversion."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from feature_platform.engine.latest import CREATED_TIME, EVENT_TIME
from feature_platform.engine.layout import ViewLayout

Row = tuple[Any, dict[str, Any], datetime, datetime | None]
"""Feast's row: entity key, feature name to value (both protobuf), event time, created time."""


def feast_rows(batch: pa.RecordBatch, layout: ViewLayout) -> list[Row]:
    """Convert a batch of `feature_platform.engine.latest.latest_rows`.

    Keys and values are built by the functions of Feast that `feast materialize` uses, so they are
    the same; only the two times are taken from the batch's own columns.

    Args:
        batch: Served names, then event and created time.
        layout: The view.

    Returns:
        One row each, times aware and in UTC.
    """
    from feast.utils import _build_entity_keys, _columns_to_proto_values

    columns = [(column.name, column.value_type) for column in (*layout.features, *layout.keys)]
    values = _columns_to_proto_values(batch, columns)
    keys = _build_entity_keys(batch.num_rows, layout.join_keys, values)
    names = [feature.name for feature in layout.features]
    features: list[dict[str, Any]] = [
        dict(zip(names, row, strict=True))
        for row in zip(*(values[name] for name in names), strict=True)
    ] or [{} for _ in keys]
    return list(
        zip(keys, features, _times(batch, EVENT_TIME), _times(batch, CREATED_TIME), strict=True)
    )


def _times(batch: pa.RecordBatch, name: str) -> list[Any]:
    return [
        None if moment is None else moment.astimezone(UTC)
        for moment in batch.column(name).to_pylist()
    ]
