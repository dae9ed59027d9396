"""Repos with the offline store of this package, and what to put into them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from worlds import repos
from worlds.repos import TIME, write_table

OURS = "feature_platform.plugins.PointInTimeOfflineStore"
STREAMING = {"type": "feature_platform.plugins.StreamingComputeEngine"}
AMOUNT = ["user_stats:amount"]


def frame(*rows: tuple[int | None, datetime | None], **more: Any) -> pd.DataFrame:
    """Entity rows of user and moment."""
    users, moments = zip(*rows, strict=True) if rows else ((), ())
    return pd.DataFrame({"user_id": list(users), "event_timestamp": list(moments), **more})


def opened(folder: Path, *objects: Any, offline: dict[str, Any] | None = None) -> FeatureStore:
    """A store of its own with these objects applied."""
    return repos.opened(folder, *objects, offline_store=offline or {"type": OURS})


USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)


def source_of(path: str, name: str = "events", **more: Any) -> FileSource:
    return FileSource(name=name, path=path, **{"timestamp_field": "event_timestamp", **more})


def view_of(source: FileSource, *fields: Field, name: str = "view", **more: Any) -> FeatureView:
    return FeatureView(
        name=name, source=source, schema=list(fields), **{"entities": [USER], **more}
    )


def written(path: Path, **columns: Any) -> Path:
    """A Parquet file; times are microseconds of UTC unless they have a type."""
    listed = isinstance(columns.get("event_timestamp"), list)
    return write_table(path, columns, {"event_timestamp": TIME} if listed else {})
