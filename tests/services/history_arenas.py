"""A Feast repo in which one history after the other is played, each on an empty online store."""

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    ValueType,
)
from feast.data_source import DataSource, PushMode
from feast.repo_config import RegistryConfig
from feast.repo_contents import RepoContents
from feast.types import Float64, Int64, String
from history_oracle import FEATURES, SHAPES, Calendar, Fact, Key, Row, Shape

from feature_platform.core import file_locks
from feature_platform.materialize import vanished_keys as vanished
from feature_platform.registry.registry_apply import apply
from feature_platform.registry.windows_on_record import change_windows, load_view
from feature_platform.sources import relation

PROJECT = "shop"
ROWS = pa.schema(
    [
        ("user_id", pa.int64()),
        ("shop", pa.string()),
        ("event_timestamp", pa.timestamp("us", tz="UTC")),
        ("created", pa.timestamp("us", tz="UTC")),
        ("amount", pa.float64()),
        ("visits", pa.int64()),
        ("city", pa.string()),
    ]
)
# Where the TTL of the view that has one ends: within the second cell, so that a window can hold
# rows on both sides. Far enough from any row's time that it may move while histories are played.
_EXPIRED_CELLS = 1.2


def lately() -> Calendar:
    """Half days that ended weeks ago."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return Calendar(hour - timedelta(days=40), timedelta(hours=12))


def around_a_change_of_clocks(start: datetime) -> Calendar:
    """Cells that begin and end within the hours around it."""
    return Calendar(start, timedelta(minutes=45))


class Arena:
    """A repo, its store, and what differs between one kind of online store and another.

    Args:
        kind: As `sample_repos.online_config` names them, or ``unknown_`` before a store: through
            Feast's interface alone.
        online: The ``online_store`` section.
        calendar: What the numbers in histories mean.
        shapes: Its views.
        versioned: Whether every version of a view has an online table of its own.
    """

    def __init__(
        self,
        kind: str,
        online: dict[str, Any],
        calendar: Calendar,
        *,
        shapes: Sequence[Shape] = SHAPES,
        versioned: bool = False,
    ) -> None:
        self.kind = kind
        self.calendar = calendar
        self.guarded = kind.startswith("guarded_")
        self.has_bulk = not kind.startswith(("unknown_", "dynamodb"))
        self.keeps_seconds = kind == "unknown_sqlite"
        in_memory = Path("/dev/shm")  # noqa: S108 - a disk would be waited for at every commit
        self.folder = Path(
            tempfile.mkdtemp(prefix="histories-", dir=in_memory if in_memory.exists() else None)
        )
        self.online = dict(online)
        if "sqlite" in kind:
            self.online["path"] = str(self.folder / "online.db")
        self.fresh = calendar.start + calendar.cell * _EXPIRED_CELLS
        self.shapes = tuple(shapes)
        self.versioned = versioned
        self._ttl = datetime.now(UTC) - self.fresh
        # The type of a feature, which a change of the definition changes: ints are floats as well.
        self._visits: dict[str, Any] = {shape.name: Int64 for shape in shapes}
        self._visits_then: dict[tuple[str, int], Any] = {}
        self.write([])
        self.store = self.open()
        self.store.apply(self._objects({}))
        self._clear = _clearing(kind, self.online, self.folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self) -> FeatureStore:
        """A store of its own, as another process would have."""
        return store_in(self.folder, self.online, versioned=self.versioned)

    def reopen(self) -> None:
        self.store = self.open()

    def begin(self, shape: Shape) -> None:
        """Nothing online, nothing recorded, an empty source."""
        self._clear(shape.name)
        change_windows(self.store, shape.name, lambda _: [])
        self.write([])

    def lose_online(self, shape: Shape) -> None:
        self._clear(shape.name)

    def version(self, shape: Shape) -> int:
        """The number of the view's version that is materialized."""
        return load_view(self.store, shape.name).current_version_number or 0

    def change(self, shape: Shape) -> None:
        """Apply another definition of the view, which makes a new version of it."""
        known = self._visits[shape.name]
        self._visits_then[shape.name, self.version(shape)] = known
        self._visits[shape.name] = Int64 if known == Float64 else Float64
        self._apply(shape, "latest")

    def pin(self, shape: Shape, version: int) -> None:
        """Go back to a version that was left."""
        self._visits_then[shape.name, self.version(shape)] = self._visits[shape.name]
        self._apply(shape, f"v{version}")  # with the definition as it is, as Feast wants it
        self._visits[shape.name] = self._visits_then[shape.name, version]

    def apply_again(self, shape: Shape) -> None:
        """Apply the definitions as they are."""
        self._apply(shape, "latest")

    def write(self, facts: Iterable[Fact]) -> None:
        """Replace the source table, whole: a reader has the one before or this one."""
        rows = [fact.row(self.calendar) for fact in facts]
        path = self.folder / "stats.parquet"
        fresh = path.with_suffix(".new")
        pq.write_table(pa.Table.from_pylist(rows, ROWS), fresh)
        fresh.replace(path)

    def push(self, shape: Shape, row: Row) -> None:
        """Let a stream, in a process of its own, put a row online."""
        columns = ["user_id", "event_timestamp", *FEATURES]
        if shape.has_created:
            columns.append("created")
        frame = pd.DataFrame([{name: row[name] for name in columns}])
        self.open().push(f"{shape.name}_events", frame, to=PushMode.ONLINE)

    def served(
        self, shape: Shape, keys: Sequence[Key], version: int | None = None
    ) -> dict[Key, Row]:
        """What is online of each key, in the version that is materialized or in another."""
        view = shape.name if version is None else f"{shape.name}@v{version}"
        entities = [
            dict(zip(shape.keys, key, strict=True)) if key else {"__dummy_id": ""} for key in keys
        ]
        answer = self.store.get_online_features(
            features=[f"{view}:{name}" for name in FEATURES], entity_rows=entities
        ).to_dict()
        return {
            key: {name: answer[name][place] for name in FEATURES} for place, key in enumerate(keys)
        }

    def _apply(self, shape: Shape, version: str) -> None:
        objects = self._objects({shape.name: version})
        of = {
            kind: [each for each in objects if isinstance(each, kind)]
            for kind in (Entity, DataSource, FeatureView)
        }
        apply(
            self.store,
            RepoContents(
                projects=[],
                data_sources=of[DataSource],
                feature_views=of[FeatureView],
                on_demand_feature_views=[],
                stream_feature_views=[],
                label_views=[],
                entities=of[Entity],
                feature_services=[],
                permissions=[],
            ),
        )

    def _objects(self, versions: Mapping[str, str]) -> list[Any]:
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
        entities = {"user_id": user, "shop": shop}
        path = str(self.folder / "stats.parquet")
        objects: list[Any] = [user, shop]
        for shape in self.shapes:
            source: Any = FileSource(
                name=f"{shape.name}_rows",
                path=path,
                timestamp_field="event_timestamp",
                created_timestamp_column="created" if shape.has_created else "",
            )
            if shape.streamed:
                source = PushSource(name=f"{shape.name}_events", batch_source=source)
            view = FeatureView(
                name=shape.name,
                entities=[entities[key] for key in shape.keys],
                schema=[
                    Field(name="amount", dtype=Float64),
                    Field(name="visits", dtype=self._visits[shape.name]),
                    Field(name="city", dtype=String),
                ],
                source=source,
                ttl=self._ttl if shape.expires else timedelta(0),
                version=versions.get(shape.name, "latest"),
            )
            objects += [source, view]
        return objects


def store_in(folder: Path, online: dict[str, Any], *, versioned: bool = False) -> FeatureStore:
    """The store of an arena's folder."""
    registry = RegistryConfig(
        path=str(folder / "registry.db"), enable_online_feature_view_versioning=versioned
    )
    return FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry=registry,
            online_store=dict(online),
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


@contextmanager
def one_duckdb() -> Iterator[None]:
    """Let every reading of a source be a connection of its own to one DuckDB, which is made once.

    Making a database takes longer than all else that is done with a source of a dozen rows.
    """
    database = duckdb.connect(":memory:")
    for setting in (
        "SET preserve_insertion_order = false",
        "SET enable_progress_bar = false",
        # A file that is replaced within the clock's tick would be taken for the one before.
        "SET enable_external_file_cache = false",
        "SET threads = 1",
    ):
        database.execute(setting)

    @contextmanager
    def connection() -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = database.cursor()
        try:
            cursor.execute("SET TimeZone = 'UTC'")
            yield cursor
        finally:
            cursor.close()

    with (
        patch.object(relation, "spilling_connection", connection),
        patch.object(vanished, "spilling_connection", connection),
        patch.object(file_locks, "_POLL_SECONDS", 0.001),
    ):
        yield
    database.close()


def _clearing(kind: str, online: dict[str, Any], folder: Path) -> Callable[[str], None]:
    """Takes out all rows and notes of a view, each kind of store its own way."""
    if "sqlite" in kind:
        return lambda view: _clear_sqlite(folder / "online.db", view)
    if "redis" in kind:
        return _clear_redis(online)
    if "postgres" in kind:
        return _clear_postgres(online)
    return _clear_dynamodb(online)


def _clear_sqlite(path: Path, view: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for table in _of_view(tables.fetchall(), view):
            connection.execute(f"DELETE FROM {table}")
        notes = "SELECT 1 FROM sqlite_master WHERE name = 'feature_platform_notes'"
        if connection.execute(notes).fetchone():
            connection.execute("DELETE FROM feature_platform_notes")
    connection.close()


def _of_view(tables: Iterable[tuple[str, ...]], view: str) -> list[str]:
    """The tables of all versions of a view."""
    ours = re.compile(rf"{PROJECT}_{view}(_v\d+)?")
    return [name for (name,) in tables if ours.fullmatch(name)]


def _clear_redis(online: dict[str, Any]) -> Callable[[str], None]:
    from redis import Redis

    addresses = [address.split(":") for address in online["connection_string"].split(",")]
    clients = [Redis(host=host, port=int(port)) for host, port in addresses]

    def clear(_view: str) -> None:
        for client in clients:
            client.flushdb()

    return clear


def _clear_postgres(online: dict[str, Any]) -> Callable[[str], None]:
    import psycopg

    connection = psycopg.connect(
        host=online["host"],
        port=online["port"],
        dbname=online["database"],
        user=online["user"],
        sslmode="disable",
        autocommit=True,
    )

    def clear(view: str) -> None:
        tables = connection.execute("SELECT tablename FROM pg_tables")
        for table in _of_view(tables.fetchall(), view):
            connection.execute(f"DELETE FROM {table}")
        if connection.execute("SELECT to_regclass('feature_platform_notes')").fetchone() != (None,):
            connection.execute("DELETE FROM feature_platform_notes")

    return clear


def _clear_dynamodb(online: dict[str, Any]) -> Callable[[str], None]:
    import boto3

    resource = boto3.resource(
        "dynamodb", region_name=online["region"], endpoint_url=online["endpoint_url"]
    )

    def clear(view: str) -> None:
        table = resource.Table(f"{PROJECT}.{view}")
        for item in table.scan(ProjectionExpression="entity_id")["Items"]:
            table.delete_item(Key={"entity_id": item["entity_id"]})

    return clear
