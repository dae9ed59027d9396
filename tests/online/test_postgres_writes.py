"""What is special about writing to PostgreSQL: deadlocks, rows that stay, very wide views."""

import threading
import time
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FeatureView, Field
from feast.types import Float64
from worlds.local_servers import PostgresServer
from worlds.sample_repos import SampleRepo, row, served
from worlds.times import day

from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online

pytestmark = pytest.mark.server


@pytest.fixture
def repo(tmp_path: Path, postgres_server: PostgresServer) -> SampleRepo:
    online = postgres_server.online(postgres_server.new_database())
    return SampleRepo(tmp_path / "repo", online=online)


def _address(store: FeatureStore) -> str:
    online = store.config.online_store
    return f"host={online.host} port={online.port} user={online.user} dbname={online.database}"


def test_a_write_that_ends_a_deadlock_is_tried_again(repo: SampleRepo) -> None:
    repo.write([row(user, day(1), 1.0) for user in range(2)])
    store = repo.applied()
    address = _address(store)
    with psycopg.connect(address, autocommit=True) as setting:
        # A server looks once for a deadlock: it has to be there by then, on a slow machine too.
        name = store.config.online_store.database
        setting.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '5s'")
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([row(user, day(2), 2.0) for user in range(2)])
    lock = "SELECT FROM shop_user_stats WHERE entity_key = %s FOR UPDATE"
    with psycopg.connect(address) as other, psycopg.connect(address, autocommit=True) as watch:
        # The other one does not look for deadlocks, so that ours is found out and given up.
        other.execute("SET deadlock_timeout = '1h'")
        found = other.execute("SELECT DISTINCT entity_key FROM shop_user_stats ORDER BY 1")
        first, second = (key for (key,) in found.fetchall())
        other.execute(lock, (second,))
        errors: list[BaseException] = []

        def attempt() -> None:
            try:
                materialize_window(store, "user_stats", day(2), day(3))
            except BaseException as error:  # noqa: BLE001 - looked at below
                errors.append(error)

        writing = threading.Thread(target=attempt)
        writing.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while writing.is_alive() and watch.execute(waiting).fetchone() == (0,):
            time.sleep(0.01)
        other.execute(lock, (first,))
        other.commit()
        writing.join(60)
    assert not errors
    assert served(store, 0, 1) == [2.0, 2.0]


def test_a_rerun_leaves_rows_as_they_are_and_writes_those_that_are_gone_or_changed(
    repo: SampleRepo,
) -> None:
    repo.write([row(user, day(1), user * 1.0, city="x") for user in range(4)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    address = _address(store)
    cells = "SELECT entity_key, feature_name, ctid::text FROM shop_user_stats"
    with psycopg.connect(address, autocommit=True) as other:
        before = set(other.execute(cells).fetchall())
        keys = sorted({key for key, *_ in before})
        gone = (keys[0], "city")
        other.execute(
            "DELETE FROM shop_user_stats WHERE entity_key = %s AND feature_name = %s", gone
        )
        other.execute("UPDATE shop_user_stats SET value = '' WHERE entity_key = %s", (keys[1],))
        materialize_window(store, "user_stats", day(1), day(2))
        after = set(other.execute(cells).fetchall())
    assert served(store, *range(4)) == [0.0, 1.0, 2.0, 3.0]
    assert compare_online(store, "user_stats").mismatches == ()
    assert {cell for cell in before & after if cell[0] in keys[2:]} == {
        cell for cell in before if cell[0] in keys[2:]
    }
    assert len(after) == len(before) == 12


def test_a_view_of_hundreds_of_features_fits_the_servers_pages(repo: SampleRepo) -> None:
    count = 450
    names = [f"f{number}" for number in range(count)]
    values = {
        name: [number / 7 + user / 3 for user in range(3)] for number, name in enumerate(names)
    }
    keys = {"user_id": [0, 1, 2], "event_timestamp": [day(1)] * 3, "created": [day(1)] * 3}
    pq.write_table(pa.table(keys | values), repo.folder / "stats.parquet")
    user, source, *_ = repo.objects()
    wide = FeatureView(
        name="wide",
        entities=[user],
        schema=[Field(name=name, dtype=Float64) for name in names],
        source=source,
    )
    store = repo.open()
    store.apply([user, source, wide])
    for _ in range(2):
        materialize_window(store, "wide", day(1), day(2))
    answer = store.get_online_features(
        features=[f"wide:{name}" for name in names], entity_rows=[{"user_id": 2}]
    ).to_dict()
    assert {name: answer[name] for name in names} == {name: [values[name][2]] for name in names}
