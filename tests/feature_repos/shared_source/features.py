from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field
from feast.types import Float64, Int64
from sources import clicks

visitor = Entity(name="visitor", join_keys=["visitor_id"])

activity = FeatureView(
    name="activity",
    entities=[visitor],
    ttl=timedelta(days=3650),
    schema=[Field(name="clicks", dtype=Int64), Field(name="pages", dtype=Int64)],
    source=clicks,
)
spending = FeatureView(
    name="spending",
    entities=[visitor],
    ttl=timedelta(days=3650),
    schema=[Field(name="spent", dtype=Float64)],
    source=clicks,
)

ranking = FeatureService(name="ranking", features=[activity[["clicks"]], spending])
