"""What a driver raises gets the remedy of that error, on every store."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from feast import FeatureStore
from feast.data_source import PushMode
from worlds.local_servers import PostgresServer, RedisServer, redis_running
from worlds.sample_repos import GUARDED, SampleRepo, online_config, row
from worlds.times import day

from feature_platform.errors import OnlineStoreError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.online.sqlite import writer as sqlite_writer
from feature_platform.online.store_errors import store_error


def _aws(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "BatchWriteItem")


FULL = OSError(28, "No space left on device")
RAISED = [
    ("dynamodb", _aws("ProvisionedThroughputExceededException"), "throttles", True),
    ("dynamodb", _aws("ThrottlingException"), "throttles", True),
    ("dynamodb", _aws("RequestLimitExceeded"), "throttles", True),
    ("dynamodb", _aws("AccessDeniedException"), "does not let this role do that", False),
    ("dynamodb", _aws("UnrecognizedClientException"), "refuses the credentials", False),
    ("dynamodb", _aws("ExpiredTokenException"), "refuses the credentials", False),
    ("dynamodb", NoCredentialsError(), "refuses the credentials, or got none", False),
    ("dynamodb", _aws("LimitExceededException"), "has no room", False),
    ("dynamodb", _aws("ResourceNotFoundException"), "lacks the view's table", False),
    ("dynamodb", _aws("ResourceInUseException"), "takes no writes", True),
    (
        "dynamodb",
        _aws("ValidationException", "Item size has exceeded the maximum allowed size"),
        "larger than the 400 KB",
        False,
    ),
    ("dynamodb", EndpointConnectionError(endpoint_url="http://x"), "cannot be reached", True),
    ("dynamodb", ReadTimeoutError(endpoint_url="http://x"), "did not answer in time", True),
    ("redis", redis.exceptions.AuthenticationError("WRONGPASS"), "refuses the credentials", False),
    ("redis", redis.exceptions.NoPermissionError("no"), "does not let this user do that", False),
    ("redis", redis.exceptions.OutOfMemoryError("command not allowed"), "no memory left", False),
    ("redis", redis.exceptions.ResponseError("MISCONF Redis is"), "cannot save to its disk", False),
    ("redis", redis.exceptions.ReadOnlyError("You can't write"), "is a replica", True),
    (
        "redis",
        redis.exceptions.ConnectionError("max number of clients reached"),
        "has no connection left",
        True,
    ),
    ("redis", redis.exceptions.BusyLoadingError("Redis is loading"), "is loading its data", True),
    ("redis", redis.exceptions.TimeoutError("Timeout reading"), "did not answer in time", True),
    ("redis", redis.exceptions.ConnectionError("Error 111"), "cannot be reached", True),
    ("postgres", psycopg.errors.DiskFull("could not extend file"), "no disk space left", False),
    ("postgres", psycopg.errors.InsufficientPrivilege("no"), "does not let this user", False),
    ("postgres", psycopg.errors.ReadOnlySqlTransaction("no"), "takes no writes", True),
    ("postgres", psycopg.errors.TooManyConnections("no"), "has no connection left", True),
    ("postgres", psycopg.errors.ProgramLimitExceeded("index row size"), "key or text", False),
    (
        "postgres",
        psycopg.OperationalError('FATAL:  password authentication failed for user "u"'),
        "refuses the credentials",
        False,
    ),
    ("postgres", psycopg.errors.ConnectionTimeout("connection timeout expired"), "in time", True),
    ("postgres", psycopg.OperationalError("connection failed: x"), "cannot be reached", True),
    ("sqlite", sqlite3.OperationalError("database or disk is full"), "no disk space left", False),
    ("sqlite", sqlite3.OperationalError("attempt to write a readonly database"), "read-", False),
    ("sqlite", PermissionError(13, "Permission denied"), "cannot be written", False),
    ("sqlite", sqlite3.OperationalError("unable to open database file"), "be opened", False),
    ("sqlite", sqlite3.OperationalError("database is locked"), "another process", True),
    ("sqlite", sqlite3.DatabaseError("file is not a database"), "damaged", False),
    ("sqlite", FULL, "no disk space left", False),
]


@pytest.mark.parametrize(("kind", "raised", "said", "is_transient"), RAISED)
@pytest.mark.parametrize("deep", [False, True], ids=["raised", "wrapped"])
def test_each_error_has_a_sentence_of_its_own(
    kind: str, raised: Exception, said: str, *, is_transient: bool, deep: bool
) -> None:
    error = raised
    if deep:
        error = RuntimeError("a part of it failed")
        error.__cause__ = raised
    for name in (kind, GUARDED.get(kind, kind)):
        found = store_error("feature view 'v'", name, error)
        assert said in found.problem
        assert "check that the store runs and that feast apply" not in found.remedy
        assert found.is_transient == is_transient


def test_an_error_that_nobody_knows_is_left_to_its_class() -> None:
    found = store_error("feature view 'v'", "redis", ValueError("what"))
    assert "failed (ValueError: what)" in found.problem


def _one_day(folder: Path, online: dict[str, Any], **more: Any) -> FeatureStore:
    repo = SampleRepo(folder / "repo", online=online)
    repo.write([row(1, day(1), 1.0, **more), row(2, day(1), 2.0)])
    return repo.pushed()


def _refused(store: FeatureStore) -> OnlineStoreError:
    """The error of a run, and of a push if the store is guarded: the same."""
    with pytest.raises(OnlineStoreError) as caught:
        materialize_window(store, "pushed", day(1), day(2))
    if "Guarded" in str(store.config.online_store.type):
        import pandas as pd

        rows = pd.DataFrame([row(1, day(1), 1.0, visits=1, city="x")])
        with pytest.raises(OnlineStoreError) as pushed:
            store.push("clicks", rows, to=PushMode.ONLINE)
        assert pushed.value.remedy == caught.value.remedy
        assert str(pushed.value).startswith("feature view 'pushed': the online store '")
    return caught.value


@pytest.fixture(params=["sqlite", "guarded_sqlite"])
def sqlite_store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    store = _one_day(tmp_path, online_config(request.param, request))
    materialize_window(store, "pushed", day(1), day(2))
    return store


def test_sqlite_with_a_full_disk(sqlite_store: FeatureStore, tmp_path: Path) -> None:
    connection = sqlite_store._get_provider().online_store._get_conn(sqlite_store.config)
    connection.execute("PRAGMA max_page_count = 1")
    SampleRepo(tmp_path / "repo", keep=True).write(
        [row(user, day(1), 1.0, city="x" * 999) for user in range(500)]
    )
    with pytest.raises(OnlineStoreError, match="has no disk space left") as caught:
        materialize_window(sqlite_store, "pushed", day(1), day(2))
    assert "free space on the disk of its file" in caught.value.remedy


def test_sqlite_that_is_read_only(sqlite_store: FeatureStore) -> None:
    connection = sqlite_store._get_provider().online_store._get_conn(sqlite_store.config)
    connection.execute("PRAGMA query_only = 1")
    assert "its file or folder is read-only" in _refused(sqlite_store).problem


def test_sqlite_that_another_process_writes(
    sqlite_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_BUSY_SECONDS", 0)
    online = sqlite_store._get_provider().online_store
    path = sqlite_store.config.online_store.path
    online._get_conn(sqlite_store.config).execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        error = _refused(sqlite_store)
    assert error.is_transient
    assert "is being written by another process" in error.problem


def test_sqlite_names_the_key_and_feature_that_are_too_large(tmp_path: Path) -> None:
    online = {"type": GUARDED["sqlite"]}
    store = _one_day(tmp_path, online, city="y" * 5000)
    connection = store._get_provider().online_store._get_conn(store.config)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 3000)
    with pytest.raises(OnlineStoreError) as caught:
        materialize_window(store, "pushed", day(1), day(2))
    assert "the largest row is that of key {'user_id': 1}" in caught.value.problem
    assert "its largest feature 'city' 5,0" in caught.value.problem


@pytest.fixture(params=["redis", "guarded_redis"])
def redis_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[RedisServer, FeatureStore]]:
    kind = GUARDED["redis"] if "guarded" in request.param else "redis"
    with redis_running() as server:
        store = _one_day(tmp_path, {"type": kind, "connection_string": server.address})
        yield server, store


served = pytest.mark.server


@served
def test_redis_says_what_is_wrong(redis_store: tuple[RedisServer, FeatureStore]) -> None:
    server, store = redis_store
    client = server.client()
    client.config_set("maxmemory", 1)
    assert "has no memory left" in _refused(store).problem
    client.config_set("maxmemory", 0)
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert "is a replica, which takes no writes" in _refused(store).problem
    client.execute_command("REPLICAOF", "NO", "ONE")
    client.execute_command("ACL", "SETUSER", "default", "-evalsha", "-hset")
    assert "does not let this user do that" in _refused(store).problem
    client.execute_command("ACL", "SETUSER", "default", "+@all")
    client.config_set("requirepass", "another")
    client.client_kill_filter(_type="normal", skipme=True)
    error = _refused(store)
    assert "refuses the credentials" in error.problem
    assert not error.is_transient


@served
def test_redis_names_the_key_and_feature_that_are_too_large(tmp_path: Path) -> None:
    with redis_running("--proto-max-bulk-len", "1mb") as server:
        online = {"type": GUARDED["redis"], "connection_string": server.address}
        store = _one_day(tmp_path, online, city="y" * 1_200_000)
        with pytest.raises(OnlineStoreError) as caught:
            materialize_window(store, "pushed", day(1), day(2))
    assert "the largest row is that of key {'user_id': 1}" in caught.value.problem
    assert "its largest feature 'city' 1,200,0" in caught.value.problem


@pytest.fixture(params=["postgres", "guarded_postgres"])
def postgres_store(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[tuple[psycopg.Connection[Any], FeatureStore]]:
    """A store as a user without rights of its own, and the connection of one who has them."""
    online = online_config(request.param, request)
    with psycopg.connect(postgres_server.conninfo(online["database"]), autocommit=True) as admin:
        admin.execute("CREATE ROLE plain LOGIN PASSWORD 'secret'")
        admin.execute("GRANT ALL ON SCHEMA public TO plain")
        yield admin, _one_day(tmp_path, online | {"user": "plain"})
        admin.execute("DROP OWNED BY plain CASCADE")
        admin.execute("DROP ROLE plain")


@served
def test_postgres_says_what_is_wrong(
    postgres_store: tuple[psycopg.Connection[Any], FeatureStore],
) -> None:
    admin, store = postgres_store
    database = store.config.online_store.database
    admin.execute("ALTER TABLE shop_pushed OWNER TO tester")
    assert "does not let this user do that" in _refused(store).problem
    admin.execute("ALTER TABLE shop_pushed OWNER TO plain")
    admin.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    _hang_up(admin, store)
    assert "takes no writes: it is a standby, or read-only" in _refused(store).problem
    admin.execute(f'ALTER DATABASE "{database}" RESET default_transaction_read_only')
    admin.execute("ALTER ROLE plain CONNECTION LIMIT 0")
    _hang_up(admin, store)
    error = _refused(store)
    assert "has no connection left to give" in error.problem
    assert error.is_transient
    admin.execute("ALTER ROLE plain CONNECTION LIMIT -1")
    admin.execute("DROP TABLE shop_pushed")
    error = _refused(store)
    assert error.remedy.startswith("run feast apply, which makes it; or, if there were values")
    assert not error.is_transient
    admin.execute("ALTER ROLE plain NOLOGIN")
    _hang_up(admin, store)
    assert "refuses the credentials" in _refused(store).problem


def _hang_up(admin: psycopg.Connection[Any], store: FeatureStore) -> None:
    """As after a restart of the store's server and of the process that writes to it."""
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'plain'")
    online = store._get_provider().online_store
    online._conn = online._writer = None


@served
def test_postgres_names_the_key_and_feature_that_are_too_large(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    dice = random.Random(3)  # noqa: S311 - the same words each time
    store = _one_day(
        tmp_path,
        online_config("guarded_postgres", request),
        city=" ".join(f"{dice.getrandbits(64):x}" for _ in range(90_000)),
    )
    with pytest.raises(OnlineStoreError) as caught:
        materialize_window(store, "pushed", day(1), day(2))
    assert "the largest row is that of key {'user_id': 1}" in caught.value.problem
    assert "its largest feature 'city' 1,5" in caught.value.problem
    assert "texts below 1 MB" in caught.value.remedy


@served
@pytest.mark.parametrize("size", [409_600, 500_000])
def test_dynamodb_names_key_and_feature_of_an_item_before_anything_is_written(
    tmp_path: Path, request: pytest.FixtureRequest, size: int
) -> None:
    store = _one_day(tmp_path, online_config("dynamodb", request), city="y" * size)
    with pytest.raises(OnlineStoreError) as caught:
        materialize_window(store, "pushed", day(1), day(2))
    assert "the row of key {'user_id': 1} takes" in caught.value.problem
    assert "its largest feature is 'city'" in caught.value.problem
    answer = store.get_online_features(
        features=["pushed:amount"], entity_rows=[{"user_id": 1}, {"user_id": 2}]
    )
    assert answer.to_dict()["amount"] == [None, None]


@served
def test_an_item_that_dynamodb_itself_finds_too_large_is_named_too(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # moto counts another way, and refuses this one.
    store = _one_day(tmp_path, online_config("dynamodb", request), city="y" * 409_000)
    with pytest.raises(OnlineStoreError) as caught:
        materialize_window(store, "pushed", day(1), day(2))
    assert "Item size has exceeded" in caught.value.problem
    assert "that of key {'user_id': 1}, and its largest feature 'city'" in caught.value.problem
