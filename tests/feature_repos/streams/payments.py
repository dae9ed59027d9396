from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, KafkaSource, PushSource, StreamFeatureView
from feast.data_format import JsonFormat
from feast.types import Float64, Int64

account = Entity(name="account", join_keys=["account_id"])

ledger = FileSource(name="ledger", path="data/ledger.parquet", timestamp_field="booked_at")
payments = KafkaSource(
    name="payments",
    kafka_bootstrap_servers="broker:9092",
    topic="payments",
    timestamp_field="booked_at",
    batch_source=ledger,
    message_format=JsonFormat(schema_json="account_id integer, paid double, booked_at timestamp"),
    watermark_delay_threshold=timedelta(minutes=5),
)
logins_log = FileSource(name="logins_log", path="data/logins.parquet", timestamp_field="seen_at")
logins = PushSource(name="logins", batch_source=logins_log)

paid = StreamFeatureView(
    name="paid",
    entities=[account],
    ttl=timedelta(days=3650),
    schema=[Field(name="paid", dtype=Float64)],
    source=payments,
    timestamp_field="booked_at",
    owner="payments@example.com",
)
last_login = FeatureView(
    name="last_login",
    entities=[account],
    ttl=timedelta(days=3650),
    schema=[Field(name="logins", dtype=Int64)],
    source=logins,
)
