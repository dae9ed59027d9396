from feast import FeatureView, Field, FileSource
from feast.types import Float32, String

readings = FileSource(name="readings", path="data/readings.parquet", timestamp_field="at")

weather_now = FeatureView(
    name="weather_now",
    entities=[],
    schema=[Field(name="celsius", dtype=Float32), Field(name="sky", dtype=String)],
    source=readings,
)
