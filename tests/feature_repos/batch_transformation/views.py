from feast import BatchFeatureView, Entity, Field, FileSource
from feast.aggregation import Aggregation
from feast.types import Float64, Int64
from datetime import timedelta

device = Entity(name="device", join_keys=["device_id"])
pings = FileSource(name="pings", path="data/pings.parquet", timestamp_field="ts")


def in_milliseconds(frame):
    frame["latency_ms"] = frame["latency_s"] * 1000
    return frame


latency = BatchFeatureView(
    name="latency",
    entities=[device],
    mode="pandas",
    udf=in_milliseconds,
    udf_string="def in_milliseconds(frame): ...",
    schema=[Field(name="latency_ms", dtype=Float64)],
    source=pings,
    online=True,
)
ping_count = BatchFeatureView(
    name="ping_count",
    entities=[device],
    schema=[Field(name="count_pings", dtype=Int64)],
    aggregations=[Aggregation(column="pings", function="count", time_window=timedelta(days=1))],
    source=pings,
    online=True,
)
plain = BatchFeatureView(
    name="plain",
    entities=[device],
    schema=[Field(name="pings", dtype=Int64)],
    source=pings,
    online=True,
)
