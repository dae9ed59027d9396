"""Where every version of a view has an online table of its own, each is filled by itself."""

import threading
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore, FeatureView, Field
from feast.errors import FeatureViewPinConflict
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.infra.registry.sql import SqlRegistryConfig
from feast.repo_config import RegistryConfig
from feast.types import Float64, Int64, String
from worlds.repos import contents
from worlds.sample_repos import SampleRepo, online_config, row
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.errors import OnlineStoreError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.registry import registry_apply, registry_versions
from feature_platform.registry.registry_apply import apply
from feature_platform.registry.windows_on_record import load_view, materialized_windows

KINDS = ["sqlite", "guarded_sqlite"] + [
    pytest.param(kind, marks=pytest.mark.server)
    for kind in ("redis", "guarded_redis", "postgres", "guarded_postgres")
]
OLD, NEW = ("amount", "visits"), ("amount", "visits", "city")


@pytest.fixture(params=KINDS)
def repo(tmp_path: Path, request: pytest.FixtureRequest) -> SampleRepo:
    registry = RegistryConfig(
        path=str(tmp_path / "registry.db"), enable_online_feature_view_versioning=True
    )
    online = online_config(request.param, request)
    return SampleRepo(tmp_path / "repo", online=online, registry=registry)


def _applied(repo: SampleRepo, features: tuple[str, ...], version: str = "latest") -> FeatureStore:
    kinds = {"amount": Float64, "visits": Int64, "city": String}
    user, source, _ = repo.objects()
    view = FeatureView(
        name="user_stats",
        entities=[user],
        schema=[Field(name=name, dtype=kinds[name]) for name in features],
        source=source,
        ttl=repo.ttl,
        version=version,
    )
    store = repo.open()
    apply(store, contents(user, source, view))
    return store


def _amounts(store: FeatureStore, view: str = "user_stats") -> list[float | None]:
    rows = [{"user_id": user} for user in (1, 2)]
    return list(store.get_online_features([f"{view}:amount"], rows).to_dict()["amount"])


def test_a_new_version_begins_empty_and_the_old_one_keeps_its_rows(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 11.0), row(1, day(2), 12.0), row(2, day(1), 21.0)])
    store = _applied(repo, OLD)
    materialize_window(store, "user_stats", day(1), day(3))
    assert _amounts(store) == [12.0, 21.0]

    store = _applied(repo, NEW)
    assert materialized_windows(store, "user_stats") == []
    assert _amounts(store) == [None, None]
    # In the wrong order, again, and with a correction, as if it were a view of its own.
    materialize_window(store, "user_stats", day(2), day(3))
    materialize_window(store, "user_stats", day(1), day(2))
    assert _amounts(store) == [12.0, 21.0]
    repo.write([row(1, day(1), 111.0), row(2, day(1), 121.0)])
    materialize_window(store, "user_stats", day(2), day(3))
    assert _amounts(store) == [111.0, 21.0]
    materialize_window(store, "user_stats", day(1), day(2))
    assert _amounts(store) == [111.0, 121.0]
    assert compare_online(store, "user_stats").mismatches == ()
    assert rebuild_online(store, "user_stats").keys_written == 2
    assert _amounts(store, "user_stats@v1") == [111.0, 121.0]
    assert _amounts(store, "user_stats@v0") == [12.0, 21.0]


def test_a_version_that_is_pinned_again_has_to_catch_up(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 11.0), row(2, day(1), 21.0)])
    store = _applied(repo, OLD)
    materialize_window(store, "user_stats", day(1), day(2))
    store = _applied(repo, NEW)
    materialize_window(store, "user_stats", day(1), day(2))
    store = _applied(repo, NEW, version="v0")  # with the definition left as it is, as Feast wants
    assert materialized_windows(store, "user_stats") == []
    repo.write([row(1, day(1), 11.0), row(2, day(2), 22.0)])
    materialize_window(store, "user_stats", day(1), day(3))
    assert _amounts(store) == [11.0, 22.0]


def test_what_left_the_source_meanwhile_is_gone_from_a_version_that_has_caught_up(
    repo: SampleRepo,
) -> None:
    repo.write([row(1, day(1), 11.0), row(2, day(1), 21.0)])
    store = _applied(repo, OLD)
    materialize_window(store, "user_stats", day(1), day(2))
    store = _applied(repo, NEW)
    store = _applied(repo, NEW, version="v0")
    repo.write([row(1, day(1), 11.0)])
    materialize_window(store, "user_stats", day(1), day(2))
    assert _amounts(store) == [11.0, None]


def test_applied_again_as_it_is_a_view_is_served_from_the_version_that_it_has(
    repo: SampleRepo,
) -> None:
    repo.write([row(1, day(1), 11.0), row(2, day(1), 21.0)])
    _applied(repo, OLD)
    store = _applied(repo, NEW)
    materialize_window(store, "user_stats", day(1), day(2))
    store = _applied(repo, NEW)
    assert _amounts(store) == [11.0, 21.0]
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(2))]


def test_a_window_of_one_version_is_not_recorded_for_the_next(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 11.0)])
    store = _applied(repo, OLD)
    applying = threading.Thread(target=_applied, args=(repo, NEW))

    def meanwhile(_: int) -> None:
        applying.start()
        applying.join(1)
        assert applying.is_alive()  # it waits for its turn

    materialize_window(store, "user_stats", day(1), day(2), progress=meanwhile)
    applying.join(60)
    assert _amounts(repo.open()) == [None, None]
    assert materialized_windows(repo.open(), "user_stats") == []


class Killed(BaseException):
    """What ends a run in the middle."""


def test_an_apply_that_is_killed_leaves_nothing_that_nobody_knows_of(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write([row(1, day(1), 11.0), row(2, day(1), 21.0)])
    store = _applied(repo, OLD)
    materialize_window(store, "user_stats", day(1), day(2))

    def killed(*_: object) -> None:
        monkeypatch.setattr(
            registry_versions, "change_windows", killed
        )  # so does what it would undo
        raise Killed

    monkeypatch.setattr(registry_apply, "change_registry", killed)
    with pytest.raises(Killed):
        _applied(repo, NEW)
    repo.write([row(1, day(1), 11.0)])
    store = repo.open()
    assert materialized_windows(store, "user_stats") == []
    materialize_window(store, "user_stats", day(1), day(2))
    assert _amounts(store) == [11.0, None]


def test_what_feast_refuses_to_apply_forgets_nothing(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 11.0)])
    store = _applied(repo, OLD)
    store = _applied(repo, NEW)
    materialize_window(store, "user_stats", day(1), day(2))
    with pytest.raises(FeatureViewPinConflict):
        _applied(repo, OLD, version="v0")
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(2))]


def test_an_apply_that_fails_while_it_forgets_windows_restores_them(
    repo: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write([row(1, day(1), 11.0)])
    store = _applied(repo, OLD)
    materialize_window(store, "user_stats", day(1), day(2))
    real = registry_versions.change_windows

    def lost_answer(*arguments: Any) -> None:
        monkeypatch.setattr(registry_versions, "change_windows", real)
        real(*arguments)
        raise ConnectionResetError("the edit was made, its answer was lost")

    monkeypatch.setattr(registry_versions, "change_windows", lost_answer)
    with pytest.raises(ConnectionResetError):
        _applied(repo, NEW)
    assert materialized_windows(repo.open(), "user_stats") == [Window(day(1), day(2))]
    assert _amounts(repo.open()) == [11.0, None]


def test_windows_of_a_version_are_not_restored_to_the_next_that_a_sql_registry_has_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = SqlRegistryConfig(
        path=f"sqlite:///{tmp_path / 'registry.db'}",
        enable_online_feature_view_versioning=True,
    )
    repo = SampleRepo(tmp_path / "repo", online={"type": "sqlite"}, registry=registry)
    repo.write([row(1, day(1), 11.0)])
    materialize_window(_applied(repo, OLD), "user_stats", day(1), day(2))

    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteOnlineStore, "update", away)
        with pytest.raises(OnlineStoreError, match="away"):
            _applied(repo, NEW)
    store = repo.open()
    assert load_view(store, "user_stats").current_version_number == 1
    assert materialized_windows(store, "user_stats") == []


def test_a_change_that_makes_no_version_keeps_the_windows(repo: SampleRepo) -> None:
    repo.write([row(1, day(1), 11.0)])
    store = _applied(repo, OLD)
    materialize_window(store, "user_stats", day(1), day(2))
    store = _applied(repo, OLD)
    assert materialized_windows(store, "user_stats") == [Window(day(1), day(2))]
    assert _amounts(store) == [11.0, None]
