from feast import Entity, FeatureView, Field, FileSource
from feast.types import Int64

shop = Entity(name="shop id", join_keys=["shop-id"])

north = FileSource(path="data/north/sold.parquet", timestamp_field="sold at")
south = FileSource(path="data/south/sold.parquet", timestamp_field="sold at")

sold_north = FeatureView(
    name="sold_north", entities=[shop], schema=[Field(name="loaves sold", dtype=Int64)], source=north
)
sold_south = FeatureView(
    name="sold_south", entities=[shop], schema=[Field(name="loaves sold", dtype=Int64)], source=south
)
