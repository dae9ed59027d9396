"""DynamoDB, which is written through Feast's own store."""

import os
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import replace_dynamodb_clients
from feature_platform.errors import OnlineStoreError
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.store_faults import WITHOUT_TABLE, Signs, StoreFault
from feature_platform.online.written_rows import shown_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feast.repo_config import RepoConfig

    from feature_platform.encoding.feast_rows import Row

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
_ATTEMPTS = 4
_MAX_ITEM = 400 * 1024
_TIME_BYTES = 32


class DynamoDBBackend(OnlineBackend):
    """Feast's DynamoDB online store."""

    types = ("dynamodb", "feast.infra.online_stores.dynamodb.DynamoDBOnlineStore")
    signs = (
        Signs(
            StoreFault(
                "refuses the credentials, or got none",
                "give the process valid AWS credentials: a role, a profile, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ),
            classes=("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
            codes=(
                *("UnrecognizedClientException", "InvalidSignatureException"),
                *("ExpiredTokenException", "InvalidClientTokenId", "MissingAuthenticationToken"),
            ),
        ),
        Signs(
            StoreFault(
                "does not let this role do that",
                "allow dynamodb:BatchGetItem, BatchWriteItem, PutItem, Query, DescribeTable and, "
                "for feast apply, CreateTable and DeleteTable on the project's tables",
            ),
            codes=("AccessDeniedException", "AccessDenied"),
        ),
        Signs(
            StoreFault(
                "throttles: it gets more requests than its capacity allows",
                "raise the table's capacity or make it on-demand, or run fewer steps at once; the "
                "next run writes what is missing",
                is_transient=True,
            ),
            codes=(
                *("ProvisionedThroughputExceededException", "ThrottlingException"),
                *("RequestLimitExceeded", "Throttling", "TransactionInProgressException"),
            ),
        ),
        Signs(
            StoreFault(
                f"got an item larger than the {_MAX_ITEM // 1024} KB that it takes",
                "shorten the view's largest feature, or divide the view in two",
                is_too_large=True,
            ),
            codes=("ItemCollectionSizeLimitExceededException",),
            texts=("item size has exceeded", "item size to update has exceeded"),
        ),
        Signs(
            StoreFault(
                "has no room: a quota of the account is used up",
                "ask AWS to raise the quota that the message names",
            ),
            codes=("LimitExceededException",),
        ),
        Signs(
            StoreFault(
                "takes no writes: the table is read-only, or is being changed",
                "wait until the table is active, and write to the region that takes writes",
                is_transient=True,
            ),
            codes=("ResourceInUseException", "ReplicatedWriteConflictException"),
        ),
        Signs(
            WITHOUT_TABLE,
            codes=("ResourceNotFoundException",),
        ),
        Signs(
            StoreFault(
                "knows no region", "set region in the online_store section of feature_store.yaml"
            ),
            classes=("NoRegionError", "InvalidRegionError"),
        ),
    )
    packages = ("boto3",)
    extra = "aws"

    def require_fit(self, config: "RepoConfig", view: Any, rows: "Sequence[Row]") -> None:
        """Refuse an item of more than 400 KB, of which DynamoDB's error does not say which."""
        for key, values, _, _ in rows:
            size = _bytes_of(config, key, values)
            if size <= _MAX_ITEM:
                continue
            largest = max(values, key=lambda name: _size(name, values[name]))
            raise OnlineStoreError(
                f"feature view '{view.name}'",
                f"the row of key {shown_key(key)} takes {size:,} bytes, and DynamoDB takes "
                f"{_MAX_ITEM:,} at most; its largest feature is '{largest}' with "
                f"{_size(largest, values[largest]):,}",
                f"shorten '{largest}' at its source, or move it to a view of its own",
            )

    def prepare(self, online: Any) -> None:
        """Let its clients wait for seconds, where boto3's wait for ten minutes."""
        replace_dynamodb_clients(online, _made)


def _bytes_of(config: Any, key: Any, values: Any) -> int:
    """What an item takes, as DynamoDB counts it: names and values, and a little for each."""
    from feast.infra.key_encoding_utils import serialize_entity_key

    version = config.entity_key_serialization_version
    size = 2 * len(serialize_entity_key(key, entity_key_serialization_version=version))
    size += len("entity_id") + len("event_ts") + len("values") + _TIME_BYTES + 3
    return size + sum(_size(name, value) for name, value in values.items())


def _size(name: str, value: Any) -> int:
    return len(name.encode()) + int(value.ByteSize()) + 1


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
