"""A registry in Cloud Storage, whose writers no lock keeps apart, as on machines of their own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from worlds.processes.registry_processes import contents_of, join_writers, start_writers
from worlds.sample_repos import SampleRepo
from worlds.stand_ins.gcs_stand_in import GcsStandIn, gcs_running
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.registry.registry_apply import apply
from feature_platform.registry.registry_files import GcsFile
from feature_platform.registry.windows_on_record import materialized_windows, record_window
from feature_platform.repo.project import FeastProject

PROCESSES, WINDOWS, APPLIED = 8, 4, 4
URL = "gs://registries/shop/registry.db"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsStandIn]:
    with gcs_running("registries") as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
        yield running


@pytest.fixture
def repo(tmp_path: Path, stand_in: GcsStandIn) -> SampleRepo:  # noqa: ARG001 - it is where it is
    return SampleRepo(tmp_path / "repo", registry=URL)


def _hour(process: int, number: int) -> Window:
    start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=process, hours=2 * number)
    return Window(start, start + timedelta(hours=1))


def test_writers_that_no_lock_keeps_apart_lose_no_window_and_no_definition(
    repo: SampleRepo, stand_in: GcsStandIn
) -> None:
    apply(repo.open(), contents_of(repo))
    windows = [[_hour(process, n) for n in range(WINDOWS)] for process in range(PROCESSES)]
    writers = start_writers(
        repo, *([("user_stats", each) for each in some] for some in windows), apart=True
    )
    for number in range(APPLIED):
        contents = contents_of(repo)
        contents.feature_views[0].tags["applied"] = str(number)
        apply(repo.open(), contents)
    join_writers(writers)
    store = repo.open()
    assert materialized_windows(store, "user_stats") == [each for some in windows for each in some]
    assert store.get_feature_view("user_stats").tags == {"applied": str(APPLIED - 1)}
    assert stand_in.refused > 0


@pytest.mark.parametrize("gone", [404, 412])
def test_a_registry_that_is_replaced_while_it_is_read_is_read_again(
    stand_in: GcsStandIn, gone: int
) -> None:
    stand_in.gone = gone
    file = GcsFile(URL)
    assert file.read() == (b"", 0)
    assert file.write(b"old", 0)
    assert not file.write(b"other", 0)
    stand_in.before_download = lambda: stand_in.put("shop/registry.db", b"new", None)
    content, generation = file.read()
    assert content == b"new"
    assert file.write(b"newer", generation)
    assert not file.write(b"late", generation)


def test_a_write_whose_answer_is_lost_counts_once(repo: SampleRepo, stand_in: GcsStandIn) -> None:
    store = repo.open()
    apply(store, contents_of(repo))
    contents = contents_of(repo)
    contents.feature_views[0].tags["applied"] = "again"
    stand_in.loses_answer = True
    assert apply(store, contents).updated == ("feature view user_stats",)
    stand_in.loses_answer = True
    record_window(store, "user_stats", Window(day(1), day(2)))
    assert not stand_in.loses_answer
    assert materialized_windows(repo.open(), "user_stats") == [Window(day(1), day(2))]


def test_who_opens_a_registry_that_another_machine_is_making_wipes_nothing(
    make_sample: Callable[[str], Any], stand_in: GcsStandIn
) -> None:
    project = make_sample("no_entities").project
    config = yaml.safe_load(project.config_path.read_text())
    project.config_path.write_text(yaml.safe_dump({**config, "registry": URL}))
    project = FeastProject(project.repo_dir)
    stand_in.after_missing = lambda: (apply(project.store(), project.contents), None)[1]
    views = project.store().list_feature_views()
    assert [view.name for view in views] == ["weather_now"]
