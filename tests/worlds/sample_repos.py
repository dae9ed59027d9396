"""Small Feast repos with Parquet sources, for tests of what is materialized from them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
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
from feast.types import Float64, Int64, String
from worlds.repos import TIME, config

ROWS = pa.schema(
    [
        ("user_id", pa.int64()),
        ("event_timestamp", TIME),
        ("created", TIME),
        ("amount", pa.float64()),
        ("visits", pa.int64()),
        ("city", pa.string()),
    ]
)
SCHEMA = [
    Field(name="amount", dtype=Float64),
    Field(name="visits", dtype=Int64),
    Field(name="city", dtype=String),
]


def row(user: int | None, moment: datetime, amount: float | None = None, **more: Any) -> dict:
    """One source row; `created` defaults to the event time."""
    return {
        "user_id": user,
        "event_timestamp": moment,
        "created": more.get("created", moment),
        "amount": amount,
        "visits": more.get("visits"),
        "city": more.get("city"),
    }


@dataclass
class SampleRepo:
    """A Feast store in a folder, with the source `stats` and the view `user_stats` of it."""

    folder: Path
    online: Mapping[str, Any] = field(default_factory=lambda: {"type": "sqlite"})
    registry: Any = None
    offline: str = "duckdb"
    project: str = "shop"
    created: bool = True
    ttl: timedelta = timedelta(0)
    views: tuple[str, ...] = ("user_stats",)
    engine: Any = "local"
    keep: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.keep:
            self.write([])

    @property
    def source(self) -> FileSource:
        return FileSource(
            name="stats",
            path=str(self.folder / "stats.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created" if self.created else "",
        )

    def objects(self) -> list[Any]:
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        views = [
            FeatureView(name=name, entities=[user], schema=SCHEMA, source=self.source, ttl=self.ttl)
            for name in self.views
        ]
        return [user, self.source, *views]

    def config(self) -> RepoConfig:
        online = dict(self.online)
        if "ite" in online["type"] and "path" not in online:
            online["path"] = str(self.folder / "online.db")
        return config(
            self.folder,
            project=self.project,
            online_store=online,
            offline_store={"type": self.offline},
            batch_engine=self.engine,
            **({"registry": self.registry} if self.registry else {}),
        )

    def open(self) -> FeatureStore:
        """A store of its own, as another process would have."""
        return FeatureStore(config=self.config())

    def applied(self) -> FeatureStore:
        store = self.open()
        store.apply(self.objects())
        return store

    def pushed(self, *features: str) -> FeatureStore:
        """The same with the view `pushed` of these features, or all, fed by the stream `clicks`."""
        store = self.applied()
        push = PushSource(name="clicks", batch_source=self.source)
        view = FeatureView(
            name="pushed",
            entities=[store.get_entity("user")],
            schema=[each for each in SCHEMA if each.name in features or not features],
            source=push,
            ttl=timedelta(0),
        )
        store.apply([push, view])
        return store

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the source table."""
        pq.write_table(pa.Table.from_pylist(list(rows), ROWS), self.folder / "stats.parquet")


@pytest.fixture
def repo(tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "repo")


def served(store: FeatureStore, *users: int, view: str = "user_stats") -> list[float | None]:
    """The amount online of each user."""
    answer = store.get_online_features(
        features=[f"{view}:amount"], entity_rows=[{"user_id": user} for user in users]
    ).to_dict()
    return list(answer["amount"])


GUARDED = {
    "sqlite": "feature_platform.plugins.GuardedSqliteOnlineStore",
    "redis": "feature_platform.plugins.GuardedRedisOnlineStore",
    "postgres": "feature_platform.plugins.GuardedPostgreSQLOnlineStore",
}

UNKNOWN = {
    "sqlite": "worlds.unknown_stores.UnknownSqliteOnlineStore",
    "postgres": "worlds.unknown_stores.UnknownPostgreSQLOnlineStore",
}


def online_config(kind: str, request: Any) -> dict[str, Any]:
    """The ``online_store`` section for a kind of store, its server started.

    Kinds are ``sqlite``, ``redis``, ``redis_cluster``, ``postgres``, ``dynamodb``; with
    ``guarded_`` before it, the class of this package; with ``unknown_``, one it knows nothing of.
    """
    plain = kind.removeprefix("guarded_").removeprefix("unknown_")
    server = plain.removesuffix("_cluster")
    type_name = GUARDED[server] if kind.startswith("guarded_") else server
    if kind.startswith("unknown_"):
        type_name = UNKNOWN[server]
    if plain == "sqlite":
        return {"type": type_name}
    if plain == "redis":
        address = request.getfixturevalue("redis_server").address
        return {"type": type_name, "connection_string": address}
    if plain == "redis_cluster":
        address = request.getfixturevalue("redis_cluster").address
        return {"type": type_name, "redis_type": plain, "connection_string": address}
    if plain == "postgres":
        running = request.getfixturevalue("postgres_server")
        return running.online(running.new_database(), type_name)
    return {
        "type": "dynamodb",
        "region": "us-east-1",
        "endpoint_url": request.getfixturevalue("aws"),
    }
