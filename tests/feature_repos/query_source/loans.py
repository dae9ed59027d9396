from datetime import timedelta

from feast import Entity, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Float64, Int64

borrower = Entity(name="borrower", join_keys=["borrower_id"])

repayments = PostgreSQLSource(
    name="repayments",
    query="SELECT borrower_id, late_payments, outstanding, paid_at FROM loans.repayments",
    timestamp_field="paid_at",
)
balances = PostgreSQLSource(
    name="balances", table="loans.balances", timestamp_field="as_of"
)

repayment_history = FeatureView(
    name="repayment_history",
    entities=[borrower],
    ttl=timedelta(days=90),
    schema=[
        Field(name="late_payments", dtype=Int64),
        Field(name="outstanding", dtype=Float64),
    ],
    source=repayments,
)
balance = FeatureView(
    name="balance",
    entities=[borrower],
    schema=[Field(name="amount", dtype=Float64)],
    source=balances,
)
