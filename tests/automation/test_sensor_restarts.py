"""A day of late data, failures and a changed definition, and a daemon that is killed ten times."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from sensor_world import REPO, SOURCES, World, key, moment
from shop import Shop

from feature_platform.orchestration.graph.gave_up import PARTITIONS
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import due_windows

if TYPE_CHECKING:
    from conftest import Sample

HERE = Path(__file__).parent
KILLS, STEPS, TRIES = 10, 46, 3
LOCATION = """
from datetime import timedelta

from feature_platform import FeastProject, build_feast_definitions
from feature_platform.orchestration.watch.automation_settings import AutomationSettings

defs = build_feast_definitions(
    FeastProject({repo!r}),
    "2026-03-01",
    automation=AutomationSettings(running=True, every_seconds=60, tries={tries}, {without}),
    schedules=False,
)
"""
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator}
"""


@dataclass
class Daemon:
    """Dagster's sensor daemon in a process of its own, which can be killed and started anew."""

    parent: "subprocess.Popen[str]"
    pid: int = 0

    def start(self) -> None:
        self.tell("start")
        said = self.hear()
        assert said.isdecimal(), said
        self.pid = int(said)

    def tell(self, text: str) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.write(f"{text}\n")
        self.parent.stdin.flush()

    def hear(self) -> str:
        assert self.parent.stdout is not None
        return self.parent.stdout.readline().strip()

    def kill(self) -> bool:
        """Whether it was in the middle of something."""
        os.kill(self.pid, signal.SIGKILL)
        said = self.hear()
        if said == "died":
            return True
        assert said == "done"
        assert self.hear() == "died"
        return False


@contextmanager
def daemon_of(repo: Path, home: Path) -> Iterator[Daemon]:
    """A daemon on the repo; nothing of it is left afterwards."""
    known = {each.name for each in fields(AutomationSettings)}
    others = [each for each in ("freshness", "drift", "online") if each in known]
    without = ", ".join(f"{each}=False" for each in others)
    location = home / "location.py"
    location.write_text(LOCATION.format(repo=str(repo), tries=TRIES, without=without))
    with (home / "daemon.log").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, str(HERE / "sensor_day.py"), str(location)],
            env={**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"},
            cwd=HERE.parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        daemon = Daemon(parent)
        assert daemon.hear() == "ready", (home / "daemon.log").read_text()[-3000:]
        yield daemon
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def play(world: World, daemon: Daemon, deadly: set[int], dice: random.Random) -> int:
    """The day, step by step; how often the daemon was killed in the middle of something."""
    interrupted, took = 0, 0.2
    between = set(sorted(deadly)[::2])
    daemon.start()
    for step in range(STEPS):
        world.happen(step)
        world.work()
        began = time.monotonic()
        where = " between" if step in between else ""
        daemon.tell(f"{moment(step).timestamp()}{where}")
        if step in deadly:
            if where:
                said = daemon.hear()
                assert said == "died", said
                interrupted += 1
            else:
                time.sleep(dice.uniform(0, took))
                interrupted += daemon.kill()
            daemon.start()
            world.reload()
        else:
            said = daemon.hear()
            assert said == "done", said
            took = time.monotonic() - began
    return interrupted


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whenever_the_daemon_dies_all_is_mended_and_nothing_is_asked_for_without_cause(
    make_repo: "Callable[..., Sample]", tmp_path: Path
):
    dice = random.Random(1)  # noqa: S311  repeatable, guards nothing
    (tmp_path / "dagster.yaml").write_text(INSTANCE)
    sample, settings = make_repo({"views.py": REPO}), AutomationSettings()
    deadly = set(dice.sample(range(1, STEPS - 8), KILLS))
    assert max(deadly) > 24, "a daemon learns of a changed definition when it starts"
    with dg.DagsterInstance.from_config(str(tmp_path)) as sample.instance:
        world = World(Shop(sample), dice)
        with daemon_of(sample.repo, tmp_path) as daemon:
            interrupted = play(world, daemon, deadly, dice)
        runs = sample.instance.get_runs()
        ticks = [
            tick
            for state in sample.instance.all_instigator_state()
            for tick in sample.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
        observed = {
            view: sample.instance.fetch_observations(
                sample.key(f"feature_views/{view}"), limit=100
            ).records
            for view in SOURCES
        }
    assert interrupted >= KILLS // 2
    assert len(ticks) > STEPS
    assert [tick.error for tick in ticks if tick.error] == []
    due = {
        name: set(
            due_windows(view, moment(STEPS), grace=settings.grace, lookback=settings.lookback)
        )
        for name, view in sample.graph.views.items()
    }
    said = [f"{each.instigator_name} {each.skip_reason or len(each.run_ids)}" for each in ticks]
    assert world.settled(due) == [], (said, (tmp_path / "daemon.log").read_text()[-5000:])
    assert world.needless == []
    # What was asked for was asked for once, and carried out.
    assert Counter(run.status.value for run in runs).keys() <= {"SUCCESS", "FAILURE"}
    assert world.done == len(runs) > KILLS
    keys = Counter((run.tags["dagster/sensor_name"], run.tags["dagster/run_key"]) for run in runs)
    assert set(keys.values()) == {1}
    # Three times and no more; then somebody is told, of that window alone.
    assert max(world.failed.values()) == TRIES
    spent = {part[:2] for part, count in world.failed.items() if count == TRIES}
    assert spent == {("long", key(5))}
    told = [
        record.asset_observation.metadata[PARTITIONS].value
        for record in observed["long"]
        if record.asset_observation is not None
    ]
    assert {tuple(each) for each in told} == {(key(5),)}
    assert observed["short"] == observed["seen"] == []
