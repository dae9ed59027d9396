import os
from pathlib import Path
from typing import Any

import click
import yaml
from feast import BigQuerySource, FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource

HERE = Path(__file__).resolve().parent


def profile() -> dict[str, Any]:
    """The profile in use: `feast -f`, else FEAST_FS_YAML_FILE_PATH, else feature_store.yaml."""
    command = click.get_current_context(silent=True)
    options = command.obj if command and isinstance(command.obj, dict) else {}
    file = (
        options.get("FS_YAML_FILE")
        or os.environ.get("FEAST_FS_YAML_FILE_PATH")
        or HERE / "feature_store.yaml"
    )
    settings: dict[str, Any] = yaml.safe_load(Path(file).read_text())
    return settings


def source(table: str, **options: str) -> DataSource:
    """`ml_data.<table>` in the profile's warehouse; embedded and on S3 a folder of Parquet."""
    settings = profile()
    offline_store = settings["offline_store"]["type"]
    if offline_store == "bigquery":
        return BigQuerySource(table=f"ml_data.{table}", **options)
    if offline_store == "postgres":
        # Here, because it needs a driver that the other profiles do without.
        from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
            PostgreSQLSource,
        )

        return PostgreSQLSource(table=f"ml_data.{table}", **options)
    # Absolute, because DuckDB would look for a relative path below the working directory.
    root = "s3://${FEAST_S3_BUCKET}" if settings["provider"] == "aws" else str(HERE / "data")
    path = f"{os.path.expandvars(root)}/ml_data/{table}/*.parquet"
    return FileSource(path=path, file_format=ParquetFormat(), **options)


user_transactions = source(
    "user_transaction_features",
    name="user_transactions",
    timestamp_field="event_timestamp",
    created_timestamp_column="created_timestamp",
    description="Each user's last seven days of transactions at the end of each window.",
)

merchant_stats = source(
    "merchant_statistics",
    name="merchant_stats",
    timestamp_field="event_timestamp",
    description="Each merchant's last thirty days of transactions and chargebacks.",
)
