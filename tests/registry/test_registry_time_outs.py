"""A registry whose server says nothing, dies in an answer or is gone is an error in time.

Nothing here looks at a clock: without a time-out a test would never come to an end.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import yaml
from feast import FeatureStore
from worlds.local_servers import PostgresServer
from worlds.sample_repos import SampleRepo
from worlds.stand_ins.bad_line import BadLine, bad_line
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.errors import RegistryError
from feature_platform.registry import registry_files, registry_time_outs
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import load_view, record_window
from feature_platform.repo.project import FeastProject

pytestmark = pytest.mark.server


@pytest.fixture
def world(
    tmp_path: Path,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[FeastProject, BadLine]]:
    """A project whose registry is in PostgreSQL, over a bad line."""
    monkeypatch.setattr(registry_time_outs, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(registry_time_outs, "ANSWER_SECONDS", 0.5)
    url = postgres_server.url(postgres_server.new_database())
    with bad_line(postgres_server.port) as line:
        address = url.replace(f":{postgres_server.port}/", f":{line.port}/")
        settings: dict[str, Any] = {
            "project": "shop",
            "provider": "local",
            "registry": {"registry_type": "sql", "path": address, "cache_ttl_seconds": 1},
            "online_store": {"type": "sqlite", "path": "online.db"},
            "offline_store": {"type": "duckdb"},
            "entity_key_serialization_version": 3,
        }
        (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(settings))
        project = FeastProject(tmp_path)
        project.store().apply(SampleRepo(tmp_path).objects())
        yield project, line


def _lock(store: FeatureStore) -> None:
    with view_lock(store, "user_stats"):
        pass


WAYS = {
    "load": lambda store: load_view(store, "user_stats"),
    "record": lambda store: record_window(store, "user_stats", Window(day(1), day(2))),
    "lock": _lock,
}


@pytest.mark.parametrize("mode", ["silent", "cut", "gone"])
@pytest.mark.parametrize("way", list(WAYS))
def test_each_way_to_a_registry_ends_and_is_found_again(
    world: tuple[FeastProject, BadLine], mode: str, way: str
) -> None:
    project, line = world
    store = project.store()
    WAYS[way](store)
    line.break_down(mode)
    with pytest.raises(RegistryError) as caught:
        WAYS[way](store)
    assert caught.value.is_transient
    assert "secret" not in str(caught.value)
    line.come_back()
    with suppress(RegistryError):  # the first that meets a connection which the server has closed
        WAYS[way](store)
    WAYS[way](store)


@pytest.mark.parametrize("mode", ["silent", "cut", "gone"])
def test_a_registry_that_does_not_take_a_connection_is_an_error(
    world: tuple[FeastProject, BadLine], mode: str
) -> None:
    project, line = world
    line.break_down(mode)
    with pytest.raises(RegistryError) as caught:
        load_view(project.store(), "user_stats")
    assert caught.value.is_transient
    line.come_back()
    load_view(project.store(), "user_stats")


@pytest.mark.parametrize("mode", ["silent", "cut", "gone"])
def test_a_registry_in_an_object_store_that_does_not_answer_is_an_error(
    mode: str, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_files, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(registry_files, "ANSWER_SECONDS", 0.5)
    boto3.client("s3", endpoint_url=aws).create_bucket(Bucket="registries")
    settings = {
        "project": "shop",
        "provider": "local",
        "registry": "s3://registries/registry.db",
        "online_store": {"type": "sqlite", "path": "online.db"},
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(settings))
    project = FeastProject(tmp_path)
    port = urlsplit(aws).port
    assert port is not None
    with bad_line(port) as line:
        monkeypatch.setenv("FEAST_S3_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
        project.store().apply(SampleRepo(tmp_path).objects())
        line.break_down(mode)
        with pytest.raises(RegistryError) as caught:
            load_view(project.store(), "user_stats")
        assert caught.value.is_transient
        line.come_back()
        load_view(project.store(), "user_stats")
