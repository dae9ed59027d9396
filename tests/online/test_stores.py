"""Every online store holds the latest rows, whatever the order, and streams keep their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import FeatureStore
from feast.data_source import PushMode
from worlds.local_servers import RedisServer, cluster_running, redis_running
from worlds.places import environment
from worlds.sample_repos import SampleRepo, online_config, row, served
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.encoding.entity_keys import key_columns_of
from feature_platform.errors import OnlineStoreError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.online.stores import writer_for
from feature_platform.registry.windows_on_record import materialized_windows

LOCAL = ["sqlite", "guarded_sqlite"]
SERVED = ["redis", "guarded_redis", "redis_cluster", "postgres", "guarded_postgres", "dynamodb"]
EVERY = [*LOCAL, *(pytest.param(kind, marks=pytest.mark.server) for kind in SERVED)]
WITH_BULK = [each for each in EVERY if "dynamodb" not in str(each)]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def repo(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> SampleRepo:
    return SampleRepo(tmp_path / "repo", online=online_config(kind, request))


def _push(store: FeatureStore, *rows: dict[str, Any]) -> None:
    store.push("clicks", pd.DataFrame(list(rows)), to=PushMode.ONLINE)


@pytest.mark.parametrize("kind", EVERY, indirect=True)
def test_windows_in_any_order_leave_the_latest_rows(repo: SampleRepo) -> None:
    rows = [row(user, day(n, user), n * 10.0 + user) for user in (1, 2, 3) for n in (1, 2, 3)]
    repo.write([*rows, row(4, day(1), 14.0)])
    store = repo.applied()
    for number in (3, 1, 2, 1):
        materialize_window(store, "user_stats", day(number), day(number + 1))
    assert served(store, 1, 2, 3, 4) == [31.0, 32.0, 33.0, 14.0]
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(4))]
    comparison = compare_online(store, "user_stats")
    assert (comparison.keys_compared, comparison.mismatches) == (4, ())


@pytest.mark.parametrize("kind", WITH_BULK, indirect=True)
def test_a_late_window_sees_which_keys_are_online_from_it_and_from_after_it(
    repo: SampleRepo,
) -> None:
    repo.write([row(user, day(user, user), 1.0) for user in (1, 2, 3, 4)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(4))
    # Whole seconds and the local clock are all that Feast itself leaves.
    store.materialize(day(4), day(5), feature_views=["user_stats"])
    view = store.get_feature_view("user_stats")
    writer = writer_for(store._get_provider().online_store, store.config)
    assert writer is not None
    found = writer.keys_from(view, Window(day(2), day(3)), 10)
    assert found is not None
    assert _users(found.within) == [2]
    assert _users(found.after) == [3, 4]
    assert writer.keys_from(view, Window(day(2), day(3)), 1) is None
    writer.close()


@pytest.mark.parametrize(
    "kind",
    ["guarded_sqlite", pytest.param("guarded_postgres", marks=pytest.mark.server)],
    indirect=True,
)
def test_a_key_one_of_whose_features_is_old_is_not_taken_for_newer(
    kind: str, repo: SampleRepo
) -> None:
    repo.write([row(user, day(3), 1.0) for user in (1, 2)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(3), day(4))
    online = store._get_provider().online_store
    old = str(int(day(1).timestamp())) if kind == "guarded_sqlite" else f"'{day(1).isoformat()}'"
    update = f"UPDATE {store.project}_user_stats SET event_ts = {old} WHERE feature_name = 'visits'"
    with online._get_conn(store.config) as connection:
        connection.execute(update)
        connection.commit()
    writer = writer_for(online, store.config)
    assert writer is not None
    found = writer.keys_from(store.get_feature_view("user_stats"), Window(day(2), day(3)), 10)
    assert found is not None
    assert (found.within, found.after) == (set(), set())
    writer.close()


def _users(keys: set[bytes]) -> list[int]:
    return sorted(key_columns_of(sorted(keys), ["user_id"])["user_id"])


@pytest.mark.parametrize("kind", EVERY, indirect=True)
def test_a_correction_and_a_late_row_are_served(repo: SampleRepo) -> None:
    moment = day(1, 6)
    repo.write([row(1, moment, 1.0, created=day(2)), row(2, moment, 2.0, created=day(2))])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([row(1, moment, 5.0, created=day(3)), row(2, day(1, 7), 6.0, created=day(3))])
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1, 2) == [5.0, 6.0]


@pytest.mark.parametrize("kind", EVERY, indirect=True)
def test_a_row_corrected_to_an_earlier_time_is_served(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 6), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([row(1, day(1, 5), 2.0)])
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1) == [2.0]


@pytest.mark.parametrize("kind", WITH_BULK, indirect=True)
def test_a_vanished_row_gives_way_to_the_latest_one_left_or_is_deleted(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 1.0), row(1, day(2), 2.0), row(2, day(2), 3.0), row(3, day(2), 4.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(3))
    repo.write([row(1, day(1), 1.0), row(3, day(2), 4.0)])
    result = materialize_window(store, "user_stats", day(2), day(3))
    assert served(store, 1, 2, 3) == [1.0, None, 4.0]
    assert (result.keys_vanished, result.rebuild_due) == (2, False)


@pytest.mark.server
@pytest.mark.parametrize("kind", ["dynamodb"], indirect=True)
def test_a_store_that_cannot_name_vanished_keys_says_that_a_rebuild_is_due(
    repo: SampleRepo,
) -> None:
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    first = materialize_window(store, "user_stats", day(1), day(2))
    again = materialize_window(store, "user_stats", day(1), day(2))
    assert (first.rebuild_due, again.rebuild_due) == (False, True)
    assert "dynamodb" in again.reason


@pytest.mark.parametrize("kind", EVERY, indirect=True)
def test_a_view_that_is_emptied_first_keeps_no_vanished_key_and_takes_none_of_another_view(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = SampleRepo(
        tmp_path / "both", online=online_config(kind, request), views=("user_stats", "other")
    )
    repo.write([row(1, day(1), 1.0), row(2, day(1), 2.0)])
    store = repo.applied()
    for view in repo.views:
        materialize_window(store, view, day(1), day(2))
    repo.write([row(1, day(1), 1.5)])
    written_over = rebuild_online(store, "user_stats")
    assert written_over.leaves_vanished == ("dynamodb" in kind)
    assert served(store, 1, 2) == [1.5, 2.0 if "dynamodb" in kind else None]
    emptied = rebuild_online(store, "user_stats", empty_first=True)
    assert not emptied.leaves_vanished
    assert served(store, 1, 2) == [1.5, None]
    assert served(store, 1, 2, view="other") == [1.0, 2.0]


@pytest.mark.parametrize("kind", EVERY, indirect=True)
def test_a_value_that_a_stream_pushed_survives_an_older_batch(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 5), 1.0), row(2, day(1, 5), 2.0)])
    store = repo.pushed()
    _push(store, row(1, day(1, 9), 9.0, visits=1, city="x"))
    materialize_window(store, "pushed", day(1), day(2))
    assert served(store, 1, 2, view="pushed") == [9.0, 2.0]
    materialize_window(store, "pushed", day(1), day(2))
    assert served(store, 1, 2, view="pushed") == [9.0, 2.0]
    assert compare_online(store, "pushed").mismatches == ()


@pytest.mark.parametrize(
    "kind",
    [
        "guarded_sqlite",
        pytest.param("guarded_redis", marks=pytest.mark.server),
        pytest.param("guarded_postgres", marks=pytest.mark.server),
    ],
    indirect=True,
)
def test_a_guarded_store_refuses_older_rows_from_feast_itself(repo: SampleRepo) -> None:
    repo.write([row(1, day(1, 5), 1.0), row(1, day(3, 5), 3.0)])
    store = repo.pushed()
    store.materialize(day(3), day(4))
    store.materialize(day(1), day(2))
    assert served(store, 1) == [3.0]
    moment = day(5) + timedelta(microseconds=2)
    _push(store, row(1, moment, 5.0, created=day(6), visits=1, city="a"))
    _push(store, row(1, moment, 4.0, created=day(5), visits=1, city="a"))
    _push(store, row(1, moment - timedelta(microseconds=1), 3.0, created=day(9), visits=1, city=""))
    assert served(store, 1, view="pushed") == [5.0]
    _push(store, row(1, moment, 6.0, created=day(6, 1), visits=1, city="a"))
    assert served(store, 1, view="pushed") == [6.0]
    # Within one batch as well, whatever the order of its rows.
    newest = row(1, day(7, 2), 8.0, visits=1, city="a")
    _push(store, newest, row(1, day(7, 1), 7.0, visits=1, city="a"))
    assert served(store, 1, view="pushed") == [8.0]


@pytest.mark.parametrize("kind", EVERY, indirect=True)
def test_without_created_times_the_rerun_wins(repo: SampleRepo) -> None:
    repo.created = False
    repo.write([row(1, day(1, 5), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([row(1, day(1, 5), 2.0)])
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1) == [2.0]


@pytest.mark.server
def test_a_rewrite_gives_a_redis_key_its_full_time_to_live_again(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    online = {
        "type": "redis",
        "connection_string": redis_server.address,
        "key_ttl_seconds": 1000,
    }
    repo = SampleRepo(tmp_path, online=online)
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    client = redis_server.client()
    (key,) = client.keys(b"*shop")
    client.expire(key, 10)
    materialize_window(store, "user_stats", day(1), day(2))
    assert client.ttl(key) > 900


@pytest.mark.server
def test_a_project_whose_name_ends_alike_is_left_alone(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    online = {"type": "redis", "connection_string": redis_server.address}
    stores = []
    for project in ("shop", "bigshop"):
        repo = SampleRepo(tmp_path / project, online=online, project=project)
        repo.write([row(1, day(1), 1.0)])
        stores.append((repo, repo.applied()))
        materialize_window(stores[-1][1], "user_stats", day(1), day(2))
    repo, store = stores[0]
    repo.write([])
    materialize_window(store, "user_stats", day(1), day(2))
    assert served(store, 1) == [None]
    assert served(stores[1][1], 1) == [1.0]


READER = """
import sys, json
from pathlib import Path
from worlds.sample_repos import SampleRepo
repo = SampleRepo(Path(sys.argv[1]), online=json.loads(sys.argv[2]), keep=True)
store = repo.open()
users = list(range(40))
names = ["amount", "visits", "city"]
print("ready", flush=True)
reads = 0
while not Path(sys.argv[1], "stop").exists():
    answer = store.get_online_features(
        features=[f"user_stats:{name}" for name in names],
        entity_rows=[{"user_id": user} for user in users],
    ).to_dict()
    for amount, visits, city in zip(*(answer[name] for name in names)):
        assert amount is not None, "a key is gone"
        assert visits == int(amount) and city == f"city{visits}", (amount, visits, city)
    reads += 1
print(reads)
"""


@pytest.mark.parametrize(
    "kind",
    [
        "sqlite",
        pytest.param("redis", marks=pytest.mark.server),
        pytest.param("postgres", marks=pytest.mark.server),
    ],
    indirect=True,
)
def test_a_reader_never_sees_an_error_or_half_a_row(repo: SampleRepo) -> None:
    import json

    def rows(number: int) -> list[dict[str, Any]]:
        return [
            row(user, day(number, 1), float(number), visits=number, city=f"city{number}")
            for user in range(3000)
        ]

    repo.write(rows(1))
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([each for number in range(1, 6) for each in rows(number)])
    online = dict(store.config.online_store.model_dump(mode="json"))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(repo.folder), json.dumps(online)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert "ready" in reader.stdout.readline()
    for number in (2, 3, 4, 5):
        materialize_window(store, "user_stats", day(number), day(number + 1))
    (repo.folder / "stop").touch()
    out, errors = reader.communicate(timeout=60)
    assert reader.returncode == 0, errors[-2000:]
    assert int(out.split()[-1]) > 0


VICTIM = """
import sys, json
from datetime import datetime
from pathlib import Path
from worlds.sample_repos import SampleRepo
from feature_platform.materialize.materialize_window import materialize_window
repo = SampleRepo(Path(sys.argv[1]), online=json.loads(sys.argv[2]), keep=True)
import feature_platform.materialize.materialization as work
work._BATCH_ROWS = 500
store = repo.open()
print("ready", flush=True)
materialize_window(store, "user_stats", *map(datetime.fromisoformat, sys.argv[3:5]))
print("done", flush=True)
"""


@pytest.mark.server
@pytest.mark.parametrize("kind", ["sqlite", "redis", "postgres"], indirect=True)
@pytest.mark.parametrize("after", [0.02, 0.1, 0.2, 0.35])
def test_a_killed_run_is_mended_by_running_again(repo: SampleRepo, after: float) -> None:
    import json

    users = range(20_000)
    repo.write([row(user, day(n, 1), n * 1.0) for user in users for n in (1, 2)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    online = dict(store.config.online_store.model_dump(mode="json"))
    victim = subprocess.Popen(
        [
            *(sys.executable, "-c", VICTIM, str(repo.folder), json.dumps(online)),
            *(day(2).isoformat(), day(3).isoformat()),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    victim.stdout.readline()
    time.sleep(after)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=30)
    # What the crash left is some of day 2; the source has lost a key of it since.
    repo.write([row(user, day(n, 1), n * 1.0) for user in users[5:] for n in (1, 2)])
    materialize_window(store, "user_stats", day(2), day(3))
    materialize_window(store, "user_stats", day(1), day(2))
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(3))]
    assert served(store, 0, 4, 5, 19_999) == [None, None, 2.0, 2.0]
    comparison = compare_online(store, "user_stats", limit=3000)
    assert (comparison.keys_total, comparison.mismatches) == (19_995, ())


def _fails_in_time(store: FeatureStore, seconds: float) -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            materialize_window(store, "user_stats", day(1), day(2))
        except BaseException as error:  # noqa: BLE001 - looked at below
            caught.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"still hanging after {seconds} s"
    assert isinstance(caught[0], OnlineStoreError), caught
    assert materialized_windows(store, "user_stats") == []


@pytest.mark.server
@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is dead"])
def test_a_redis_that_does_not_answer_ends_in_an_error(tmp_path: Path, end: signal.Signals) -> None:
    with redis_running() as server:
        online = {
            "type": "redis",
            "connection_string": f"{server.address},socket_timeout=1,socket_connect_timeout=1",
        }
        repo = SampleRepo(tmp_path / "repo", online=online)
        repo.write([row(1, day(1), 1.0)])
        store = repo.applied()
        os.kill(server.process.pid, end)
        _fails_in_time(store, 30)
        os.kill(server.process.pid, signal.SIGCONT)


@pytest.mark.server
@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is dead"])
def test_a_cluster_node_that_does_not_answer_ends_in_an_error(
    tmp_path: Path, end: signal.Signals
) -> None:
    with cluster_running() as cluster:
        online = {
            "type": "redis",
            "redis_type": "redis_cluster",
            "connection_string": f"{cluster.address},socket_timeout=1,socket_connect_timeout=1",
        }
        repo = SampleRepo(tmp_path / "repo", online=online)
        repo.write([row(user, day(1), 1.0) for user in range(2000)])
        store = repo.applied()
        os.kill(cluster.nodes[1].process.pid, end)
        _fails_in_time(store, 60)
        os.kill(cluster.nodes[1].process.pid, signal.SIGCONT)


@pytest.mark.server
def test_a_postgres_that_hangs_ends_in_an_error(
    tmp_path: Path, postgres_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    from feature_platform.online.postgres import connections

    repo = SampleRepo(
        tmp_path / "repo", online=postgres_server.online(postgres_server.new_database())
    )
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 1.0)
    # A lock that is never given back is what a hanging server looks like from here.
    with psycopg.connect(postgres_server.conninfo(store.config.online_store.database)) as other:
        other.execute("LOCK TABLE shop_user_stats")
        _fails_in_time(store, 30)


def test_a_row_of_today_can_be_materialized_up_to_now(tmp_path: Path) -> None:
    repo = SampleRepo(tmp_path)
    now = datetime.now(UTC)
    repo.write([row(1, now - timedelta(seconds=1), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", now - timedelta(hours=1), now)
    assert served(store, 1) == [1.0]


@pytest.mark.server
@pytest.mark.parametrize("kind", ["guarded_redis"])
def test_a_key_that_redis_has_let_expire_is_no_difference(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    online = online_config(kind, request) | {"key_ttl_seconds": 1}
    repo = SampleRepo(tmp_path / "short", online=online)
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    deadline = time.monotonic() + 30
    while served(store, 1) != [None]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert compare_online(store, "user_stats").mismatches == ()
