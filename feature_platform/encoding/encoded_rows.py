"""Rows encoded for an online store: columns of serialized keys and values, and their times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_platform.encoding.entity_keys import encode_keys
from feature_platform.encoding.feature_values import encode_column, value_texts
from feature_platform.encoding.view_layout import CREATED_TIME, EVENT_TIME, ServedColumn, ViewLayout

NO_TIME = -(2**63)
"""Stands for a missing created time; less than any other."""


@dataclass(frozen=True)
class EncodedFeature:
    """One feature of all rows.

    Attributes:
        name: Its name in the view.
        values: Serialized values; empty for null.
        texts: Computes the readable texts that SQL stores keep beside values, as Arrow strings;
            null for values without one.
    """

    name: str
    values: pa.Array
    texts: Callable[[], pa.Array]

    def slice(self, start: int, count: int) -> "EncodedFeature":
        """The feature of at most `count` rows from `start`."""
        return EncodedFeature(
            self.name,
            self.values.slice(start, count),
            lambda: self.texts().slice(start, count),
        )

    def take(self, places: npt.NDArray[np.int64]) -> "EncodedFeature":
        """The feature of the rows at those places."""
        taken = pa.array(places)
        return EncodedFeature(self.name, self.values.take(taken), lambda: self.texts().take(taken))


@dataclass(frozen=True)
class EncodedRows:
    """Rows of a view; at most one per key unless Feast handed them over.

    Attributes:
        keys: Serialized entity keys.
        features: The features, each as long as `keys`.
        event_us: Event times, microseconds since 1970 in UTC.
        created_us: Created times likewise; `NO_TIME` if missing.
    """

    keys: pa.Array
    features: tuple[EncodedFeature, ...]
    event_us: npt.NDArray[np.int64]
    created_us: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def slice(self, start: int, count: int) -> "EncodedRows":
        """At most `count` rows from `start`, without a copy."""
        return EncodedRows(
            keys=self.keys.slice(start, count),
            features=tuple(feature.slice(start, count) for feature in self.features),
            event_us=self.event_us[start : start + count],
            created_us=self.created_us[start : start + count],
        )

    def latest(self) -> "EncodedRows":
        """The latest row of each key; of equally late ones the last."""
        keys = self.keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        order = np.lexsort((np.arange(len(keys)), self.created_us, self.event_us, keys))
        last = np.append(keys[order][1:] != keys[order][:-1], True)
        kept = np.sort(order[last])
        return self if len(kept) == len(keys) else self.take(kept)

    def take(self, places: npt.NDArray[np.int64]) -> "EncodedRows":
        """The rows at those places."""
        return EncodedRows(
            keys=self.keys.take(pa.array(places)),
            features=tuple(feature.take(places) for feature in self.features),
            event_us=self.event_us[places],
            created_us=self.created_us[places],
        )


def encode_batch(batch: pa.RecordBatch, layout: ViewLayout, version: int) -> EncodedRows:
    """Encode a batch of `feature_platform.sources.latest_rows.latest_rows`.

    Args:
        batch: Served names, then event and created time.
        layout: The view.
        version: ``entity_key_serialization_version`` of the repo.

    Raises:
        SourceError: A value does not fit its Feast type.
    """
    return EncodedRows(
        keys=batch_keys(batch, layout, version),
        features=tuple(_feature(batch, layout, feature) for feature in layout.features),
        event_us=_microsecond_column(batch.column(EVENT_TIME)),
        created_us=_microsecond_column(batch.column(CREATED_TIME)),
    )


def batch_keys(batch: pa.RecordBatch, layout: ViewLayout, version: int) -> pa.Array:
    """The serialized keys of a batch that has the join keys of a view as columns.

    Raises:
        SourceError: A value does not fit the type of its key.
    """
    columns = [batch.column(key.name) for key in layout.keys]
    try:
        return encode_keys(
            [key.name for key in layout.keys],
            columns,
            [key.value_type for key in layout.keys],
            version,
        )
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        for key, column in zip(layout.keys, columns, strict=True):
            encode_column(layout.name, key.name, column, key.value_type)  # its error names the key
        raise


def encode_feast_rows(rows: Sequence[Any], version: int) -> list[EncodedRows]:
    """Encode the rows that Feast hands to ``online_write_batch``.

    Args:
        rows: Entity key, feature name to value, event time, created time or None.
        version: ``entity_key_serialization_version`` of the repo.

    Returns:
        One item for each run of rows with the same features; nearly always one item.
    """
    encoded: list[EncodedRows] = []
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or list(rows[end][1]) != list(rows[start][1]):
            encoded.append(_encode_run(rows[start:end], version))
            start = end
    return encoded


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a naive datetime is UTC, as everywhere in Feast."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _feature(batch: pa.RecordBatch, layout: ViewLayout, feature: ServedColumn) -> EncodedFeature:
    column, value_type = batch.column(feature.name), feature.value_type
    return EncodedFeature(
        feature.name,
        encode_column(layout.name, feature.name, column, value_type),
        lambda: value_texts(column, value_type),
    )


def _microsecond_column(column: pa.Array) -> npt.NDArray[np.int64]:
    numbers = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(NO_TIME)
    found: npt.NDArray[np.int64] = numbers.to_numpy(zero_copy_only=False)
    return found


def _encode_run(rows: Sequence[Any], version: int) -> EncodedRows:
    from feast.infra.key_encoding_utils import serialize_entity_key

    names = list(rows[0][1])
    keys = [serialize_entity_key(key, entity_key_serialization_version=version) for key, *_ in rows]
    return EncodedRows(
        keys=pa.array(keys, pa.binary()),
        features=tuple(_feast_feature(name, [row[1][name] for row in rows]) for name in names),
        event_us=np.array([microseconds(row[2]) for row in rows], np.int64),
        created_us=np.array(
            [NO_TIME if row[3] is None else microseconds(row[3]) for row in rows], np.int64
        ),
    )


def _feast_feature(name: str, values: Sequence[Any]) -> EncodedFeature:
    from feast.infra.online_stores.helpers import extract_text_and_num

    return EncodedFeature(
        name,
        pa.array([value.SerializeToString() for value in values], pa.binary()),
        lambda: pa.array(
            [extract_text_and_num(value, compute_num=False)[0] for value in values], pa.string()
        ),
    )
