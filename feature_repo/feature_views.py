from datetime import timedelta

from entities import merchant_id, user_id
from feast import FeatureView, Field
from feast.types import Float32, Int64, String
from sources import merchant_stats, user_transactions

# A window is a day (UTC), put online at six the next morning. Just before the next one arrives the
# newest event is 30 hours old; two more hours are for the run itself.
DAILY = {
    "dagster/partitions": "daily",
    "dagster/cron": "0 6 * * *",
    "dagster/freshness": "32h",
    "dagster/owner": "team:fraud-detection",
}

user_transaction_features = FeatureView(
    name="user_transaction_features",
    entities=[user_id],
    ttl=timedelta(days=7),
    schema=[
        Field(name="user_id", dtype=String),
        Field(
            name="transaction_count_7d",
            dtype=Int64,
            description="Transactions in the 7 days before the window's end; 0 for a user whose "
            "last one has just fallen out of them.",
        ),
        Field(
            name="transaction_amount_avg_7d",
            dtype=Float32,
            description="Mean amount of those transactions, USD; null without any.",
        ),
        Field(
            name="transaction_amount_max_7d",
            dtype=Float32,
            description="Greatest amount among them, USD; null without any.",
        ),
        Field(
            name="unique_merchants_7d",
            dtype=Int64,
            description="Merchants among them, each counted once.",
        ),
        Field(
            name="avg_time_between_transactions",
            dtype=Float32,
            description="Mean time from one of them to the next, hours; null with fewer than two.",
        ),
    ],
    online=True,
    source=user_transactions,
    tags={"team": "fraud-detection", "version": "v2", **DAILY},
    description="How a user has been spending over the last seven days.",
)

merchant_risk_features = FeatureView(
    name="merchant_risk_features",
    entities=[merchant_id],
    ttl=timedelta(days=30),
    schema=[
        Field(name="merchant_id", dtype=String),
        Field(
            name="chargeback_rate_30d",
            dtype=Float32,
            description="Share, 0 to 1, of the transactions in the 30 days before the window's end "
            "that were charged back, as far as reported by then; null without transactions.",
        ),
        Field(
            name="avg_transaction_amount",
            dtype=Float32,
            description="Mean amount of those transactions, USD; null without any.",
        ),
        Field(
            name="total_transactions_30d",
            dtype=Int64,
            description="Transactions in the 30 days before the window's end; 0 for a merchant "
            "whose last one has just fallen out of them.",
        ),
        Field(
            name="risk_score",
            dtype=Float32,
            description="0 to 1, 0.5 being the average merchant: smoothed / (smoothed + average), "
            "where `smoothed` is the chargeback rate pulled towards the average of all merchants "
            "by the weight of 50 transactions.",
        ),
    ],
    online=True,
    source=merchant_stats,
    tags={"version": "v1", **DAILY},
    description="How often a merchant's transactions have been charged back of late.",
)
