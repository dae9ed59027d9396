"""DynamoDB, which is written through Feast's own store."""

from feature_platform.online.online_backend import OnlineBackend


class DynamoDBBackend(OnlineBackend):
    """Feast's DynamoDB online store."""

    types = ("dynamodb", "feast.infra.online_stores.dynamodb.DynamoDBOnlineStore")
    packages = ("boto3",)
    extra = "aws"
