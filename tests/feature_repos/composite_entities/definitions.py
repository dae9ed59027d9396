from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int32, String

rider = Entity(name="rider", join_keys=["rider_id"], value_type=ValueType.INT64)
city = Entity(name="city", join_keys=["city_code"], value_type=ValueType.STRING)

trips = FileSource(
    name="trips",
    path="data/trips.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
    description="Trips of a rider in a city, rolled up by the hour.",
    owner="rides@example.com",
)

rider_in_city = FeatureView(
    name="rider_in_city",
    entities=[rider, city],
    ttl=timedelta(days=0),
    schema=[
        Field(name="trips", dtype=Int32, description="Trips so far"),
        Field(name="mean_fare", dtype=Float64),
        Field(name="usual_payment", dtype=String, tags={"pii": "no"}),
    ],
    source=trips,
    owner="rides@example.com",
    tags={"tier": "gold", "dagster/freshness": "26h"},
    description="How a rider rides in one city.",
)

pricing = FeatureService(name="pricing", features=[rider_in_city], owner="pricing@example.com")
