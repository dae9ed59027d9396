"""What is said when a registry does not do its part, and what is not blamed on it."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from feast import FeatureStore
from sqlalchemy.exc import OperationalError
from worlds.processes.registry_processes import contents_of
from worlds.sample_repos import SampleRepo, row
from worlds.times import day

from feature_platform.core import file_locks
from feature_platform.core.windows import Window
from feature_platform.errors import OnlineStoreError, RegistryError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.registry.registry_apply import apply, ensure_registered, plan
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import load_view, record_window


def _in_sqlite(folder: Path, **more: Any) -> SampleRepo:
    address = f"sqlite:///{folder}/registry.sqlite"
    return SampleRepo(folder, registry={"registry_type": "sql", "path": address, **more})


def _in_postgres(folder: Path, request: pytest.FixtureRequest) -> FeatureStore:
    server = request.getfixturevalue("postgres_server")
    registry = {"registry_type": "sql", "path": server.url(server.new_database())}
    return SampleRepo(folder, registry=registry).applied()


def test_a_locked_database_is_said_to_be_locked_and_not_to_be_removed(tmp_path: Path) -> None:
    impatient = {"sqlalchemy_config_kwargs": {"connect_args": {"timeout": 0}}}
    store = _in_sqlite(tmp_path, **impatient).applied()
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryError, match="OperationalError: database is locked") as caught:
            load_view(store, "user_stats")
    assert "remove" not in caught.value.remedy
    assert caught.value.is_transient


def _damaged_file(folder: Path) -> FeatureStore:
    store = SampleRepo(folder).applied()
    (folder / "registry.db").write_bytes(b"no registry at all")
    return store


def _damaged_database(folder: Path) -> FeatureStore:
    store = _in_sqlite(folder).applied()
    (folder / "registry.sqlite").write_bytes(b"no database at all" * 100)
    return store


@pytest.mark.parametrize("damaged", [_damaged_file, _damaged_database])
def test_a_file_that_is_no_registry_is_to_be_restored_or_removed(
    tmp_path: Path, damaged: Callable[[Path], FeatureStore]
) -> None:
    store = damaged(tmp_path)
    with pytest.raises(RegistryError, match=r"cannot be read or written \(D\w+: .+\)") as caught:
        load_view(store, "user_stats")
    assert "restore it from a backup, or remove it" in caught.value.remedy
    assert not caught.value.is_transient


def test_credentials_that_are_not_there_are_the_registrys_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    store = SampleRepo(tmp_path, registry="gs://registries/registry.db").open()
    with pytest.raises(RegistryError, match=r"'gs://registries/registry.db': it cannot be reached"):
        record_window(store, "user_stats", Window(day(1), day(2)))


def test_a_registry_that_goes_away_after_an_edit_is_named(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = repo.applied()

    def gone(_project: str) -> None:
        raise ConnectionResetError(104, "reset by peer")

    monkeypatch.setattr(store.registry, "refresh", gone)
    with pytest.raises(RegistryError, match="ConnectionResetError"):
        record_window(store, "user_stats", Window(day(1), day(2)))


def test_an_apply_without_credentials_is_the_registrys_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    repo = SampleRepo(tmp_path, registry="gs://registries/registry.db")
    for work in (plan, apply, partial(ensure_registered, view="user_stats")):
        with pytest.raises(RegistryError, match=r"cannot be reached .*\(DefaultCredentialsError\)"):
            work(repo.open(), contents_of(repo))


@pytest.mark.server
@pytest.mark.usefixtures("aws")
def test_a_registry_that_refuses_to_be_written_is_named(tmp_path: Path) -> None:
    bucket = boto3.resource("s3", endpoint_url=os.environ["FEAST_S3_ENDPOINT_URL"]).Bucket("lost")
    bucket.create()
    repo = SampleRepo(tmp_path, registry="s3://lost/registry.db")
    store = repo.applied()
    bucket.objects.delete()
    bucket.delete()
    with pytest.raises(RegistryError, match=r"'s3://lost/registry.db': it cannot be reached"):
        apply(store, contents_of(repo))


def test_an_online_store_that_is_away_while_its_tables_are_made_is_named(tmp_path: Path) -> None:
    address = {"host": "127.0.0.1", "port": 1, "database": "online"}
    away = {"type": "postgres", "user": "joe", "password": "secret", **address}
    repo = SampleRepo(tmp_path, online=away)
    with pytest.raises(
        OnlineStoreError, match="'postgres': it could not make the tables"
    ) as caught:
        apply(repo.open(), contents_of(repo))
    assert "OperationalError" in caught.value.problem
    assert "secret" not in str(caught.value)
    assert caught.value.is_transient


@pytest.mark.server
def test_what_fails_under_a_lock_is_not_blamed_on_the_registry(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = _in_postgres(tmp_path, request)
    failure = OperationalError("SELECT of the source's own database", {}, Exception("away"))
    with (
        pytest.raises(OperationalError, match="the source's own database"),
        view_lock(store, "user_stats"),
    ):
        raise failure
    with view_lock(store, "user_stats", timeout=0):
        pass  # it was given back


@pytest.mark.server
def test_who_waits_long_for_a_lock_asks_the_server_seldom(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _in_postgres(tmp_path, request)
    pauses: list[float] = []

    class Clock:
        """Time that passes only where somebody sleeps."""

        @staticmethod
        def monotonic() -> float:
            return sum(pauses)

        @staticmethod
        def sleep(seconds: float) -> None:
            pauses.append(seconds)

    with view_lock(store, "user_stats"):
        monkeypatch.setattr(file_locks, "time", Clock)
        with (
            pytest.raises(RegistryError, match="held its lock for more than 100 s"),
            view_lock(store, "user_stats", timeout=100),
        ):
            pass
    assert len(pauses) < 120
    assert max(pauses) == 1.0
    assert min(pauses) < 0.05  # one that is held for a moment is had soon after


def test_an_online_store_that_cannot_be_read_back_is_named(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 1.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    with closing(sqlite3.connect(repo.folder / "online.db")) as database:
        database.execute("DROP TABLE shop_user_stats")
        database.commit()
    with pytest.raises(OnlineStoreError, match=r"'sqlite' lacks the view's table .*no such table"):
        compare_online(store, "user_stats")
