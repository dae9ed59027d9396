from feast import Entity, FeatureService, FeatureView, FileSource, ValueType

# The key in the table is not called what the entity is.
member = Entity(name="member", join_keys=["card_no"], value_type=ValueType.INT64)

# Neither the time column nor the features are declared: Feast finds them in the table.
visits = FileSource(name="visits", path="data/visits.parquet")

visit_features = FeatureView(name="visit_features", entities=[member], source=visits)

recommender = FeatureService(name="recommender", features=[visit_features])
