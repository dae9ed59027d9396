"""DynamoDB, which is written through Feast's own store."""

import os
from typing import Any

from feature_platform.core.feast_seams import replace_dynamodb_clients
from feature_platform.online.online_backend import OnlineBackend

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
_ATTEMPTS = 4


class DynamoDBBackend(OnlineBackend):
    """Feast's DynamoDB online store."""

    types = ("dynamodb", "feast.infra.online_stores.dynamodb.DynamoDBOnlineStore")
    packages = ("boto3",)
    extra = "aws"

    def prepare(self, online: Any) -> None:
        """Let its clients wait for seconds, where boto3's wait for ten minutes."""
        replace_dynamodb_clients(online, _made)


def _made(
    kind: str, region: str, endpoint_url: str | None = None, session_based_auth: Any = None
) -> Any:
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    retries = {} if "AWS_MAX_ATTEMPTS" in os.environ else {"max_attempts": _ATTEMPTS}
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        retries={"mode": "standard", **retries},
    )
    maker = boto3.Session() if session_based_auth else boto3
    return getattr(maker, kind)(
        "dynamodb", region_name=region, endpoint_url=endpoint_url, config=config
    )
