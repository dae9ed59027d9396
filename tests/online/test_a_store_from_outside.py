"""A new kind of online store takes its module and one line: here, another distribution's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from worlds.sample_repos import SampleRepo, row, served
from worlds.shelf_store import TYPE, ShelfBackend
from worlds.times import day

from feature_platform import plugins
from feature_platform.cli import main
from feature_platform.errors import OnlineStoreError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.online_size import online_size
from feature_platform.online.stores import backend_of, online_backends

if TYPE_CHECKING:
    from worlds.samples import Sample


@pytest.fixture
def shelf_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the distribution for the time of a test, by its metadata alone."""
    metadata = tmp_path / "site" / "shelf_store-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-store\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[feature_platform.online_stores]\nshelf = worlds.shelf_store:ShelfBackend\n"
    )
    monkeypatch.syspath_prepend(str(metadata.parent))


@pytest.fixture
def repo(tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "repo", online={"type": TYPE, "path": "shelf.db"})


@pytest.mark.usefixtures("shelf_distribution")
def test_windows_in_any_order_leave_the_latest_rows(repo: SampleRepo):
    repo.write([row(user, day(n, user), n * 10.0 + user) for user in (1, 2) for n in (1, 2, 3)])
    store = repo.applied()
    results = [
        materialize_window(store, "user_stats", day(number), day(number + 1))
        for number in (3, 1, 2, 1)
    ]
    assert served(store, 1, 2) == [31.0, 32.0]
    assert {result.reason for result in results} == {""}
    assert compare_online(store, "user_stats").mismatches == ()


@pytest.mark.usefixtures("shelf_distribution")
def test_a_key_that_left_its_window_falls_back_on_an_earlier_one_or_goes(repo: SampleRepo):
    repo.write([row(1, day(1), 11.0), row(1, day(2), 12.0), row(2, day(2), 22.0)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    materialize_window(store, "user_stats", day(2), day(3))
    repo.write([row(1, day(1), 11.0)])
    result = materialize_window(store, "user_stats", day(2), day(3))
    assert (result.keys_vanished, result.rebuild_due) == (2, False)
    assert served(store, 1, 2) == [11.0, None]


@pytest.mark.usefixtures("shelf_distribution")
def test_it_is_measured(repo: SampleRepo):
    repo.write([row(user, day(1), 1.0) for user in range(7)])
    store = repo.applied()
    materialize_window(store, "user_stats", day(1), day(2))
    size = online_size(store, ["user_stats"])
    assert size is not None
    assert size.keys == {"user_stats": 7}
    assert size.size > 0


def test_without_its_distribution_feast_writes_it_and_nothing_is_measured(repo: SampleRepo):
    repo.write([row(1, day(n), float(n)) for n in (1, 2)])
    store = repo.applied()
    for number in (2, 1):
        result = materialize_window(store, "user_stats", day(number), day(number + 1))
    assert served(store, 1) == [2.0]
    assert result.reason == f"online store '{TYPE}' is written through Feast"
    assert online_size(store, ["user_stats"]) is None


@pytest.mark.usefixtures("shelf_distribution")
@pytest.mark.parametrize(
    ("path", "said", "remedy"),
    [
        ("shelf.db", f"{TYPE} shelf.db", ""),
        ("no/wall/shelf.db", "shelf: it hangs on no wall", "make its folder"),
    ],
)
def test_the_doctor_names_it_and_what_is_wrong_with_it(
    path: str, said: str, remedy: str, make_sample: Callable[..., "Sample"]
):
    sample = make_sample("field_mappings")
    config = sample.repo / "feature_store.yaml"
    text = config.read_text().replace("type: sqlite", f"type: {TYPE}")
    config.write_text(text.replace("data/online_store.db", path))
    result = CliRunner().invoke(main, ["doctor", "--repo", str(sample.repo), "--json"])
    [found] = [each for each in json.loads(result.stdout) if each["subject"] == "online store"]
    assert (found["said"], found["remedy"]) == (said, remedy)
    assert found["well"] is not bool(remedy)


@pytest.mark.usefixtures("shelf_distribution")
def test_a_distribution_that_cannot_be_imported_is_named(tmp_path: Path):
    [points] = tmp_path.rglob("entry_points.txt")
    points.write_text(points.read_text().replace("ShelfBackend", "NoSuchBackend"))
    with pytest.raises(OnlineStoreError, match=r"its entry point .*NoSuchBackend cannot be loaded"):
        backend_of(TYPE)


@pytest.mark.usefixtures("shelf_distribution")
def test_a_store_is_found_by_every_name_it_has():
    known = list(online_backends())
    assert type(known[-1]) is ShelfBackend
    for backend in known:
        names = {*backend.types, backend.plugin} - {""}
        assert {type(backend_of(name)) for name in names} == {type(backend)}
        if backend.plugin:
            public = backend.plugin.rpartition(".")[2]
            assert type(backend_of(f"feature_platform.plugins.{public}")) is type(backend)
    assert type(backend_of("no_such_store")) is OnlineBackend


@pytest.mark.parametrize(
    "name",
    [
        "GuardedSqliteOnlineStore",
        "GuardedRedisOnlineStore",
        "GuardedPostgreSQLOnlineStore",
        "StreamingComputeEngine",
        "PointInTimeOfflineStore",
    ],
)
def test_feast_finds_each_class_and_its_configuration(name: str):
    assert getattr(plugins, name).__name__ == name
    assert getattr(plugins, f"{name}Config").__name__ == f"{name}Config"


def test_a_class_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'GuardedNothing'"):
        _ = plugins.GuardedNothing
