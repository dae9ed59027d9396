import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest
from feast import BigQuerySource, FeatureService, FeatureStore, FileSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.repo_config import load_repo_config
from feast.repo_contents import RepoContents
from feast.repo_operations import parse_repo
from feast.types import Float32, Int64, String
from feast.value_type import ValueType

MODULES = ("entities", "sources", "feature_views", "feature_services", "raw_tables")
DAGSTER = {
    "dagster/partitions": "daily",
    "dagster/cron": "0 6 * * *",
    "dagster/freshness": "32h",
    "dagster/owner": "team:fraud-detection",
}
Parse = Callable[..., RepoContents]


@pytest.fixture
def parse(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parse]:
    """The repo's objects as Feast sees them under a profile."""

    def forget() -> None:
        for name in MODULES:
            sys.modules.pop(name, None)

    def parse(profile: str | None = None) -> RepoContents:
        forget()
        monkeypatch.chdir(repo)
        monkeypatch.syspath_prepend(str(repo))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        monkeypatch.delenv("FEAST_FS_YAML_FILE_PATH", raising=False)
        if profile is not None:
            monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", f"feature_store.{profile}.yaml")
        return parse_repo(repo)

    yield parse
    forget()


def test_entities_are_string_keys_joined_under_their_own_name(parse: Parse):
    entities = {e.name: e for e in parse().entities if e.name != "__dummy"}

    assert set(entities) == {"user_id", "merchant_id"}
    for name, entity in entities.items():
        assert entity.join_key == name
        assert entity.value_type is ValueType.STRING


def test_user_features_are_what_production_asks_for(parse: Parse):
    view = {v.name: v for v in parse().feature_views}["user_transaction_features"]

    assert view.entities == ["user_id"]
    assert view.ttl == timedelta(days=7)
    assert view.online
    assert view.tags == {"team": "fraud-detection", "version": "v2", **DAGSTER}
    assert [(f.name, f.dtype) for f in view.entity_columns] == [("user_id", String)]
    assert [(f.name, f.dtype) for f in view.features] == [
        ("transaction_count_7d", Int64),
        ("transaction_amount_avg_7d", Float32),
        ("transaction_amount_max_7d", Float32),
        ("unique_merchants_7d", Int64),
        ("avg_time_between_transactions", Float32),
    ]
    assert view.batch_source.name == "user_transactions"
    assert view.batch_source.timestamp_field == "event_timestamp"
    assert view.batch_source.created_timestamp_column == "created_timestamp"


def test_merchant_features_are_what_production_asks_for(parse: Parse):
    view = {v.name: v for v in parse().feature_views}["merchant_risk_features"]

    assert view.entities == ["merchant_id"]
    assert view.ttl == timedelta(days=30)
    assert view.online
    assert view.tags == {"version": "v1", **DAGSTER}
    assert [(f.name, f.dtype) for f in view.entity_columns] == [("merchant_id", String)]
    assert [(f.name, f.dtype) for f in view.features] == [
        ("chargeback_rate_30d", Float32),
        ("avg_transaction_amount", Float32),
        ("total_transactions_30d", Int64),
        ("risk_score", Float32),
    ]
    assert view.batch_source.name == "merchant_stats"
    assert view.batch_source.timestamp_field == "event_timestamp"
    assert not view.batch_source.created_timestamp_column


def test_the_fraud_service_serves_both_views(parse: Parse):
    contents = parse()
    (service,) = contents.feature_services

    assert isinstance(service, FeatureService)
    assert service.name == "fraud_detection_v2"
    assert service.tags == {"model": "fraud_detector_v2", "owner": "ml-team"}
    assert [p.name for p in service.feature_view_projections] == [
        "user_transaction_features",
        "merchant_risk_features",
    ]
    assert len(contents.feature_views) == 2
    assert len(contents.data_sources) == 2


def test_every_feature_says_what_it_is(parse: Parse):
    for view in parse().feature_views:
        assert all(feature.description for feature in view.features)


def test_there_is_one_sql_file_a_source(parse: Parse, repo: Path):
    sources = {source.name for source in parse().data_sources}

    assert {path.stem for path in (repo / "sql").glob("*.sql")} == sources


def test_embedded_sources_are_folders_of_parquet_found_from_any_directory(parse: Parse, repo: Path):
    sources = {s.name: s for s in parse().data_sources}

    assert all(isinstance(source, FileSource) for source in sources.values())
    assert {name: source.path for name, source in sources.items()} == {
        "user_transactions": f"{repo}/data/ml_data/user_transaction_features/*.parquet",
        "merchant_stats": f"{repo}/data/ml_data/merchant_statistics/*.parquet",
    }


def test_on_bigquery_the_sources_are_its_tables(parse: Parse):
    sources = {s.name: s for s in parse("gcp").data_sources}

    assert all(isinstance(source, BigQuerySource) for source in sources.values())
    assert sources["user_transactions"].table == "ml_data.user_transaction_features"
    assert sources["merchant_stats"].table == "ml_data.merchant_statistics"


def test_on_postgres_the_sources_are_its_tables(parse: Parse):
    sources = {s.name: s for s in parse("postgres").data_sources}

    assert all(isinstance(source, PostgreSQLSource) for source in sources.values())
    assert sources["user_transactions"].get_table_query_string() == (
        "ml_data.user_transaction_features"
    )
    assert sources["merchant_stats"].get_table_query_string() == "ml_data.merchant_statistics"


def test_on_aws_the_sources_are_parquet_in_the_bucket_the_environment_names(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FEAST_S3_BUCKET", "features-of-ours")

    assert {s.name: s.path for s in parse("aws").data_sources} == {
        "user_transactions": ("s3://features-of-ours/ml_data/user_transaction_features/*.parquet"),
        "merchant_stats": "s3://features-of-ours/ml_data/merchant_statistics/*.parquet",
    }


def test_views_are_the_same_under_every_profile(parse: Parse):
    def facts(profile: str | None) -> list[object]:
        contents = parse(profile)
        return [
            (v.name, v.ttl, v.tags, [(f.name, f.dtype) for f in v.schema], v.batch_source.name)
            for v in contents.feature_views
        ]

    embedded = facts(None)
    for profile in ("gcp", "aws", "postgres"):
        assert facts(profile) == embedded


def test_the_yaml_given_to_the_feast_command_line_decides_too(parse: Parse, repo: Path):
    with click.Context(
        click.Command("feast"), obj={"FS_YAML_FILE": repo / "feature_store.gcp.yaml"}
    ):
        sources = parse().data_sources

    assert all(isinstance(source, BigQuerySource) for source in sources)


def test_a_command_line_that_is_not_feasts_changes_nothing(parse: Parse):
    with click.Context(click.Command("other"), obj=object()):
        sources = parse().data_sources

    assert all(isinstance(source, FileSource) for source in sources)


def test_feast_itself_applies_a_fresh_checkout(repo: Path, tmp_path: Path):
    copy = tmp_path / "feature_repo"
    shutil.copytree(repo, copy, ignore=shutil.ignore_patterns("ml_data", "*.db", "__pycache__"))

    done = subprocess.run(
        [Path(sys.executable).with_name("feast"), "apply"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    config = load_repo_config(copy, copy / "feature_store.yaml")
    config.registry.path = f"sqlite:///{copy}/data/registry.db"
    store = FeatureStore(config=config)
    assert store.project == "fraud_detection"
    assert {v.name for v in store.list_feature_views()} == {
        "user_transaction_features",
        "merchant_risk_features",
    }
    assert [s.name for s in store.list_feature_services()] == ["fraud_detection_v2"]
