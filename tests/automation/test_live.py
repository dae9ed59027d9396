"""A live daemon: it applies, keeps its schedule, fills gaps, and mends what is corrected."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from shop import FIRST, ONE, Shop, day

from feature_platform.core.windows import Window
from feature_platform.orchestration.checks.freshness_checks import FRESH
from feature_platform.registry.windows_on_record import forget_window, materialized_windows

ROOT = Path(__file__).resolve().parents[2]
LOCATION = """
from datetime import timedelta

from dagster import DefaultScheduleStatus

from feature_platform import FeastProject, build_feast_definitions
from feature_platform.orchestration.watch.automation_settings import AutomationSettings

defs = build_feast_definitions(
    FeastProject({repo!r}),
    {start!r},
    automation=AutomationSettings(running=True, every_seconds=5, grace=timedelta(minutes=1)),
    default_schedule_status=DefaultScheduleStatus.RUNNING,
)
"""


@contextmanager
def daemon(shop: Shop, folder: Path, start: str) -> Iterator[dg.DagsterInstance]:
    """``dagster-daemon run`` on the shop; it ends with all it started."""
    home, location, log = folder / "home", folder / "location.py", folder / "daemon.log"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nconcurrency: {pools: {default_limit: 1}}\n"
    )
    location.write_text(LOCATION.format(repo=str(shop.sample.repo), start=start))
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-f", str(location)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()[-5000:]}") from error
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(met: Callable[[], object], what: str, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_daemon_keeps_its_schedule_and_mends_what_is_missing_or_wrong(
    make_shop: Callable[..., Shop], tmp_path: Path
):
    # The same schedule as at six in the morning, at an hour that is about to come; it may be that
    # of another day, and until it has come no other window is due. A slow machine has all up by
    # then: for Dagster a schedule starts when the daemon first looks at it.
    tick = datetime.now(UTC) + timedelta(minutes=5)
    cron = f"{tick.minute} {tick.hour} * * *"
    shop = make_shop(ONE.replace("orders, 10)", f'orders, 1000, cron="{cron}")'), 0)
    yesterday = (tick - FIRST).days - 1
    first = yesterday - 3
    shop.sample.start_date = f"{day(first):%Y-%m-%d}"
    for number in range(first, yesterday + 1):
        shop.write(number)
    store = shop.sample.project.store()

    def online() -> list[str]:
        if not (shop.sample.repo / "data/registry.db").exists():
            return []
        return [str(each) for each in materialized_windows(store, "only")]

    whole = [str(Window(day(first), day(yesterday + 1)))]
    view = shop.sample.key("feature_views/only")
    with daemon(shop, tmp_path, shop.sample.start_date) as instance:

        def runs(tag: str, value: str) -> list[dg.DagsterRun]:
            return list(instance.get_runs(dg.RunsFilter(tags={tag: value})))

        def done(tag: str, value: str) -> list[dg.DagsterRun]:
            succeeded = dg.DagsterRunStatus.SUCCESS
            return [run for run in runs(tag, value) if run.status == succeeded]

        # A new repo: applied, then a range of all that was due before this minute.
        wait(lambda: len(done("feature_platform/automation", "definition_changed")) == 2, "apply")
        wait(
            lambda: [run for run in instance.get_runs() if "dagster/schedule_name" in run.tags],
            "the schedule",
            900,
        )
        wait(lambda: online() == whole, "yesterday")
        # A window is lost.
        forget_window(store, "only", Window(day(first + 1), day(first + 2)))
        wait(lambda: done("feature_platform/automation", "gap"), "the gap")
        assert online() == whole
        # A day is corrected.
        shop.write(yesterday, orders=77)
        wait(lambda: done("feature_platform/automation", "source_changed"), "the correction")
        served = shop.sample.online(["only:orders"], [{"customer": 1}])
        assert served["orders"] == [77]
        check = dg.AssetCheckKey(view, FRESH)
        history = instance.event_log_storage.get_asset_check_execution_history

        def verdict() -> bool:
            found = history(check, limit=1)
            return bool(found and found[0].evaluation and found[0].evaluation.passed)  # type: ignore[union-attr]

        wait(verdict, "a verdict on freshness")
        # Nothing was started twice, and nothing is wrong any more.
        time.sleep(20)
        counts = {
            cause: len(runs("feature_platform/automation", cause))
            for cause in ("definition_changed", "gap", "source_changed")
        }
        assert counts == {"definition_changed": 2, "gap": 1, "source_changed": 1}
