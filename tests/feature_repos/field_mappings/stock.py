from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Int64, String

sku = Entity(name="sku", value_type=ValueType.STRING)

# The table says it in Dutch; the features say it in English.
voorraad = FileSource(
    name="voorraad",
    path="data/voorraad.parquet",
    timestamp_field="tijdstip",
    field_mapping={"artikel": "sku", "aantal": "on_hand", "locatie": "shelf"},
)

stock = FeatureView(
    name="stock",
    entities=[sku],
    schema=[
        Field(name="sku", dtype=String),
        Field(name="on_hand", dtype=Int64),
        Field(name="shelf", dtype=String),
        Field(name="reserved", dtype=Int64),
    ],
    source=voorraad,
)
