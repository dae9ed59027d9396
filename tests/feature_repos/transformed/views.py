from feast import BatchFeatureView, Entity, Field, FileSource, PushSource, StreamFeatureView
from feast.types import Float64, Int64

shop = Entity(name="shop", join_keys=["shop_id"])
key = Field(name="shop_id", dtype=Int64)
sales = FileSource(
    name="sales",
    path="data/sales.parquet",
    timestamp_field="sold_at",
    created_timestamp_column="booked_at",
)
visits = FileSource(name="visits", path="data/visits.parquet", timestamp_field="ts")


def in_cents(rows):
    return rows.assign(cents=rows["euros"] * 100)


def totals(rows):
    return rows.groupby("shop_id", as_index=False).agg(
        total=("euros", "sum"), sold_at=("sold_at", "max"), booked_at=("booked_at", "max")
    )


def per_visitor(sold, seen):
    both = sold.merge(seen, on="shop_id")
    return both.assign(cents_per_visitor=both["cents"] / both["visitors"])


last_sale = BatchFeatureView(
    name="last_sale",
    entities=[shop],
    mode="pandas",
    udf=in_cents,
    udf_string="in_cents",
    schema=[key, Field(name="cents", dtype=Float64)],
    source=sales,
    online=True,
)
day_total = BatchFeatureView(
    name="day_total",
    entities=[shop],
    mode="pandas",
    udf=totals,
    udf_string="totals",
    schema=[key, Field(name="total", dtype=Float64)],
    source=sales,
    online=True,
)
footfall = BatchFeatureView(
    name="footfall",
    entities=[shop],
    schema=[key, Field(name="visitors", dtype=Int64)],
    source=visits,
    online=True,
)
overview = BatchFeatureView(
    name="overview",
    entities=[shop],
    schema=[key, Field(name="cents", dtype=Float64), Field(name="visitors", dtype=Int64)],
    source=[last_sale, footfall],
    sink_source=FileSource(
        name="overviews", path="data/overviews.parquet", timestamp_field="sold_at"
    ),
    online=True,
)
per_visit = BatchFeatureView(
    name="per_visit",
    entities=[shop],
    mode="pandas",
    udf=per_visitor,
    udf_string="per_visitor",
    schema=[key, Field(name="cents_per_visitor", dtype=Float64)],
    source=[last_sale, footfall],
    sink_source=FileSource(
        name="per_visits", path="data/per_visits.parquet", timestamp_field="sold_at"
    ),
    online=True,
)
till = StreamFeatureView(
    name="till",
    entities=[shop],
    mode="pandas",
    udf=in_cents,
    udf_string="in_cents",
    schema=[key, Field(name="cents", dtype=Float64)],
    source=PushSource(name="till_events", batch_source=sales),
    online=True,
)
