"""An online store of another distribution: Feast's class, a guarded writer, and the backend.

Every row of every view is a row of one table, which is nothing like what the product's own stores
do.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel

from feature_platform.core.windows import Window
from feature_platform.encoding.encoded_rows import EncodedRows, encode_feast_rows, microseconds
from feature_platform.errors import OnlineStoreError
from feature_platform.online.guarded_writer import Guard, OnlineKeys, guard_of, scanned_from
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.online_size import OnlineSize

TYPE = "worlds.shelf_store.ShelfOnlineStore"
_TABLES = """
CREATE TABLE IF NOT EXISTS shelf (
    view TEXT, key BLOB, cells TEXT, event_us INTEGER, created_us INTEGER, PRIMARY KEY (view, key)
);
CREATE TABLE IF NOT EXISTS notes (subject TEXT PRIMARY KEY, note TEXT);
"""


class ShelfOnlineStoreConfig(FeastConfigBaseModel):
    type: Literal["worlds.shelf_store.ShelfOnlineStore"] = TYPE
    path: str


class ShelfOnlineStore(OnlineStore):
    """What Feast calls."""

    def online_write_batch(self, config: Any, table: Any, data: Any, progress: Any) -> None:
        with closing(ShelfWriter(config)) as writer:
            for rows in encode_feast_rows(data, config.entity_key_serialization_version):
                writer.write(table, rows, guard_of(table))
                if progress:
                    progress(len(rows))

    def online_read(
        self,
        config: Any,
        table: Any,
        entity_keys: Any,
        requested_features: Any = None,  # noqa: ARG002 - all are read
    ) -> list[Any]:
        with closing(_connect(config)) as shelf:
            found = []
            for each in entity_keys:
                key = serialize_entity_key(each, config.entity_key_serialization_version)
                row = shelf.execute(
                    "SELECT cells, event_us FROM shelf WHERE view = ? AND key = ?",
                    (table.name, key),
                ).fetchone()
                if row is None:
                    found.append((None, None))
                    continue
                cells = json.loads(row[0])
                values = {name: Value.FromString(bytes.fromhex(cells[name])) for name in cells}
                found.append((datetime.fromtimestamp(row[1] / 1e6, UTC), values))
            return found

    def update(self, config: Any, *_: Any, **__: Any) -> None:
        _connect(config).close()

    def teardown(self, config: Any, *_: Any, **__: Any) -> None:
        _file(config).unlink(missing_ok=True)


class ShelfWriter:
    """What `materialize_window` calls."""

    def __init__(self, config: Any) -> None:
        self._shelf = _connect(config)

    def write(self, view: Any, rows: EncodedRows, guard: Guard) -> None:
        for place, key in enumerate(rows.keys.to_pylist()):
            time = int(rows.event_us[place]), int(rows.created_us[place])
            stored = self._shelf.execute(
                "SELECT event_us, created_us FROM shelf WHERE view = ? AND key = ?",
                (view.name, key),
            ).fetchone()
            kept = 2 if guard.compares_created else 1
            if stored and stored[:kept] > time[:kept] and not _is_governed(stored[0], guard):
                continue
            cells = {each.name: each.values[place].as_py().hex() for each in rows.features}
            self._shelf.execute(
                "REPLACE INTO shelf VALUES (?, ?, ?, ?, ?)",
                (view.name, key, json.dumps(cells), *time),
            )
        self._shelf.commit()

    def keys_within(self, view: Any, window: Window) -> Iterator[pa.Array]:
        found = self._shelf.execute(
            "SELECT key FROM shelf WHERE view = ? AND event_us >= ? AND event_us < ?",
            (view.name, *_ends(window)),
        )
        yield pa.array([key for (key,) in found], pa.binary())

    def keys_from(self, view: Any, window: Window, most: int) -> OnlineKeys | None:
        return scanned_from(self, view, window, most)

    def delete(self, view: Any, keys: Sequence[bytes], window: Window) -> None:
        self._shelf.executemany(
            "DELETE FROM shelf WHERE view = ? AND key = ? AND event_us >= ? AND event_us < ?",
            [(view.name, key, *_ends(window)) for key in keys],
        )
        self._shelf.commit()

    def note(self, view: Any, topic: str) -> str | None:
        found = self._shelf.execute(
            "SELECT note FROM notes WHERE subject = ?", (f"{view.name} {topic}",)
        ).fetchone()
        return found[0] if found else None

    def set_note(self, view: Any, topic: str, text: str | None) -> None:
        self._shelf.execute("REPLACE INTO notes VALUES (?, ?)", (f"{view.name} {topic}", text))
        self._shelf.commit()

    def close(self) -> None:
        self._shelf.close()


class ShelfBackend(OnlineBackend):
    """What the rest of the product calls."""

    types = (TYPE,)

    def writer(self, online: Any, config: Any) -> ShelfWriter:  # noqa: ARG002
        return ShelfWriter(config)

    def size(self, store: Any, views: Sequence[str]) -> OnlineSize:
        with closing(_connect(store.config)) as shelf:
            counts = dict(shelf.execute("SELECT view, count(*) FROM shelf GROUP BY view"))
        keys = {view: counts.get(view, 0) for view in views}
        return OnlineSize(keys, _file(store.config).stat().st_size, dict.fromkeys(views, 0))

    def examine(self, config: Any, timeout: float) -> None:  # noqa: ARG002
        if not _file(config).parent.is_dir():
            raise OnlineStoreError("shelf", "it hangs on no wall", "make its folder")


def _connect(config: Any) -> sqlite3.Connection:
    connection = sqlite3.connect(_file(config))
    connection.executescript(_TABLES)
    return connection


def _file(config: Any) -> Path:
    return Path(config.repo_path, config.online_store.path)


def _ends(window: Window) -> tuple[int, int]:
    return microseconds(window.start), microseconds(window.end)


def _is_governed(event_us: int, guard: Guard) -> bool:
    ends = map(_ends, guard.governed)
    return any(start <= event_us < end for start, end in ends)
