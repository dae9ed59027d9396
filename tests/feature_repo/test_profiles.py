import re
from pathlib import Path

import pytest
from feast.repo_config import FeastConfigError, RepoConfig, load_repo_config

VARIABLES = {
    "feature_store.yaml": {},
    "feature_store.gcp.yaml": {
        "FEAST_REGISTRY_BUCKET": "registries",
        "GOOGLE_CLOUD_PROJECT": "fraud-prod",
        "REDIS_CLUSTER_NODES": "10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379",
    },
    "feature_store.aws.yaml": {"FEAST_S3_BUCKET": "features", "AWS_DEFAULT_REGION": "eu-west-1"},
    "feature_store.postgres.yaml": {
        "PGHOST": "db.internal",
        "PGPORT": "5432",
        "PGDATABASE": "features",
        "PGUSER": "feast",
        "PGPASSWORD": "7@/:? #",
        "PGSSLMODE": "verify-full",
    },
}


def load(repo: Path, profile: str, monkeypatch: pytest.MonkeyPatch) -> RepoConfig:
    for name, value in VARIABLES[profile].items():
        monkeypatch.setenv(name, value)
    return load_repo_config(repo, repo / profile)


def test_the_repo_has_exactly_the_four_profiles(repo: Path):
    assert {path.name for path in repo.glob("feature_store*.yaml")} == set(VARIABLES)


@pytest.mark.parametrize("profile", VARIABLES)
def test_a_profile_asks_for_the_variables_it_is_known_for(repo: Path, profile: str):
    asked = set(re.findall(r"\$\{(\w+)\}", (repo / profile).read_text()))

    assert asked == set(VARIABLES[profile])


@pytest.mark.parametrize("profile", VARIABLES)
def test_every_profile_is_the_same_project(
    repo: Path, profile: str, monkeypatch: pytest.MonkeyPatch
):
    config = load(repo, profile, monkeypatch)

    assert config.project == "fraud_detection"
    assert config.entity_key_serialization_version == 3
    assert "$" not in f"{config.registry}{config.online_store}{config.offline_store}"


def test_the_default_needs_no_server(repo: Path, monkeypatch: pytest.MonkeyPatch):
    config = load(repo, "feature_store.yaml", monkeypatch)

    assert config.registry.registry_type == "sql"
    assert config.registry.path == "sqlite:///data/registry.db"
    assert config.offline_store.type == "duckdb"
    assert config.online_store.type == "sqlite"


def test_gcp_is_bigquery_with_a_redis_cluster(repo: Path, monkeypatch: pytest.MonkeyPatch):
    config = load(repo, "feature_store.gcp.yaml", monkeypatch)

    assert config.registry.path == "gs://registries/fraud_detection/registry.db"
    assert config.offline_store.type == "bigquery"
    assert config.offline_store.project_id == "fraud-prod"
    assert config.offline_store.dataset == "feature_store"
    assert config.offline_store.location == "asia-northeast3"
    assert config.online_store.type == "redis"
    assert config.online_store.redis_type == "redis_cluster"
    assert config.online_store.connection_string.count(":6379") == 3
    assert config.online_store.key_ttl_seconds == 7 * 24 * 3600


def test_aws_is_s3_with_dynamodb(repo: Path, monkeypatch: pytest.MonkeyPatch):
    config = load(repo, "feature_store.aws.yaml", monkeypatch)

    assert config.registry.path == "s3://features/fraud_detection/registry.db"
    assert config.offline_store.type == "duckdb"
    assert config.online_store.type == "dynamodb"
    assert config.online_store.region == "eu-west-1"
    assert config.online_store.table_name_template == "feast.{project}.{table_name}"


def test_postgres_takes_its_password_unescaped_and_keeps_it_out_of_the_registry_url(
    repo: Path, monkeypatch: pytest.MonkeyPatch
):
    config = load(repo, "feature_store.postgres.yaml", monkeypatch)

    assert config.registry.path == "postgresql+psycopg://db.internal:5432/features"
    for store in (config.offline_store, config.online_store):
        assert store.type == "postgres"
        assert (store.host, store.port, store.database) == ("db.internal", 5432, "features")
        assert (store.user, store.password) == ("feast", "7@/:? #")
        assert store.sslmode == "verify-full"


@pytest.mark.parametrize("profile", [p for p, variables in VARIABLES.items() if variables])
def test_an_unset_variable_is_still_named_by_whatever_fails(
    repo: Path, profile: str, monkeypatch: pytest.MonkeyPatch
):
    for name in VARIABLES[profile]:
        monkeypatch.delenv(name, raising=False)

    try:
        config = load_repo_config(repo, repo / profile)
        seen = f"{config.registry}{config.online_store}{config.offline_store}"
    except FeastConfigError as error:
        seen = str(error)

    assert set(re.findall(r"\$\{(\w+)\}", seen)) & set(VARIABLES[profile])
