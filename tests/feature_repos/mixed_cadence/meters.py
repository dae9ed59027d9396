from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float64

meter = Entity(name="meter", join_keys=["meter_id"])
readings = FileSource(
    name="meter_readings", path="data/readings.parquet", timestamp_field="read_at"
)

load_now = FeatureView(
    name="load_now",
    entities=[meter],
    ttl=timedelta(days=3650),
    schema=[Field(name="kw", dtype=Float64)],
    source=readings,
    tags={"dagster/partitions": "hourly", "dagster/freshness": "3h"},
)
load_of_day = FeatureView(
    name="load_of_day",
    entities=[meter],
    ttl=timedelta(days=3650),
    schema=[Field(name="kwh", dtype=Float64)],
    source=readings,
    tags={"dagster/cron": "30 4 * * *"},
)
