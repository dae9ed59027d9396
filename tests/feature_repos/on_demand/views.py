import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

place = Entity(name="place", join_keys=["place_id"])

place_stats_source = FileSource(
    name="place_stats", path="data/place_stats.parquet", timestamp_field="ts"
)
place_stats = FeatureView(
    name="place_stats",
    entities=[place],
    schema=[
        Field(name="visits", dtype=Int64),
        Field(name="stars", dtype=Float64),
        Field(name="kind", dtype=String),
    ],
    source=place_stats_source,
)
request = RequestSource(name="request", schema=[Field(name="distance_km", dtype=Float64)])


@on_demand_feature_view(
    sources=[place_stats[["visits", "stars"]], request],
    schema=[Field(name="attraction", dtype=Float64)],
    description="What a place is worth the way to it.",
)
def attraction(inputs: pd.DataFrame) -> pd.DataFrame:
    out = pd.DataFrame()
    out["attraction"] = inputs["stars"] * inputs["visits"] / (1 + inputs["distance_km"])
    return out


by_reference = FeatureService(
    name="by_reference", features=["place_stats:stars", "place_stats:kind", "attraction"]
)
whole_view_by_reference = FeatureService(name="whole_view_by_reference", features=["place_stats"])
from_to = FeatureService(
    name="from_to",
    features=[
        place_stats[["visits", "stars"]]
        .with_name("origin")
        .with_join_key_map({"place_id": "origin_id"}),
        place_stats[["stars"]]
        .with_name("destination")
        .with_join_key_map({"place_id": "destination_id"}),
        attraction,
    ],
    tags={"owner": "search"},
    description="A trip from one place to another.",
)
