"""What is written wrong somewhere is not tried again; what is away for a while is."""

import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from feast import FeatureStore, FeatureView, Field
from feast.types import Int32
from worlds.local_servers import redis_running
from worlds.repos import change_column, change_table
from worlds.sample_repos import SampleRepo, row
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, SourceError, first_line, type_and_line
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import materialized_windows
from feature_platform.tables.window_build import build_parquet_window


def _tries(work: Callable[[], object]) -> int:
    """How often Dagster starts a step that does this, where it may three times."""
    raised: list[Exception] = []

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=0))
    def step() -> None:
        with one_line_failures():
            try:
                work()
            except Exception as error:
                raised.append(error)
                raise

    @dg.job
    def only() -> None:
        step()

    assert not only.execute_in_process(raise_on_error=False).success
    assert all(isinstance(each, FeaturePlatformError) for each in raised), raised
    return len(raised)


def _materialize(store: FeatureStore, view: str = "user_stats") -> Callable[[], object]:
    return lambda: materialize_window(store, view, day(1), day(2))


def _unknown_view(repo: SampleRepo) -> Callable[[], object]:
    return _materialize(repo.applied(), "user_state")


def _offline_view(repo: SampleRepo) -> Callable[[], object]:
    store = repo.applied()
    view = store.get_feature_view("user_stats")
    view.online = False
    store.apply([view])
    return _materialize(store)


def _missing_column(repo: SampleRepo) -> Callable[[], object]:
    change_table(repo.folder / "stats.parquet", lambda table: table.drop_columns(["visits"]))
    return _materialize(repo.applied())


def _value_out_of_range(repo: SampleRepo) -> Callable[[], object]:
    return _materialize(_of_int32(repo))


def _broken_sql(repo: SampleRepo) -> Callable[[], object]:
    return lambda: _build(repo, "SELECT nonsense FROM nowhere")


def _of_int32(repo: SampleRepo) -> FeatureStore:
    """The store, its view's visits declared as narrower than one of them is."""
    repo.write([row(user, day(1), 1.0, visits=2) for user in range(5)])
    store = repo.applied()
    view = FeatureView(
        name="user_stats",
        entities=[store.get_entity("user")],
        schema=[Field(name="visits", dtype=Int32)],
        source=repo.source,
    )
    store.apply([view])
    rows = [row(user, day(1), 1.0, visits=3_000_000_000 if user == 3 else 2) for user in range(5)]
    repo.write(rows)
    return store


def _build(repo: SampleRepo, sql: str) -> None:
    query = repo.folder / "stats.sql"
    query.write_text(sql)
    build_parquet_window(
        lambda _connection, _window: None,
        query,
        repo.folder / "built",
        Window(day(1), day(2)),
        day(3),
        event_timestamp_column="event_timestamp",
    )


@pytest.mark.parametrize(
    "broken",
    [_unknown_view, _offline_view, _missing_column, _value_out_of_range, _broken_sql],
    ids=lambda each: each.__name__.strip("_"),
)
def test_what_waiting_does_not_mend_is_tried_once(
    repo: SampleRepo, broken: Callable[[SampleRepo], Callable[[], object]]
) -> None:
    assert _tries(broken(repo)) == 1


def _no_file(repo: SampleRepo) -> Callable[[], object]:
    store = repo.applied()
    (repo.folder / "stats.parquet").unlink()
    return _materialize(store)


def _half_a_file(repo: SampleRepo) -> Callable[[], object]:
    store = repo.applied()
    file = repo.folder / "stats.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    return _materialize(store)


def _held_lock(repo: SampleRepo) -> Callable[[], object]:
    store = repo.applied()

    def wait() -> None:
        with view_lock(store, "user_stats"), view_lock(store, "user_stats", timeout=0):
            pass

    return wait


def _registry_away(repo: SampleRepo) -> Callable[[], object]:
    address = "postgresql+psycopg://joe:secret@127.0.0.1:1/feast"
    more = {"sqlalchemy_config_kwargs": {"connect_args": {"connect_timeout": 2}}}
    repo.registry = {"registry_type": "sql", "path": address, **more}
    return _materialize(repo.open())


@pytest.mark.parametrize(
    "away",
    [_no_file, _half_a_file, _held_lock, _registry_away],
    ids=lambda each: each.__name__.strip("_"),
)
def test_what_may_be_there_a_little_later_is_tried_again(
    repo: SampleRepo, away: Callable[[SampleRepo], Callable[[], object]]
) -> None:
    assert _tries(away(repo)) == 3


@pytest.mark.server
def test_a_server_that_is_dead_is_tried_again(tmp_path: Path) -> None:
    with redis_running() as server:
        address = f"{server.address},socket_timeout=1,socket_connect_timeout=1"
        repo = SampleRepo(tmp_path, online={"type": "redis", "connection_string": address})
        repo.write([row(1, day(1), 1.0)])
        store = repo.applied()
        os.kill(server.process.pid, signal.SIGKILL)
        assert _tries(_materialize(store)) == 3


def test_an_error_keeps_is_transient_when_pickled() -> None:
    for cause, is_transient in ((ConnectionRefusedError(), True), (ValueError(), False)):
        error = SourceError("source 'x'", "it cannot be read", "look")
        error.__cause__ = cause
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (error.is_transient, again.is_transient, str(again)) == (
            is_transient,
            is_transient,
            str(error),
        )


@pytest.mark.parametrize("kind", ["sqlite", "worlds.unknown_stores.UnknownSqliteOnlineStore"])
def test_a_value_that_does_not_fit_its_type_is_named_with_its_feature(
    tmp_path: Path, kind: str
) -> None:
    repo = SampleRepo(tmp_path / "repo", online={"type": kind})
    store = _of_int32(repo)
    said = r"column 'visits' of feature view 'user_stats': the source holds 3000000000, of type "
    with pytest.raises(SourceError, match=rf"{said}int64, which is no INT32 \(Value out of range"):
        materialize_window(store, "user_stats", day(1), day(2))
    assert materialized_windows(store, "user_stats") == []


def test_a_key_that_does_not_fit_its_type_is_named(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    change_column(repo.folder / "stats.parquet", "user_id", pa.array(["one"]))
    with pytest.raises(SourceError, match=r"column 'user_id' of .* holds 'one', of type string"):
        materialize_window(store, "user_stats", day(1), day(2))


def test_an_exception_that_says_nothing_is_told_by_its_type() -> None:
    assert first_line(NotImplementedError()) == type_and_line(NotImplementedError("\n"))
    assert type_and_line(KeyError("x\ny")) == "KeyError: 'x\\ny'"
    assert type_and_line(OSError("first\nsecond")) == "OSError: first"
