"""Guarded bulk writes into the hashes of Feast's Redis online store, single or cluster."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_platform.core.feast_seams import redis_key_hash
from feature_platform.core.windows import Window
from feature_platform.encoding.buffers import constant, join
from feature_platform.encoding.encoded_rows import EncodedRows, microseconds
from feature_platform.online.fast_read import StoredRow, missing_row
from feature_platform.online.guarded_writer import Guard, OnlineKeys, scanned_from
from feature_platform.online.redis.script import (
    DELETE,
    READ,
    SCAN,
    WRITE,
    encode_times,
    without_created,
)

_CELLS_PER_CALL = 1024  # a call blocks the server, and so every reader, for about 2 ms
_CALLS_IN_FLIGHT = 32
_KEYS_PER_PIECE = 4096
_KEYS_PER_SCAN = 500
_CACHED_LENGTHS = 4096
_ATTEMPTS = 5


class RedisWriter:
    """Writes and scans a Feast Redis online store.

    A script compares and writes in one step on the server. Its calls are put together by column,
    without a Python object per value.

    Args:
        client: ``redis.Redis`` or ``redis.cluster.RedisCluster``; of ``redis.asyncio`` for
            `fetch_async` alone.
        config: The repo's configuration.
    """

    def __init__(self, client: Any, config: Any) -> None:
        self._client = client
        self._project = str(config.project).encode()
        self._versioning = config.registry.enable_online_feature_view_versioning
        self._ttl = config.online_store.key_ttl_seconds or 0  # 0 keeps keys for ever

    def write(self, view: Any, rows: EncodedRows, guard: Guard) -> None:
        """Write the rows that the guard lets in, each in one step."""
        fields = [self._field(view, feature.name) for feature in rows.features]
        ranges = [number for window in guard.governed for number in _range(window)]
        head: list[Any] = [len(fields), self._time_field(view), self._ttl]
        head += [int(guard.compares_created), len(guard.governed), *ranges, *fields]
        # In pieces, so that one is framed while the server works on the piece before. In a cluster
        # all at once, since a call holds keys of one slot only.
        step = len(rows) if self._is_cluster() else _KEYS_PER_PIECE

        def pieces() -> Iterator[tuple[pa.Array, pa.Array]]:
            for start in range(0, len(rows), step):
                some = rows.slice(start, step)
                yield (
                    join(some.keys, constant(self._project, len(some))),
                    join(
                        _bulk(encode_times(some.event_us, some.created_us)),
                        *(_bulk(feature.values) for feature in some.features),
                    ),
                )

        self._run(WRITE, head, pieces, max(1, _CELLS_PER_CALL // (len(fields) + 1)))

    def keys_within(self, view: Any, window: Window) -> Iterator[pa.Array]:
        """Stream the keys whose stored event time is in the window."""
        head = [self._time_field(view), *_range(window)]
        pattern = _escaped(_key_prefix(view)) + b"*" + _escaped(self._project)
        for node in self._nodes():
            cursor: bytes = b"0"
            while True:
                cursor, *found = node.eval(SCAN, 0, *head, cursor, pattern, _KEYS_PER_SCAN)
                keys = [key[: -len(self._project)] for key in found if self._is_ours(key)]
                if keys:
                    yield pa.array(keys, pa.binary())
                if cursor == b"0":
                    break

    def keys_from(self, view: Any, window: Window, most: int) -> OnlineKeys | None:
        """The keys stored in the window and after it; see `OnlineWriter.keys_from`."""
        return scanned_from(self, view, window, most)

    def delete(self, view: Any, keys: Sequence[bytes], window: Window) -> None:
        """Delete the view's fields of each key whose event time is still in the window."""
        fields = [self._field(view, feature.name) for feature in view.features]
        head: list[Any] = [self._time_field(view), *_range(window), *fields]
        stored = join(pa.array(keys, pa.binary()), constant(self._project, len(keys)))
        self._run(DELETE, head, lambda: iter([(stored, constant(b"", len(keys)))]), _CELLS_PER_CALL)

    def fetch(self, view: Any, keys: Sequence[bytes], names: Sequence[str]) -> list[StoredRow]:
        """Read some features of some keys, in the order of the keys."""
        stored, fields = self._stored(view, keys, names)
        if self._is_cluster():
            return _rows(self._hmget(stored, fields).execute())
        return _rows(_by_key(self._client.eval(READ, len(stored), *stored, *fields), len(fields)))

    async def fetch_async(
        self, view: Any, keys: Sequence[bytes], names: Sequence[str]
    ) -> list[StoredRow]:
        """`fetch`, where the client is one of ``redis.asyncio``."""
        stored, fields = self._stored(view, keys, names)
        if self._is_cluster():
            return _rows(await self._hmget(stored, fields).execute())
        found = await self._client.eval(READ, len(stored), *stored, *fields)
        return _rows(_by_key(found, len(fields)))

    def _stored(
        self, view: Any, keys: Sequence[bytes], names: Sequence[str]
    ) -> tuple[list[bytes], list[bytes]]:
        """Keys and fields as they are stored; the last field is that of the time."""
        fields = [*(self._field(view, name) for name in names), self._time_field(view)]
        return [key + self._project for key in keys], fields

    def _hmget(self, keys: list[bytes], fields: list[bytes]) -> Any:
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.hmget(key, fields)
        return pipe

    def note(self, view: Any, topic: str) -> str | None:
        """The note that `set_note` stored."""
        found = self._client.get(self._note_key(view, topic))
        return None if found is None else str(found, "utf8")

    def set_note(self, view: Any, topic: str, text: str | None) -> None:
        """Store a note about a view under a key of its own."""
        if text is None:
            self._client.delete(self._note_key(view, topic))
        else:
            self._client.set(self._note_key(view, topic), text)

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _note_key(self, view: Any, topic: str) -> bytes:
        subject = f":{self._name(view)}:{topic}".encode()
        return b"feature_platform:" + self._project + subject

    def _run(
        self,
        script: str,
        head: list[Any],
        pieces: Callable[[], Iterator[tuple[pa.Array, pa.Array]]],
        most: int,
    ) -> None:
        """Call the script, with at most `most` keys (in a cluster: of one slot) per call.

        Args:
            script: The script's text.
            head: The arguments of every call.
            pieces: Yields keys, and the framed arguments of each key.
            most: How many keys a call may have.
        """
        from redis.exceptions import AskError, ClusterDownError, MovedError

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for node, calls in self._by_node(script, head, pieces, most):
                    _send(node, script, calls)
            except (AskError, ClusterDownError, MovedError):
                # Slots are moving between nodes; writing the same rows again does no harm.
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(0.2 * attempt)
                self._client.nodes_manager.initialize()
            else:
                return

    def _by_node(
        self,
        script: str,
        head: list[Any],
        pieces: Callable[[], Iterator[tuple[pa.Array, pa.Array]]],
        most: int,
    ) -> Iterator[tuple[Any, Iterator["_Calls"]]]:
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        per_key = 0 if script == DELETE else int(head[0]) + 1
        if not self._is_cluster():
            yield (
                self._client,
                (
                    _Calls(sha, head, keys, values, _ends(len(keys), most), per_key)
                    for keys, values in pieces()
                    if len(keys)
                ),
            )
            return
        for keys, values in pieces():
            slots = np.array([self._client.keyslot(key) for key in keys.to_pylist()], np.int64)
            nodes: dict[Any, list[int]] = {}
            for place in np.argsort(slots, kind="stable"):
                node = self._client.nodes_manager.get_node_from_slot(int(slots[place]))
                nodes.setdefault(node, []).append(int(place))
            for node, places in nodes.items():
                taken = pa.array(places, pa.int64())
                ends = _ends_of_slots(slots[places], most)
                calls = _Calls(sha, head, keys.take(taken), values.take(taken), ends, per_key)
                yield self._client.get_redis_connection(node), iter([calls])

    def _nodes(self) -> list[Any]:
        if not self._is_cluster():
            return [self._client]
        return [self._client.get_redis_connection(node) for node in self._client.get_primaries()]

    def _is_cluster(self) -> bool:
        return hasattr(self._client, "nodes_manager")

    def _is_ours(self, key: bytes) -> bool:
        """Whether it is an entity key of this project, not of one whose name ends like it."""
        end = len(key) - len(self._project)
        return key[end:] == self._project and _is_entity_key(memoryview(key)[:end])

    def _name(self, view: Any) -> str:
        from feast.infra.online_stores.helpers import compute_versioned_name

        return str(compute_versioned_name(view, self._versioning))

    def _time_field(self, view: Any) -> bytes:
        return f"_ts:{self._name(view)}".encode()

    def _field(self, view: Any, feature: str) -> bytes:
        return redis_key_hash(f"{self._name(view)}:{feature}")


def _by_key(answers: list[bytes | None], width: int) -> list[list[bytes | None]]:
    """One answer for all keys, which costs less than one each, cut by key."""
    return [answers[at : at + width] for at in range(0, len(answers), width)]


def _rows(answers: Iterable[Sequence[bytes | None]]) -> list[StoredRow]:
    """Rows from the fields of each key, the time last: without one the key is not stored."""
    return [
        missing_row(len(values)) if moment is None else StoredRow(values, without_created(moment))
        for *values, moment in answers
    ]


@dataclass(frozen=True)
class _Calls:
    """Calls of one script, each for a slice of the keys that ends at one of `ends`."""

    sha: str
    head: list[Any]
    keys: pa.Array
    values: pa.Array
    ends: list[int]
    per_key: int

    def framed(self) -> Iterator[list[bytes | memoryview]]:
        """Each call in Redis's wire format, in pieces."""
        keys = _bulk(self.keys)
        key_ends, key_data = _buffers(keys)
        value_ends, value_data = _buffers(self.values)
        head = b"".join(_argument(each) for each in self.head)
        start = 0
        for end in self.ends:
            count = end - start
            arguments = 3 + count + len(self.head) + count * self.per_key
            opening = f"*{arguments}\r\n$7\r\nEVALSHA\r\n$40\r\n{self.sha}\r\n".encode()
            yield [
                opening + _argument(count),
                key_data[key_ends[start] : key_ends[end]],
                head,
                value_data[value_ends[start] : value_ends[end]],
            ]
            start = end


def _send(node: Any, script: str, calls: Iterable[_Calls]) -> None:
    """Send the calls, a few at a time ahead of their answers, which are only counts."""
    node.script_load(script)  # once per batch: a restarted server has lost it
    connection = node.connection_pool.get_connection()
    waiting = 0
    try:
        for call in (framed for each in calls for framed in each.framed()):
            connection.send_packed_command([b"".join(call)])
            waiting += 1
            if waiting == _CALLS_IN_FLIGHT:
                connection.read_response()
                waiting -= 1
        while waiting:
            waiting -= 1
            connection.read_response()
    except BaseException:
        connection.disconnect()  # some answers have not been read
        raise
    finally:
        node.connection_pool.release(connection)


def _bulk(column: pa.Array) -> pa.Array:
    """Each byte string framed as a Redis argument."""
    lengths = pa.compute.binary_length(column).to_numpy(zero_copy_only=False)
    if len(lengths) and int(lengths.max()) < _CACHED_LENGTHS:
        sizes = _sizes().take(pa.array(lengths, pa.int32()))
    else:
        sizes = pa.array([b"$%d\r\n" % length for length in lengths], pa.binary())
    return join(sizes, column, constant(b"\r\n", len(column)))


@cache
def _sizes() -> pa.Array:
    return pa.array([b"$%d\r\n" % length for length in range(_CACHED_LENGTHS)], pa.binary())


def _argument(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else str(value).encode()
    return b"$%d\r\n%s\r\n" % (len(text), text)


def _buffers(column: pa.Array) -> tuple[npt.NDArray[np.int32], memoryview]:
    _, ends, data = column.buffers()
    offsets = np.frombuffer(ends, np.int32, len(column) + 1, column.offset * 4)
    return offsets, memoryview(data) if data is not None else memoryview(b"")


def _ends(count: int, most: int) -> list[int]:
    return [*range(most, count, most), count]


def _ends_of_slots(slots: npt.NDArray[np.int64], most: int) -> list[int]:
    """Where calls end: at every change of slot, and after `most` keys of one slot."""
    changes = (np.flatnonzero(np.diff(slots)) + 1).tolist()
    ends: list[int] = []
    start = 0
    for change in [*changes, len(slots)]:
        ends += [start + end for end in _ends(change - start, most)]
        start = change
    return ends


def _range(window: Window) -> list[int]:
    """The four numbers of a range: start and end, each in seconds and nanoseconds."""
    ends = (divmod(microseconds(end), 1_000_000) for end in (window.start, window.end))
    return [number for seconds, micros in ends for number in (seconds, micros * 1000)]


def _key_prefix(view: Any) -> bytes:
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix

    return bytes(serialize_entity_key_prefix(list(view.join_keys), 3))


def _escaped(literal: bytes) -> bytes:
    return b"".join(
        b"\\" + bytes([byte]) if byte in b"*?[]\\^" else bytes([byte]) for byte in literal
    )


def _is_entity_key(body: memoryview) -> bool:
    """Whether the bytes are one serialized entity key: names, then as many values."""
    names = int.from_bytes(body[:4], "little")
    at = 4
    for _ in range(2 * names):
        if at + 8 > len(body):
            return False
        at += 8 + int.from_bytes(body[at + 4 : at + 8], "little")
    return at == len(body)
