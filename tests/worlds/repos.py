"""Small Feast repos: how one is opened, how its tables are written, what it defines."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.repo_contents import RepoContents

TIME = pa.timestamp("us", "UTC")
"""The type of an event time; Arrow infers it of aware datetimes."""


def config(folder: Path, **more: Any) -> RepoConfig:
    """The project `shop`, all of it below the folder but for what is given."""
    settings = {
        "project": "shop",
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "online_store": {"type": "sqlite", "path": str(folder / "online.db")},
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
        "repo_path": folder,
    }
    return RepoConfig(**settings | more)


def opened(folder: Path, *objects: Any, **more: Any) -> FeatureStore:
    """A store of its own, as another process would have, with these objects applied."""
    store = FeatureStore(config=config(folder, **more))
    if objects:
        store.apply(list(objects))
    return store


def contents(*objects: Any) -> RepoContents:
    """What a repo with these entities, sources and feature views defines."""

    def of(kind: type) -> list[Any]:
        return [each for each in objects if isinstance(each, kind)]

    return RepoContents(
        projects=[],
        data_sources=of(DataSource),
        feature_views=of(FeatureView),
        on_demand_feature_views=[],
        stream_feature_views=[],
        label_views=[],
        entities=of(Entity),
        feature_services=[],
        permissions=[],
    )


def write_table(
    path: Path, columns: Mapping[str, Any], types: Mapping[str, pa.DataType] | None = None
) -> Path:
    """Write a Parquet file; types are inferred unless they are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: pa.array(values, (types or {}).get(name)) for name, values in columns.items()}
    # Feast reads no types out of lists whose items are called "element".
    pq.write_table(pa.table(arrays), path, use_compliant_nested_type=False)
    return path


def change_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace a table by what becomes of it."""
    pq.write_table(change(pq.read_table(path)), path, use_compliant_nested_type=False)


def change_rows(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the rows of a table in their list, or return others; the columns stay."""

    def changed(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        others = change(rows)
        return pa.Table.from_pylist(rows if others is None else others, schema=table.schema)

    change_table(path, changed)


def change_column(path: Path, name: str, values: Any) -> None:
    """Replace the values of a column, and its type by theirs."""
    change_table(path, lambda table: table.set_column(table.column_names.index(name), name, values))


VIEWS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64, String

customer = Entity(name="customer")


def table(name, folder=""):
    path = f"data/{folder or name}/*.parquet"
    return FileSource(name=name, path=path, timestamp_field="ts")


def view(name, source, days, features=("orders",), **tags):
    kinds = features if isinstance(features, dict) else dict.fromkeys(features, Int64)
    schema = [Field(name=each, dtype=kind) for each, kind in {"customer": Int64, **kinds}.items()]
    tags = {"dagster/drift": "off"} | {f"dagster/{tag}": value for tag, value in tags.items()}
    return FeatureView(
        name=name, entities=[customer], schema=schema, source=source,
        ttl=timedelta(days=days), tags=tags,
    )
"""
"""The head of a ``views.py`` about customers, which tests go on to write."""
