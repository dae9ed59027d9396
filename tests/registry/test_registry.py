"""The registry: windows recorded by many processes, in every place it can be kept."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from feast import FeatureStore
from feast.infra.registry.registry import Registry
from worlds.processes.registry_processes import contents_of, join_writers, start_writers
from worlds.sample_repos import SampleRepo, row, served
from worlds.times import day

from feature_platform.core.windows import Window, missing
from feature_platform.errors import OnlineStoreError, RegistryError, WindowError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.registry.registry_apply import apply, ensure_registered, plan
from feature_platform.registry.windows_on_record import (
    change_windows,
    materialized_windows,
    record_window,
)
from feature_platform.repo.project import FeastProject

PROCESSES = 8
WINDOWS = 20


def _registry(kind: str, folder: Path, request: pytest.FixtureRequest) -> Any:
    if kind == "file":
        return str(folder / "registry.db")
    if kind == "sqlite":
        return {"registry_type": "sql", "path": f"sqlite:///{folder}/registry.sqlite"}
    if kind == "postgres":
        server = request.getfixturevalue("postgres_server")
        return {"registry_type": "sql", "path": server.url(server.new_database())}
    if kind == "gcs":
        request.getfixturevalue("gcs")
        return f"gs://registries/{folder.parent.name}/registry.db"
    request.getfixturevalue("aws")
    import os

    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["FEAST_S3_ENDPOINT_URL"])
    client.create_bucket(Bucket="registries")
    return "s3://registries/registry.db"


def _repo(kind: str, tmp_path: Path, request: pytest.FixtureRequest, **more: Any) -> SampleRepo:
    folder = tmp_path / "repo"
    folder.mkdir()
    return SampleRepo(folder, registry=_registry(kind, folder, request), **more)


EVERY_KIND = [
    "file",
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.server),
    pytest.param("gcs", marks=pytest.mark.server),
    pytest.param("s3", marks=pytest.mark.server),
]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_windows_are_merged_and_a_gap_stays_a_gap(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = _repo(kind, tmp_path, request).applied()
    for number in (1, 2, 5, 4, 2):
        record_window(store, "user_stats", Window(day(number), day(number + 1)))
    expected = [Window(day(1), day(3)), Window(day(4), day(6))]
    assert materialized_windows(store, "user_stats") == expected
    view = store.registry.get_feature_view("user_stats", store.project)
    assert view.materialization_intervals == [(w.start, w.end) for w in expected]
    assert view.state.name == "AVAILABLE_ONLINE"


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_store_that_was_open_before_sees_the_windows_of_others(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = _repo(kind, tmp_path, request)
    early = repo.applied()
    record_window(repo.open(), "user_stats", Window(day(1), day(2)))
    assert materialized_windows(early, "user_stats") == [Window(day(1), day(2))]
    record_window(early, "user_stats", Window(day(3), day(4)))
    # Feast edits its own copy of a file: it must not be the one from before.
    early.apply(repo.objects())
    assert materialized_windows(repo.open(), "user_stats") == [
        Window(day(1), day(2)),
        Window(day(3), day(4)),
    ]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_window_that_is_taken_out_leaves_a_gap(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = _repo(kind, tmp_path, request).applied()
    record_window(store, "user_stats", Window(day(1), day(6)))
    gone = [Window(day(3), day(4))]
    change_windows(store, "user_stats", lambda known: missing(known, gone))
    assert materialized_windows(store, "user_stats") == [
        Window(day(1), day(3)),
        Window(day(4), day(6)),
    ]


@pytest.mark.server
@pytest.mark.parametrize("kind", ["file", "sqlite", "postgres", "gcs"])
@pytest.mark.parametrize("views", [1, 8])
def test_eight_processes_lose_no_window(
    kind: str, views: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    names = tuple(f"view_{number}" for number in range(views))
    repo = _repo(kind, tmp_path, request, views=names)
    store = repo.applied()
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    processes = []
    expected: dict[str, list[Window]] = {name: [] for name in names}
    for process in range(PROCESSES):
        name = names[process % views]
        # Every second hour, so that nothing merges and a lost one is seen.
        windows = [
            Window(
                start := begin + timedelta(days=process, hours=2 * n), start + timedelta(hours=1)
            )
            for n in range(WINDOWS // 2)
        ] + [
            Window(
                start := begin + timedelta(days=100 + process, hours=2 * n),
                start + timedelta(hours=1),
            )
            for n in range(WINDOWS // 2)
        ]
        expected[name] += windows
        processes.append([(name, window) for window in windows])
    join_writers(start_writers(repo, *processes))
    for name in names:
        assert materialized_windows(store, name) == sorted(expected[name])
    assert {view.name for view in repo.open().list_feature_views()} == set(names)


@pytest.mark.server
@pytest.mark.parametrize("online", ["sqlite", "redis"])
def test_processes_that_materialize_one_view_at_once_leave_the_latest_rows(
    online: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from worlds.sample_repos import online_config

    folder = tmp_path / "repo"
    config = online_config(online, request)
    if online == "sqlite":
        config["path"] = str(folder / "online.db")
    repo = SampleRepo(folder, online=config)
    users = range(30)
    repo.write([row(user, day(n, user / 2), n * 100 + user) for user in users for n in range(1, 9)])
    store = repo.applied()
    processes = [
        [("user_stats", Window(day(n), day(n + 1))) for n in order]
        for order in ([1, 5, 3], [8, 2], [7, 4, 6], [3, 8, 1])
    ]
    join_writers(start_writers(repo, *processes, materialize=True))
    assert served(store, *users) == [800.0 + user for user in users]
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(9))]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_apply_keeps_the_windows_and_says_what_it_changed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repo = _repo(kind, tmp_path, request)
    store = repo.open()
    change = apply(store, contents_of(repo))
    assert "feature view user_stats" in change.added
    record_window(store, "user_stats", Window(day(1), day(2)))
    contents = contents_of(repo)
    assert not plan(store, contents)
    contents.feature_views[0].tags["team"] = "fraud"
    assert plan(store, contents).updated == ("feature view user_stats",)
    assert apply(store, contents).updated == ("feature view user_stats",)
    record_window(repo.open(), "user_stats", Window(day(3), day(4)))
    contents.feature_views[0].tags["team"] = "risk"
    apply(store, contents)
    assert materialized_windows(store, "user_stats") == [
        Window(day(1), day(2)),
        Window(day(3), day(4)),
    ]


def test_a_window_is_recorded_though_another_thread_reads_the_registry_meanwhile(
    repo: SampleRepo,
) -> None:
    """Feast keeps the registry of a store in one cache, which each reader replaces."""
    store = repo.applied()
    window = Window(day(1), day(2))

    def record(known: list[Window]) -> list[Window]:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(store.registry.refresh, store.project).result()
        return [*known, window]

    change_windows(store, "user_stats", record)
    assert materialized_windows(repo.open(), "user_stats") == [window]


def test_a_view_that_is_new_is_registered_and_one_that_is_there_is_left(repo: SampleRepo) -> None:
    store = repo.open()
    change = ensure_registered(store, contents_of(repo), "user_stats")
    assert change is not None
    assert "feature view user_stats" in change.added
    assert ensure_registered(store, contents_of(repo), "user_stats") is None


def test_a_view_the_repo_no_longer_has_is_deleted(repo: SampleRepo) -> None:
    store = repo.open()
    contents = contents_of(repo)
    apply(store, contents)
    contents.feature_views.clear()
    assert apply(store, contents).deleted == ("feature view user_stats",)
    assert store.list_feature_views() == []


def test_a_future_end_is_not_recorded(repo: SampleRepo) -> None:
    store = repo.applied()
    with pytest.raises(WindowError, match="future"):
        record_window(store, "user_stats", Window(day(1), datetime.now(UTC) + timedelta(minutes=5)))
    assert materialized_windows(store, "user_stats") == []


def test_feast_goes_on_from_what_was_recorded(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 1.0), row(1, day(3), 3.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    store.materialize_incremental(end_date=day(4))
    assert served(store, 1) == [3.0]
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(4))]


def test_an_unreachable_registry_is_named_without_its_password(tmp_path: Path) -> None:
    store = FeatureStore(
        config=SampleRepo(
            tmp_path,
            registry={
                "registry_type": "sql",
                "path": "postgresql+psycopg://joe:hunter2@127.0.0.1:1/feast",
                "sqlalchemy_config_kwargs": {"connect_args": {"connect_timeout": 2}},
            },
        ).config()
    )
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1/feast") as caught:
        materialize_window(store, "user_stats", day(1), day(2))
    assert "hunter2" not in str(caught.value)
    assert "joe" not in str(caught.value)


def test_readers_of_the_file_never_see_half_of_it(repo: SampleRepo) -> None:
    store = repo.applied()
    writer = start_writers(repo, [("user_stats", Window(day(n), day(n + 1))) for n in range(1, 20)])
    while writer.poll() is None:
        views = Registry("shop", store.config.registry, None).list_feature_views("shop")
        assert [view.name for view in views] == ["user_stats"]
    join_writers(writer)


_SLOW_OPENER = """
import sys, time
from pathlib import Path
from feast.infra.registry.file import FileRegistryStore
from feature_platform.repo.project import FeastProject

repo, found = Path(sys.argv[1]), FileRegistryStore.get_registry_proto

def slowly(self):
    try:
        return found(self)
    except FileNotFoundError:
        (repo / "looked").touch()
        deadline = time.monotonic() + 3
        while not (repo / "applied").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        raise

FileRegistryStore.get_registry_proto = slowly
FeastProject(repo).store().registry
"""


def test_who_opens_a_registry_that_is_not_there_yet_wipes_nothing(
    make_sample: Callable[[str], Any],
) -> None:
    project = make_sample("no_entities").project
    repo = project.repo_dir
    opener = subprocess.Popen([sys.executable, "-c", _SLOW_OPENER, str(repo)])
    while not (repo / "looked").exists():
        assert opener.poll() is None
        time.sleep(0.01)
    apply(project.store(), project.contents)
    (repo / "applied").touch()
    assert opener.wait(60) == 0
    assert project.store().list_feature_views()


_SLOW_MAKER = """
import sys, time
from pathlib import Path
from sqlalchemy import MetaData
from feature_platform.repo.project import FeastProject

repo, made = Path(sys.argv[1]), MetaData.create_all

def slowly(self, engine, **more):
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE begun (x)")
    (repo / "begun").touch()
    time.sleep(1)
    made(self, engine, **more)
    (repo / "made").touch()

MetaData.create_all = slowly
FeastProject(repo).store().registry
"""


def test_who_opens_a_sql_registry_waits_until_all_of_its_tables_are_made(
    make_sample: Callable[[str], Any],
) -> None:
    project = make_sample("no_entities").project
    repo = project.repo_dir
    config = yaml.safe_load(project.config_path.read_text())
    config["registry"] = {"registry_type": "sql", "path": f"sqlite:///{repo}/made.db"}
    project.config_path.write_text(yaml.safe_dump(config))
    maker = subprocess.Popen([sys.executable, "-c", _SLOW_MAKER, str(repo)])
    while not (repo / "begun").exists():
        assert maker.poll() is None
        time.sleep(0.01)
    assert FeastProject(repo).store().list_feature_views() == []
    assert (repo / "made").exists()
    assert maker.wait(60) == 0


def test_a_view_name_that_sqlite_refuses_is_an_error_with_a_way_out(
    make_sample: Callable[[str], Any],
) -> None:
    sample = make_sample("no_entities")
    definition = sample.project.repo_dir / "weather.py"
    definition.write_text(definition.read_text().replace('"weather_now"', '"weather-now"'))
    with pytest.raises(OnlineStoreError, match=r"near \"-\".*GuardedSqliteOnlineStore"):
        apply(sample.project.store(), sample.project.contents)
