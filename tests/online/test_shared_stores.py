"""One store object in many hands: threads, forks, few connections, keys of every width."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from feast.data_source import PushMode
from worlds.local_servers import PostgresServer
from worlds.sample_repos import GUARDED, ROWS, SampleRepo, online_config, row, served
from worlds.times import day

from feature_platform.core.feast_seams import online_store_of
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.online.postgres import writer as postgres_writer
from feature_platform.online.stores import writer_for

SHARED = [
    "guarded_sqlite",
    *(
        pytest.param(kind, marks=pytest.mark.server)
        for kind in ("guarded_redis", "guarded_postgres")
    ),
]


def _push(store: FeatureStore, *users: int) -> None:
    rows = [row(user, day(3), float(user)) for user in users]
    store.push("clicks", pd.DataFrame(rows), to=PushMode.ONLINE)


def _in_threads(work: Callable[[int], object], count: int) -> list[BaseException]:
    """What was raised by `work(0)`, `work(1)` and so on, each in a thread of its own."""
    with ThreadPoolExecutor(count) as threads:
        begun = [threads.submit(work, number) for number in range(count)]
        return [error for each in begun if (error := each.exception())]


@pytest.mark.parametrize("kind", SHARED)
def test_threads_that_push_through_one_store_lose_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = SampleRepo(tmp_path / "repo", online=online_config(kind, request)).pushed("amount")

    def work(number: int) -> None:
        for user in range(number * 10, number * 10 + 10):
            _push(store, user)

    assert _in_threads(work, 5) == []
    assert served(store, *range(50), view="pushed") == [float(user) for user in range(50)]


@pytest.mark.parametrize("kind", SHARED)
def test_a_thread_pushes_while_another_materializes_with_the_same_store(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = SampleRepo(tmp_path / "repo", online=online_config(kind, request))
    store = repo.pushed("amount")
    repo.write([row(user, day(1), -1.0) for user in range(100)])

    def work(number: int) -> None:
        if number == 0:
            for _ in range(5):
                materialize_window(store, "pushed", day(1), day(2))
        else:
            for user in range(20):
                _push(store, user)

    assert _in_threads(work, 2) == []
    assert served(store, 0, 19, 20, view="pushed") == [0.0, 19.0, -1.0]


def test_a_note_waits_for_the_transaction_of_another_thread(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Else its table is made inside of that transaction, which then cannot be committed."""
    online_store = online_config("guarded_sqlite", request)
    store = SampleRepo(tmp_path / "repo", online=online_store).pushed("amount")
    online = online_store_of(store)
    writer = writer_for(online, store.config)
    assert writer is not None
    view = store.get_feature_view("pushed")
    writer.note(view, "topic")  # whose table is ready from then on
    with ThreadPoolExecutor(1) as threads:
        with online.turn:
            asked = threads.submit(writer.note, view, "topic")
            with pytest.raises(TimeoutError):
                asked.result(timeout=0.3)
        assert asked.result(timeout=30) is None


@pytest.mark.server
def test_forked_processes_open_postgres_connections_of_their_own(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    online = postgres_server.online(postgres_server.new_database(), GUARDED["postgres"])
    store = SampleRepo(tmp_path / "repo", online=online).pushed("amount")
    _push(store, 0)
    children = [_forked(store, range(first, first + 10)) for first in (1, 11, 21)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    _push(store, 31)
    assert served(store, *range(32), view="pushed") == [float(user) for user in range(32)]


def _forked(store: FeatureStore, users: Iterable[int]) -> int:
    """The id of a child that pushes the users one by one, and ends in 0 when it could."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for user in users:
                _push(store, user)
            code = 0
        finally:
            os._exit(code)
    return child


@pytest.mark.server
def test_a_role_with_a_single_connection_left_can_write_a_large_batch(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    database = postgres_server.new_database()
    with psycopg.connect(postgres_server.conninfo(database), autocommit=True) as admin:
        admin.execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 2")
        admin.execute("GRANT ALL ON SCHEMA public TO narrow")
    online = {**postgres_server.online(database, GUARDED["postgres"]), "user": "narrow"}
    repo = SampleRepo(tmp_path / "repo", online=online)
    repo.write([row(user, day(1), float(user)) for user in range(3000)])
    store = repo.applied()  # Feast's own connection is the first of the two
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 0, 2999) == [0.0, 2999.0]


@pytest.mark.server
def test_values_of_a_stream_are_taken_out_page_by_page(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_writer, "_SCAN_ROWS", 2)
    online = postgres_server.online(postgres_server.new_database(), GUARDED["postgres"])
    repo = SampleRepo(tmp_path / "repo", online=online)
    repo.write([row(user, day(1), -1.0) for user in range(7)])
    store = repo.pushed("amount")
    materialize_window(store, "pushed", day(1), day(5))
    _push(store, *range(7))
    rebuild_online(store, "pushed", as_of=day(2))
    assert served(store, *range(7), view="pushed") == [-1.0] * 7


@pytest.mark.parametrize("kind", [pa.int16(), pa.int32(), pa.int64()])
def test_keys_below_zero_are_served_in_any_width(tmp_path: Path, kind: Any) -> None:
    repo = SampleRepo(tmp_path / "repo")
    table = pa.Table.from_pylist([row(user, day(1), float(user)) for user in (-300, -1, 7)], ROWS)
    table = table.set_column(0, "user_id", table["user_id"].cast(kind))
    pq.write_table(table, tmp_path / "repo" / "stats.parquet")
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, -300, -1, 7) == [-300.0, -1.0, 7.0]


@pytest.mark.server
@pytest.mark.parametrize("users", [3, 2_500])
def test_a_push_survives_that_the_server_closed_idle_connections(
    users: int, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    database = postgres_server.new_database()
    online = postgres_server.online(database, GUARDED["postgres"])
    store = SampleRepo(tmp_path / "repo", online=online).pushed("amount")
    _push(store, *range(users))
    with psycopg.connect(postgres_server.conninfo(database)) as other:
        closed = other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND pid <> pg_backend_pid()",
            (database,),
        ).fetchall()
    assert closed
    rows = [row(user, day(4), user + 0.5) for user in range(users)]
    store.push("clicks", pd.DataFrame(rows), to=PushMode.ONLINE)
    again = SampleRepo(tmp_path / "repo", online=online, keep=True).open()
    answer = again.get_online_features(["pushed:amount"], [{"user_id": users - 1}]).to_dict()
    assert answer["amount"] == [users - 0.5]
