"""Repos with the offline store of this package, and what to put into them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType

OURS = "feature_platform.plugins.PointInTimeOfflineStore"
STREAMING = {"type": "feature_platform.plugins.StreamingComputeEngine"}
AMOUNT = ["user_stats:amount"]


def frame(*rows: tuple[int | None, datetime | None], **more: Any) -> pd.DataFrame:
    """Entity rows of user and moment."""
    users, moments = zip(*rows, strict=True) if rows else ((), ())
    return pd.DataFrame({"user_id": list(users), "event_timestamp": list(moments), **more})


def opened(folder: Path, *objects: Any, offline: dict[str, Any] | None = None) -> FeatureStore:
    """A store of its own with these objects applied."""
    store = FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store=offline or {"type": OURS},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply(list(objects))
    return store


USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)


def source_of(path: str, name: str = "events", **more: Any) -> FileSource:
    return FileSource(name=name, path=path, **{"timestamp_field": "event_timestamp", **more})


def view_of(source: FileSource, *fields: Field, name: str = "view", **more: Any) -> FeatureView:
    return FeatureView(
        name=name, source=source, schema=list(fields), **{"entities": [USER], **more}
    )


def written(path: Path, **columns: Any) -> Path:
    """A Parquet file; times are microseconds of UTC unless they have a type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = columns.get("event_timestamp")
    if isinstance(times, list):
        columns["event_timestamp"] = pa.array(times, pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(columns), path)
    return path
