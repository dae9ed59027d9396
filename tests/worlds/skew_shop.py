"""A Feast store of users, shops and pairs of the two, for tests of skew."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    ValueType,
)
from feast.types import Array, Float64, Int64, String
from worlds import repos
from worlds.repos import TIME, write_table
from worlds.times import midnight

from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.skew.service_skew import FeatureSkew, ServiceSkew, service_skew

TODAY = midnight()
USERS = range(1, 61)
ENTITIES = {
    "user_id": Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64),
    "shop": Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING),
}


def ago(days: float) -> datetime:
    return TODAY - timedelta(days=days)


def user_rows(days: Sequence[int] = (3, 2, 1)) -> dict[str, list[Any]]:
    """Sixty users, a row a day at noon; every seventh without an amount, every fifth with none."""
    rows = [(user, day) for day in days for user in USERS]
    return {
        "user_id": [user for user, _ in rows],
        "ts": [ago(day - 0.5) for _, day in rows],
        "created": [ago(day - 0.6) for _, day in rows],
        "amount": [None if u % 7 == 0 else 10.0 * u + d for u, d in rows],
        "visits": [0 if u % 5 == 0 else u for u, _ in rows],
        "city": [("SEL", "TYO", "NYC")[u % 3] for u, _ in rows],
        "scores": [[float(u), float(d)] if u % 4 else None for u, d in rows],
    }


def write(path: Path, columns: Mapping[str, Any]) -> None:
    types = {"ts": TIME, "created": TIME, "scores": pa.list_(pa.float64()), "amount": pa.float64()}
    write_table(path, columns, types)


@dataclasses.dataclass
class Shop:
    """A Feast store of users, pairs of users and shops, and services on them."""

    folder: Path
    ttl: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        write(self.folder / "users.parquet", user_rows())
        pairs = [(user, shop) for user in range(1, 41) for shop in ("a", "b") if user % 2]
        write(
            self.folder / "pairs.parquet",
            {
                "user_id": [user for user, _ in pairs],
                "shop": [shop for _, shop in pairs],
                "ts": [ago(1.2)] * len(pairs),
                "orders": [user + len(shop) for user, shop in pairs],
            },
        )
        shops = {"shop": ["a", "b", "c"], "ts": [ago(1.5)] * 3, "rating": [4.0, 3.0, 5.0]}
        write(self.folder / "shops.parquet", shops)

    def source(self, name: str, *, created: bool = False) -> FileSource:
        return FileSource(
            name=name,
            path=str(self.folder / f"{name}.parquet"),
            timestamp_field="ts",
            created_timestamp_column="created" if created else "",
        )

    def open(self) -> FeatureStore:
        return repos.opened(self.folder)

    def view(self, name: str, keys: Sequence[str], source: Any, **fields: Any) -> FeatureView:
        return FeatureView(
            name=name,
            entities=[ENTITIES[key] for key in keys],
            schema=[Field(name=field, dtype=dtype) for field, dtype in fields.items()],
            source=source,
            ttl=self.ttl,
        )

    @property
    def users(self) -> FeatureView:
        return self.view(
            *("users", ["user_id"], self.source("users", created=True)),
            amount=Float64,
            visits=Int64,
            city=String,
            scores=Array(Float64),
        )

    @property
    def pairs(self) -> FeatureView:
        return self.view("pairs", ["user_id", "shop"], self.source("pairs"), orders=Int64)

    @property
    def shops(self) -> FeatureView:
        return self.view("shops", ["shop"], self.source("shops"), rating=Float64)

    def apply(self, service: FeatureService, *objects: Any) -> FeatureStore:
        store = self.open()
        store.apply([*ENTITIES.values(), *objects, service])
        return self.open()

    def materialize(self, view: str, first: float = 3, last: float = 0) -> None:
        materialize_window(self.open(), view, ago(first), ago(last))

    def skew(self, service: str = "model", **arguments: Any) -> dict[str, FeatureSkew]:
        return {each.name: each for each in self.found(service, **arguments).features}

    def found(self, service: str = "model", **arguments: Any) -> ServiceSkew:
        return service_skew(self.open(), service, **arguments)

    def overwrite(self, users: Sequence[int], day: int = 1, **values: Any) -> None:
        """What somebody else writes online, at the event time of the day's own row."""
        rows = pd.DataFrame(user_rows((day,))).astype({"amount": object})
        rows = rows[rows.user_id.isin(users)]
        for name, value in values.items():
            rows[name] = [value] * len(rows)
        self.open().write_to_online_store("users", rows)


def counts(found: FeatureSkew) -> dict[str, int]:
    assert found.parity is not None
    return dict(found.parity.counts)
