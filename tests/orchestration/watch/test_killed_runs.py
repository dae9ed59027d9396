"""A run of the command line whose process was killed is ended by whoever looks next."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from worlds.automation.shop import ONE, Shop, asked, day
from worlds.places import ROOT

from feature_platform.orchestration.runs.instance import dagster_instance
from feature_platform.orchestration.watch.killed_runs import (
    PROCESS,
    end_killed_runs,
    this_process,
)

if TYPE_CHECKING:
    from dagster._core.storage.event_log.base import EventLogStorage

POOL = "weather/feature_views/only"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The one that the command line makes."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with dagster_instance() as found:
        yield found


def tag_of_the_dead() -> str:
    """The tag that a process had which has ended since."""
    code = (
        "from feature_platform.orchestration.watch.killed_runs import *\n"
        "print(this_process()[PROCESS])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout.strip()


def changed(tag: str, **parts: str) -> str:
    names = ("host", "boot", "space", "pid", "started")
    return "|".join({**dict(zip(names, tag.split("|"), strict=True)), **parts}.values())


def started(instance: dg.DagsterInstance, tag: str) -> dg.DagsterRun:
    """A run that is under way and holds the pool of a view."""
    run = dg.DagsterRun(
        job_name="materialize",
        status=dg.DagsterRunStatus.STARTED,
        tags={PROCESS: tag} if tag else {},
    )
    instance.add_run(run)
    storage: EventLogStorage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(POOL)
    assert storage.claim_concurrency_slot(POOL, run.run_id, "step").is_claimed
    return run


def test_a_run_of_a_dead_process_is_ended_and_its_pool_is_free(instance: dg.DagsterInstance):
    run = started(instance, tag_of_the_dead())
    assert end_killed_runs(instance) == [run.run_id]
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    info = instance.event_log_storage.get_concurrency_info(POOL)
    assert not info.claimed_slots
    assert end_killed_runs(instance) == []


@pytest.mark.parametrize(
    ("parts", "ended"),
    [
        ({}, False),  # this process, which lives
        ({"started": "1"}, True),  # its id was used again
        ({"boot": "another"}, True),  # the machine was started again
        ({"host": "another", "boot": "another"}, False),
        ({"space": "pid:[1]"}, False),  # of another container here
        ({"pid": "no-number"}, False),
    ],
)
def test_only_a_process_that_is_known_to_be_gone_counts_as_killed(
    instance: dg.DagsterInstance, parts: dict[str, str], *, ended: bool
):
    run = started(instance, changed(this_process()[PROCESS], **parts))
    assert end_killed_runs(instance) == ([run.run_id] if ended else [])


def test_runs_of_other_launchers_are_left_alone(instance: dg.DagsterInstance):
    started(instance, "")
    assert end_killed_runs(instance) == []


def test_a_killed_run_keeps_no_repair_from_its_view(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    shop.record(0, 10, "only")
    dead = tag_of_the_dead()
    for tag in (dead, this_process()[PROCESS]):
        keys = {shop.sample.key("feature_views/only")}
        run = dg.DagsterRun(
            job_name="materialize",
            status=dg.DagsterRunStatus.STARTED,
            asset_selection=frozenset(keys),
            tags={PROCESS: tag, "dagster/partition": "2026-03-12"},
        )
        shop.instance.add_run(run)
        shop.cursors.clear()
        found = shop.look("gap", day(12, 12))
        assert bool(asked(found)) == (tag == dead)


def test_the_home_that_the_command_line_makes_frees_the_pools_of_ended_runs(
    instance: dg.DagsterInstance,
):
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 60
