from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Int64

shop = Entity(name="shop id", join_keys=["shop-id"])

# No names of their own: Feast calls them by their paths.
orders = FileSource(path="data/eu/orders.parquet", timestamp_field="event time")
orders_of_asia = FileSource(path="data/asia/orders.parquet", timestamp_field="event time")
returns = FileSource(name="returns v1.2 (raw)", path="data/returns.parquet", timestamp_field="ts")

orders_eu = FeatureView(
    name="orders-eu.v1",
    entities=[shop],
    schema=[Field(name="n orders", dtype=Int64)],
    source=orders,
    owner="Jo Doe, Logistics",
    tags={
        "cost center": "42",
        "note": "spaces, commas & more",
        "team": "logistics",
        "a/b/c": "nested",
        "empty": "",
    },
)
orders_eu_too = FeatureView(
    name="orders_eu_v1",
    entities=[shop],
    schema=[Field(name="n orders", dtype=Int64)],
    source=orders,
    owner="@logistics",
)
orders_asia = FeatureView(
    name="orders asia",
    entities=[shop],
    schema=[Field(name="n orders", dtype=Int64)],
    source=orders_of_asia,
    owner="team:logistics asia",
)
returned = FeatureView(
    name="returns",
    entities=[shop],
    schema=[Field(name="n", dtype=Int64)],
    source=returns,
    tags={"owner": "nobody in particular", "dagster/cron": "0 6-7 * * *"},
)
shops = FeatureService(name="shops (all)", features=[orders_eu, returned], owner="a b c")
