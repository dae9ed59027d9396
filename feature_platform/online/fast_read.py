"""Online reads without a protobuf object per cell: stored values are copied into the response."""

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

from feature_platform.core.feast_seams import unique_entities

_VALUE = b"\x0a"
_STATUSES = b"\x12"
_TIME = b"\x1a"
_VERSION = 3
_UINT64 = (1 << 64) - 1
_ONE_BYTE = 0x80  # lengths below it take one byte
_LENGTH = struct.Struct("<I")
_INT64 = struct.Struct("<Iq")


@dataclass(frozen=True)
class StoredRow:
    """The stored row of one key.

    Attributes:
        cells: Serialized value of each requested feature: empty for null, None if absent.
        time: The event time as a serialized ``Timestamp``.
    """

    cells: Sequence[bytes | None]
    time: bytes


def missing_row(features: int) -> StoredRow:
    """What stands for a key that is not stored."""
    return StoredRow([None] * features, b"")


def in_order(
    cells: Iterable[tuple[bytes, str, bytes, int]],
    keys: Sequence[bytes],
    names: Sequence[str],
    time_of: Callable[[int], bytes],
) -> list[StoredRow]:
    """Rows in the order of `keys`, from the cells of a table that has one row per key and feature.

    Args:
        cells: Key, feature, serialized value and event time, in any order.
        keys: The requested keys; they may repeat.
        names: The requested features.
        time_of: Converts an event time to a serialized ``Timestamp``.
    """
    found: dict[bytes, tuple[dict[str, bytes], int]] = {}
    for key, feature, value, moment in cells:
        row = found.get(key)
        if row is None:
            found[key] = ({feature: value}, moment)
        else:
            row[0][feature] = value
    missing = missing_row(len(names))
    return [
        StoredRow([found[key][0].get(name) for name in names], time_of(found[key][1]))
        if key in found
        else missing
        for key in keys
    ]


def stamp_of(moment: int) -> bytes:
    """Microseconds since 1970 as a serialized ``Timestamp``."""
    second, micros = divmod(moment, 1_000_000)
    seconds = b"\x08" + _varint(second & _UINT64) if second else b""
    return seconds + b"\x10" + _varint(micros * 1000) if micros else seconds


class FastReads:
    """A mixin for one of Feast's online stores; it precedes Feast's class among the bases."""

    def _fetch(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> Sequence[StoredRow]:
        """Read features of a view: a row for each serialized key, in their order."""
        raise NotImplementedError

    def _errors(self, config: Any, table: Any) -> AbstractContextManager[None]:  # noqa: ARG002 - for subclasses
        """The context in which a view is fetched, which may raise its errors as others."""
        return nullcontext()

    async def _fetch_async(
        self, config: Any, table: Any, keys: list[bytes], names: list[str]
    ) -> Sequence[StoredRow]:
        """`_fetch` for an event loop: in a thread, unless a subclass has a client for it."""
        return await asyncio.to_thread(self._fetch, config, table, keys, names)

    def _read_features_per_fv(  # noqa: PLR0917 - Feast's signature
        self,
        config: Any,
        grouped_refs: Any,
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: Any,
        full_feature_names: bool,  # noqa: FBT001
        include_feature_view_version_metadata: bool,  # noqa: FBT001
    ) -> None:
        for table, requested in grouped_refs:
            read = _asked(config, table, requested, join_key_values, entity_name_to_join_key_map)
            rows: Sequence[StoredRow] = []
            if read.keys:
                with self._errors(config, table):
                    rows = self._fetch(config, table, read.keys, requested)
            read.answer(
                online_features_response,
                rows,
                full_names=full_feature_names,
                with_version=include_feature_view_version_metadata,
            )

    async def _read_features_per_fv_async(  # noqa: PLR0917 - Feast's signature
        self,
        config: Any,
        grouped_refs: Any,
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: Any,
        full_feature_names: bool,  # noqa: FBT001
        include_feature_view_version_metadata: bool,  # noqa: FBT001
    ) -> None:
        reads = [
            _asked(config, table, requested, join_key_values, entity_name_to_join_key_map)
            for table, requested in grouped_refs
        ]

        async def fetched(read: _Read) -> Sequence[StoredRow]:
            if not read.keys:
                return []
            with self._errors(config, read.table):
                return await self._fetch_async(config, read.table, read.keys, read.requested)

        found = await asyncio.gather(*(fetched(read) for read in reads))
        for read, rows in zip(reads, found, strict=True):
            read.answer(
                online_features_response,
                rows,
                full_names=full_feature_names,
                with_version=include_feature_view_version_metadata,
            )


@dataclass(frozen=True)
class _Read:
    """What a request asks of one view.

    Attributes:
        table: The view.
        requested: The names of its features.
        keys: The serialized keys, each once.
        places: For each key, its places in the request.
        count: How many rows the request has.
    """

    table: Any
    requested: list[str]
    keys: list[bytes]
    places: Sequence[list[int]]
    count: int

    def answer(
        self, response: Any, rows: Sequence[StoredRow], *, full_names: bool, with_version: bool
    ) -> None:
        """Add the rows that were found to the response."""
        _add_names(
            response, self.table, self.requested, full_names=full_names, with_version=with_version
        )
        _add_vectors(response, rows, self.places, self.count, len(self.requested))
        _count_statuses(self.table.name, rows, self.places, self.count * len(self.requested))


def _asked(
    config: Any, table: Any, requested: list[str], join_key_values: Any, join_keys: Any
) -> _Read:
    unique, places, count = unique_entities(table, join_key_values, join_keys)
    version = config.entity_key_serialization_version
    keys = [_serialized(entity, version) for entity in unique]
    return _Read(table, requested, keys, places, count)


def _serialized(entity: dict[str, Any], version: int) -> bytes:
    if len(entity) == 1 and version == _VERSION:
        ((name, value),) = entity.items()
        kind = value.WhichOneof("val")
        if kind == "int64_val":
            return _head(name, "INT64") + _INT64.pack(8, value.int64_val)
        if kind == "string_val":
            text: bytes = value.string_val.encode()
            return _head(name, "STRING") + _LENGTH.pack(len(text)) + text
    from feast.infra.key_encoding_utils import serialize_entity_key

    return bytes(serialize_entity_key(_EntityKey(entity), entity_key_serialization_version=version))


@cache
def _head(name: str, kind: str) -> bytes:
    """The bytes before the length of the value, for a key that has one value."""
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix

    from feature_platform.core.feast_protos import ValueType

    return bytes(serialize_entity_key_prefix([name], _VERSION)) + _LENGTH.pack(
        ValueType.Enum.Value(kind)
    )


class _EntityKey:
    """The attributes of an ``EntityKey`` that serialization reads, without the message."""

    def __init__(self, entity: dict[str, Any]) -> None:
        self.join_keys = list(entity)
        self.entity_values = list(entity.values())


def _add_names(
    response: Any, table: Any, requested: Sequence[str], *, full_names: bool, with_version: bool
) -> None:
    prefix = f"{table.projection.name_to_use()}__" if full_names else ""
    response.metadata.feature_names.val.extend(f"{prefix}{name}" for name in requested)
    if not with_version:
        return
    name = table.projection.name_alias or table.projection.name
    if all(each.name != name for each in response.metadata.feature_view_metadata):
        added = response.metadata.feature_view_metadata.add()
        added.name = name
        added.version = getattr(table, "current_version_number", 0) or 0


def _add_vectors(
    response: Any,
    rows: Sequence[StoredRow],
    places: Sequence[list[int]],
    count: int,
    features: int,
) -> None:
    from feature_platform.core.feast_protos import FieldStatus

    present, not_found = FieldStatus.PRESENT, FieldStatus.NOT_FOUND
    absent: Sequence[bytes | None] = (None,) * features
    cells_of, times = [absent] * count, [b""] * count
    for row, destinations in zip(rows, places, strict=True):
        for place in destinations:
            cells_of[place], times[place] = row.cells, row.time
    stamps = _repeated(_TIME, times)
    for values in zip(*cells_of, strict=True):
        statuses = bytes([not_found if value is None else present for value in values])
        body = _repeated(_VALUE, [value or b"" for value in values])
        vector = response.results.add()
        vector.ParseFromString(body + _STATUSES + _sized(statuses) + stamps)


def _count_statuses(
    name: str, rows: Sequence[StoredRow], places: Sequence[list[int]], cells: int
) -> None:
    from feast.metrics import track_feature_statuses

    found = sum(
        len(destinations) * (len(row.cells) - row.cells.count(None))
        for row, destinations in zip(rows, places, strict=True)
    )
    track_feature_statuses(name, found, cells - found)


def _repeated(tag: bytes, bodies: Sequence[bytes]) -> bytes:
    """A repeated field in the wire format: for each body its tag, length and bytes."""
    short = _short_heads(tag)
    return b"".join(
        [
            short[len(body)] + body if len(body) < _ONE_BYTE else tag + _sized(body)
            for body in bodies
        ]
    )


@cache
def _short_heads(tag: bytes) -> list[bytes]:
    return [tag + bytes((size,)) for size in range(_ONE_BYTE)]


def _sized(body: bytes) -> bytes:
    return _varint(len(body)) + body


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= _ONE_BYTE:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
