from feast import (
    BatchFeatureView,
    Entity,
    FeatureView,
    Field,
    FileSource,
    LabelView,
    PushSource,
    ValueType,
)
from feast.types import Float64, Int64, String

reader = Entity(name="reader", join_keys=["reader_id"], value_type=ValueType.INT64)
loans = FileSource(name="loans", path="data/loans.parquet", timestamp_field="ts")
per_week = FileSource(name="per_week", path="data/per_week.parquet", timestamp_field="ts")

borrowed = FeatureView(
    name="borrowed",
    entities=[reader],
    schema=[Field(name="books", dtype=Int64)],
    source=loans,
)
borrowed_offline = FeatureView(
    name="borrowed_offline",
    entities=[reader],
    schema=[Field(name="books", dtype=Int64)],
    source=loans,
    online=False,
    description="For training only.",
)
borrowed_paused = FeatureView(
    name="borrowed_paused",
    entities=[reader],
    schema=[Field(name="books", dtype=Int64)],
    source=loans,
    enabled=False,
)
borrowed_per_week = BatchFeatureView(
    name="borrowed_per_week",
    entities=[reader],
    schema=[Field(name="books", dtype=Int64)],
    source=[borrowed],
    sink_source=per_week,
    online=True,
)
imported = FeatureView(
    name="imported",
    entities=[reader],
    schema=[Field(name="score", dtype=Float64)],
    source=None,
)
complaints = LabelView(
    name="complaints",
    entities=[reader],
    schema=[Field(name="complained", dtype=Int64), Field(name="labeler", dtype=String)],
    source=PushSource(
        name="complaints_pushed",
        batch_source=FileSource(
            name="complaints_log", path="data/complaints.parquet", timestamp_field="ts"
        ),
    ),
    description="What readers complained about.",
)
