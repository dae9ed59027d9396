"""Every class of source that Feast has: applied once, a second plan changes nothing."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from feast import (
    Entity,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    KinesisSource,
    PushSource,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import AvroFormat, JsonFormat, ParquetFormat
from feast.data_source import DataSource
from feast.table_format import IcebergFormat
from feast.types import Int64
from worlds.repos import contents, opened

from feature_platform.registry.registry_apply import apply, plan

STORES = "feast.infra.offline_stores"
CONTRIB = f"{STORES}.contrib"
CATALOGS = "feast.infra.data_sources.contrib"
ICEBERG = {"warehouse": "w", "namespace": "n", "table": "t"}
# A class, and what each of two sources of it has besides a name and a time.
BATCH: Mapping[str, list[dict[str, Any]]] = {
    f"{STORES}.file_source:FileSource": [
        {"path": "data/a.parquet"},
        {"path": "s3://b/a", "file_format": ParquetFormat(), "s3_endpoint_override": "http://x"},
    ],
    f"{STORES}.bigquery_source:BigQuerySource": [
        {"table": "d.t"},
        {"query": "SELECT 1", "timestamp_field_type": "DATE"},
    ],
    f"{STORES}.redshift_source:RedshiftSource": [
        {"table": "t"},
        {"query": "SELECT 1", "schema": "s", "database": "d"},
    ],
    f"{STORES}.snowflake_source:SnowflakeSource": [
        {"table": "t"},
        {"query": "SELECT 1", "database": "d", "schema": "s"},
    ],
    f"{CONTRIB}.spark_offline_store.spark_source:SparkSource": [
        {"table": "t"},
        {"query": "SELECT 1"},
        {"path": "data/a", "file_format": "parquet"},
        {
            "path": "data/a",
            "file_format": "avro",
            "table_format": IcebergFormat(),
            "date_partition_column": "day",
            "date_partition_column_format": "%Y%m%d",
        },
    ],
    f"{CONTRIB}.postgres_offline_store.postgres_source:PostgreSQLSource": [
        {"table": "t"},
        {"query": "SELECT 1"},
    ],
    f"{CONTRIB}.athena_offline_store.athena_source:AthenaSource": [
        {"table": "t", "data_source": "c", "database": "d"},
        {"query": "SELECT 1"},
    ],
    f"{CONTRIB}.mssql_offline_store.mssqlserver_source:MsSqlServerSource": [
        {"table_ref": "t", "connection_str": "mssql://h/d"}
    ],
    f"{CONTRIB}.oracle_offline_store.oracle_source:OracleSource": [{"table_ref": "t"}],
    f"{CONTRIB}.chronon_offline_store.chronon_source:ChrononSource": [
        {"materialization_path": "data/a", "chronon_group_by": "g"}
    ],
    f"{CONTRIB}.mongodb_offline_store.mongodb:MongoDBSource": [{}],
    f"{CONTRIB}.trino_offline_store.trino_source:TrinoSource": [
        {"table": "t"},
        {"query": "SELECT 1"},
    ],
    f"{CONTRIB}.clickhouse_offline_store.clickhouse_source:ClickhouseSource": [{"table": "t"}],
    f"{CONTRIB}.ray_offline_store.ray_source:RaySource": [
        {"reader_type": "parquet", "path": "data/a"}
    ],
    f"{CONTRIB}.couchbase_offline_store.couchbase_source:CouchbaseColumnarSource": [
        {"query": "SELECT 1"}
    ],
    f"{CATALOGS}.iceberg_catalog.iceberg_source:IcebergSource": [ICEBERG],
    f"{CATALOGS}.iceberg_catalog.unity_catalog_source:UnityCatalogSource": [
        {**ICEBERG, "endpoint": "https://x"}
    ],
    f"{CATALOGS}.lance.lance_source:LanceSource": [{"uri": "data/a.lance"}],
}
MORE = {
    "description": "What it holds.",
    "tags": {"tier": "gold"},
    "owner": "a@example.com",
    "field_mapping": {"aantal": "n"},
    "created_timestamp_column": "made",
}


def source(path: str, more: Mapping[str, Any]) -> DataSource:
    try:
        made = resolve_name(path)
    except ImportError as error:  # the driver of a store that is not installed
        pytest.skip(str(error))
    time = "event_timestamp_column" if "_ref" in str([*more]) else "timestamp_field"
    return made(name="events", **{time: "at"}, **more)


def view(of: DataSource) -> list[Any]:
    key = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    schema = [Field(name="n", dtype=Int64), Field(name="shop_id", dtype=Int64)]
    if isinstance(of, KafkaSource):
        made = StreamFeatureView(
            name="v",
            entities=[key],
            ttl=timedelta(0),
            source=of,
            schema=schema,
            timestamp_field="at",
        )
    else:
        made = FeatureView(name="v", entities=[key], ttl=timedelta(0), source=of, schema=schema)
    return [key, of, made]


def applied_twice(folder: Path, registry: str, make: Callable[[], list[Any]]) -> None:
    registries: dict[str, Any] = {
        "file": str(folder / "registry.db"),
        "sqlite": {"registry_type": "sql", "path": f"sqlite:///{folder}/registry.sqlite"},
    }

    def repo() -> Any:
        # Another process imports the repo anew.
        found = contents(*make())
        found.stream_feature_views[:] = [v for v in make() if isinstance(v, StreamFeatureView)]
        found.feature_views[:] = [
            each for each in found.feature_views if not isinstance(each, StreamFeatureView)
        ]
        return found

    def store() -> Any:
        return opened(folder, registry=registries[registry])

    first = apply(store(), repo())
    assert "data source events" in first.added
    for change in (plan(store(), repo()), apply(store(), repo()), plan(store(), repo())):
        assert not change, change.text


@pytest.mark.parametrize("registry", ["file", "sqlite"])
@pytest.mark.parametrize(
    ("path", "number"),
    [(path, number) for path, each in BATCH.items() for number in range(len(each))],
)
@pytest.mark.parametrize("more", [{}, MORE], ids=["plain", "described"])
def test_a_batch_source_that_was_applied_does_not_differ(
    path: str, number: int, more: Mapping[str, Any], registry: str, tmp_path: Path
) -> None:
    options = BATCH[path][number] | more
    if path.endswith("MongoDBSource"):
        options.pop("field_mapping", None)
    applied_twice(tmp_path, registry, lambda: view(source(path, options)))


def _file(more: Mapping[str, Any]) -> FileSource:
    return FileSource(name="table", path="data/a.parquet", timestamp_field="at", **more)


STREAMS: Mapping[str, Callable[[Mapping[str, Any]], DataSource]] = {
    "push": lambda more: PushSource(name="events", batch_source=_file(more)),
    "kafka": lambda more: KafkaSource(
        name="events", timestamp_field="at", topic="t", kafka_bootstrap_servers="h:9092",
        message_format=JsonFormat(schema_json="n int"), batch_source=_file(more),
        watermark_delay_threshold=timedelta(minutes=5),
    ),
    "kinesis": lambda more: KinesisSource(
        name="events", timestamp_field="at", region="r", stream_name="s",
        record_format=AvroFormat(schema_json="{}"), batch_source=_file(more),
    ),
}  # fmt: skip


@pytest.mark.parametrize("registry", ["file", "sqlite"])
@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("more", [{}, MORE], ids=["plain", "described"])
def test_a_stream_source_that_was_applied_does_not_differ(
    kind: str, more: Mapping[str, Any], registry: str, tmp_path: Path
) -> None:
    applied_twice(tmp_path, registry, lambda: view(STREAMS[kind](more)))


def test_a_source_that_was_changed_still_differs(tmp_path: Path) -> None:
    path = f"{CONTRIB}.spark_offline_store.spark_source:SparkSource"
    apply(opened(tmp_path), contents(*view(source(path, {"table": "t"}))))
    change = plan(opened(tmp_path), contents(*view(source(path, {"table": "other"}))))
    assert "data source events" in change.updated
