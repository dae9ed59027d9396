from feast import Entity, ValueType

user_id = Entity(
    name="user_id",
    join_keys=["user_id"],
    value_type=ValueType.STRING,
    description="A customer: one household of the retailer's loyalty programme.",
)

merchant_id = Entity(
    name="merchant_id",
    join_keys=["merchant_id"],
    value_type=ValueType.STRING,
    description="Who sold: one store of the retailer.",
)
