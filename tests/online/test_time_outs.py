"""A server that says nothing, dies in an answer or is gone ends each way to it, and is found again.

Nothing here looks at a clock: a way without a time-out would never come to an end.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from feast import FeatureStore
from feast.data_source import PushMode
from worlds.sample_repos import SampleRepo, online_config, row, served
from worlds.stand_ins.bad_line import BadLine, bad_line
from worlds.times import day

from feature_platform.core.feast_seams import prepare_online_store_with
from feature_platform.errors import OnlineStoreError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.online.dynamodb import backend as dynamodb
from feature_platform.online.online_size import online_size
from feature_platform.online.postgres import connections
from feature_platform.online.redis import clients
from feature_platform.online.store_errors import online_store_errors
from feature_platform.online.stores import prepare_online_store, writer_for

pytestmark = pytest.mark.server

GUARDED = ["guarded_redis", "guarded_postgres", "guarded_postgres_pool"]
STOCK = ["redis", "postgres", "dynamodb"]
ASKED: Mapping[str, Any] = {"features": ["pushed:amount"], "entity_rows": [{"user_id": 1}]}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (clients, connections, dynamodb):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)
    for module in (clients, dynamodb):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(connections, "READ_SECONDS", 0.5)
    monkeypatch.setattr(dynamodb, "_ATTEMPTS", 2)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[FeatureStore, BadLine]]:
    """A store that reaches its server over a bad line, as the graph opens it."""
    kind = request.param
    online = online_config(kind.removesuffix("_pool"), request)
    if kind.endswith("_pool"):
        online |= {"conn_type": "pool", "min_conn": 1, "max_conn": 1}
    if "endpoint_url" in online:
        port = urlsplit(online["endpoint_url"]).port
    else:
        port = online.get("port") or int(online["connection_string"].rpartition(":")[2])
    with bad_line(port) as line:
        if "endpoint_url" in online:
            online["endpoint_url"] = f"http://127.0.0.1:{line.port}"
        elif "port" in online:
            online["port"] = line.port
        else:
            online["connection_string"] = f"127.0.0.1:{line.port}"
        repo = SampleRepo(tmp_path / "repo", online=online)
        repo.write([row(1, day(1), 1.0)])
        repo.pushed()
        repo.keep = True
        store = repo.open()
        prepare_online_store_with(store, prepare_online_store)
        materialize_window(store, "pushed", day(1), day(2))
        assert served(store, 1, view="pushed") == [1.0]
        assert line.connections > 0
        yield store, line


def _rows() -> pd.DataFrame:
    return pd.DataFrame([row(1, datetime.now(UTC), 1.0, visits=1, city="x")])


def _ways(store: FeatureStore, *, guarded: bool) -> dict[str, Callable[[], Any]]:
    online = store._get_provider().online_store
    view = store.get_feature_view("pushed")

    def note() -> None:
        with online_store_errors(store, "pushed"):
            writer = writer_for(online, store.config)
            assert writer is not None
            try:
                writer.note(view, "x")
            finally:
                writer.close()

    ways: dict[str, Callable[[], Any]] = {
        "read": lambda: store.get_online_features(**ASKED),
        "push": lambda: store.push("clicks", _rows(), to=PushMode.ONLINE),
        "materialize": lambda: materialize_window(store, "pushed", day(1), day(2)),
    }
    if store.config.online_store.type != "dynamodb":
        ways["measure"] = lambda: online_size(store, ["pushed"])
        ways["note"] = note
    if guarded:
        ways["read async"] = lambda: asyncio.run(store.get_online_features_async(**ASKED))
        ways["push async"] = lambda: asyncio.run(
            store.push_async("clicks", _rows(), to=PushMode.ONLINE)
        )
    if "redis" not in str(store.config.online_store.type).lower():  # which makes no tables
        ways["apply"] = lambda: online.update(store.config, [], [view], [], [], partial=True)
    return ways


def _breaks_and_recovers(store: FeatureStore, line: BadLine, mode: str, *, guarded: bool) -> None:
    for name, way in _ways(store, guarded=guarded).items():
        _works(way)
        line.break_down(mode)
        try:
            way()
        except Exception as error:  # noqa: BLE001 - each client has its own
            assert not isinstance(error, AssertionError), name  # noqa: PT017
            if guarded and "apply" not in name:
                assert _says_so(error), (name, repr(error))  # noqa: PT017
        else:
            pytest.fail(f"{name}: no error")
        line.come_back()
        _works(way)


def _says_so(error: Exception) -> bool:
    """Whether it is our error, with a remedy, and of the kind that is worth another try."""
    if not isinstance(error, OnlineStoreError):
        return False
    said = f"{error.problem}; {error.remedy}"
    return error.is_transient and any(
        each in said for each in ("did not answer in time", "cannot be reached")
    )


def _works(way: Callable[[], Any]) -> None:
    with suppress(Exception):  # it may be the first to meet a connection that the server has closed
        way()
    way()


@pytest.mark.parametrize("mode", ["silent", "cut", "gone"])
@pytest.mark.parametrize("world", GUARDED, indirect=True)
def test_each_way_to_a_guarded_store_ends(world: tuple[FeatureStore, BadLine], mode: str) -> None:
    _breaks_and_recovers(*world, mode, guarded=True)


@pytest.mark.parametrize("mode", ["silent", "cut", "gone"])
@pytest.mark.parametrize("world", STOCK, indirect=True)
def test_each_way_to_a_store_of_feast_ends(world: tuple[FeatureStore, BadLine], mode: str) -> None:
    _breaks_and_recovers(*world, mode, guarded=False)


@pytest.mark.parametrize("world", ["guarded_postgres", "guarded_redis"], indirect=True)
def test_a_read_after_a_restart_of_the_server_is_answered(
    world: tuple[FeatureStore, BadLine],
) -> None:
    store, line = world
    for _ in range(2):
        line.hang_up()
        assert store.get_online_features(**ASKED).to_dict()["amount"] == [1.0]
