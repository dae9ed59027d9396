"""The size of an online store is what it holds."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from worlds.local_servers import PostgresServer, RedisNodes, RedisServer
from worlds.sample_repos import SampleRepo, row
from worlds.times import day

from feature_platform.errors import OnlineStoreError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.online.online_size import WHOLE_STORE, online_size

USERS = 7


def filled(folder: Path, online: Mapping[str, Any] | None = None) -> Any:
    """A store with seven keys of `user_stats`, and none of `other`."""
    more = {"online": online} if online else {}
    repo = SampleRepo(folder / "repo", views=("user_stats", "other"), **more)
    repo.write([row(user, day(1, 1), 1.0) for user in range(USERS)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    return store


def test_sqlite_counts_the_keys_of_each_view(tmp_path: Path):
    size = online_size(filled(tmp_path), ["user_stats", "other"])
    assert size is not None
    assert size.keys == {"user_stats": USERS, "other": 0}
    assert size.sizes["other"] == 0
    assert size.limit is not None
    assert size.limit > size.size
    files = (tmp_path / "repo" / name for name in ("online.db", "online.db-wal"))
    assert size.size == sum(file.stat().st_size for file in files if file.exists())


def test_a_store_that_is_not_there_yet_holds_nothing(tmp_path: Path):
    store = SampleRepo(tmp_path / "repo").applied()
    Path(store.config.online_store.path).unlink(missing_ok=True)
    size = online_size(store, ["user_stats"])
    assert size is not None
    assert (size.keys, size.size) == ({"user_stats": 0}, 0)
    assert not Path(store.config.online_store.path).exists()


@pytest.mark.server
def test_postgresql_counts_the_keys_of_each_view(tmp_path: Path, postgres_server: PostgresServer):
    online = postgres_server.online(postgres_server.new_database())
    size = online_size(filled(tmp_path, online), ["user_stats", "other"])
    assert size is not None
    assert size.keys == {"user_stats": USERS, "other": 0}
    assert size.size > 8000
    assert sum(size.sizes.values()) == size.size
    assert size.limit is None


def test_the_bytes_of_a_view_on_sqlite_are_those_of_its_file(tmp_path: Path):
    repo = SampleRepo(tmp_path / "repo")
    repo.write([row(user, day(1, 1), float(user)) for user in range(20_000)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    size = online_size(store, ["user_stats"])
    assert size is not None
    assert size.keys == {"user_stats": 20_000}
    assert 0.6 < size.sizes["user_stats"] / size.size < 1.4


@pytest.mark.server
def test_a_large_postgresql_view_is_counted_by_postgresql(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("feature_platform.online.postgres.backend._MANY_ROWS", 1)
    database = postgres_server.new_database()
    store = filled(tmp_path, postgres_server.online(database))
    unknown = online_size(store, ["user_stats"])
    assert unknown is not None
    assert unknown.keys == {"user_stats": USERS}  # PostgreSQL has not counted yet: we do
    from feast.infra.utils.postgres.connection_utils import _get_conn

    with closing(_get_conn(store.config.online_store)) as connection:
        connection.execute("ANALYZE")
        connection.commit()
    counted = online_size(store, ["user_stats"])
    assert counted is not None
    assert counted.keys == {"user_stats": USERS}


@pytest.mark.server
def test_redis_counts_all_its_keys(tmp_path: Path, redis_server: RedisServer):
    online = {"type": "redis", "connection_string": redis_server.address}
    size = online_size(filled(tmp_path, online), ["user_stats", "other"])
    assert size is not None
    assert size.keys == {WHOLE_STORE: USERS}
    assert size.size > 100_000
    assert size.sizes == {WHOLE_STORE: size.size}
    assert size.limit is None


@pytest.mark.server
def test_redis_with_a_limit_says_it(tmp_path: Path, redis_server: RedisServer):
    import redis

    host, port = redis_server.address.split(",")[0].split(":")
    with closing(redis.Redis(host, int(port))) as client:
        client.config_set("maxmemory", "900mb")
        try:
            online = {"type": "redis", "connection_string": redis_server.address}
            size = online_size(filled(tmp_path, online), ["user_stats"])
        finally:
            client.config_set("maxmemory", 0)
    assert size is not None
    assert size.limit == 900 * 1024 * 1024


@pytest.mark.server
def test_a_redis_cluster_counts_those_of_all_nodes(tmp_path: Path, redis_cluster: RedisNodes):
    online = {
        "type": "redis",
        "redis_type": "redis_cluster",
        "connection_string": redis_cluster.address,
    }
    size = online_size(filled(tmp_path, online), ["user_stats", "other"])
    assert size is not None
    assert size.keys == {WHOLE_STORE: USERS}
    assert size.size > 300_000


def test_a_store_that_cannot_be_reached_is_an_error_without_its_address(tmp_path: Path):
    online = {"type": "redis", "connection_string": "127.0.0.1:1,password=pa55word"}
    store = SampleRepo(tmp_path / "repo", online=online).open()
    with pytest.raises(OnlineStoreError, match="its size cannot be read") as caught:
        online_size(store, [])
    assert "pa55word" not in str(caught.value)
