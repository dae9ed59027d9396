"""A live daemon that is killed at ten moments of a day, with a receiver that is often down."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from worlds.places import ROOT

from feature_platform.alerts.incident_ledger import open_ledger
from feature_platform.alerts.outbox import Outbox

if TYPE_CHECKING:
    from worlds.samples import Sample
    from worlds.stand_ins.alert_receiver import Receiver

KILLS = 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_daemon_that_is_killed_ten_times_tells_every_incident_once(
    make_sample: Callable[..., "Sample"], receiver: "Receiver", tmp_path: Path
):
    dice = random.Random(6)  # noqa: S311  repeatable, guards nothing
    sample = make_sample("field_mappings")
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (tmp_path / "alerts.yaml").write_text(
        f"state: {tmp_path / 'state.sqlite'}\n"
        "every: 1s\n"
        "channels:\n"
        f"  hook: {{type: webhook, url: '{receiver.url}/hook', secret_env: KEY}}\n"
        "routes:\n  - to: hook\n"
    )
    receiver.behave = lambda _request: dice.choices(["200", "503", "vanish"], [0.8, 0.1, 0.1])[0]
    daemon = _Daemon(sample.repo, home, tmp_path)
    specs = [spec for spec in _checks(sample) if spec.blocking]
    expected: Counter[str] = Counter()
    failing: set[str] = set()
    try:
        daemon.start()
        daemon.wait_for_first_tick()
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for _ in range(KILLS):
                _report(instance, specs, dice, expected, failing, well=False)
                time.sleep(dice.uniform(0, 12))
                daemon.kill()
                # The world goes on while nobody watches.
                _report(instance, specs, dice, expected, failing, well=False)
                daemon.start()
            _report(instance, specs, dice, expected, failing, well=True)
        receiver.behave = lambda _request: "200"
        daemon.wait(lambda: len(receiver.told()) >= 2 * expected.total() and daemon.pending() == 0)
    finally:
        daemon.kill()
    told = [(m["incident"], m["kind"]) for each in receiver.hooks() for m in each["messages"]]
    assert len(told) == len(set(told)) == 2 * expected.total()
    assert Counter(key for kind, key in receiver.told() if kind == "open") == expected
    place = {each: position for position, each in enumerate(told)}
    assert all(place[each, "open"] < place[each, "resolve"] for each, _ in told)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sensors_that_raise_are_told_by_a_live_daemon_until_they_tick_again(
    make_sample: Callable[..., "Sample"], receiver: "Receiver", tmp_path: Path
):
    sample = make_sample("field_mappings")
    assert sample.run("registry").success
    registry = sample.repo / "data" / "registry.db"
    whole = registry.read_bytes()
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (tmp_path / "alerts.yaml").write_text(
        f"state: {tmp_path / 'state.sqlite'}\n"
        "every: 1s\n"
        "channels:\n"
        f"  hook: {{type: webhook, url: '{receiver.url}/hook', secret_env: KEY}}\n"
        "routes:\n  - {match: {kind: tick}, to: hook}\n"
    )
    watched = "AutomationSettings(running=True, every_seconds=1, source_changed=False)"
    daemon = _Daemon(sample.repo, home, tmp_path, f",\n    automation={watched}")
    gap = "warehouse_stock/automation/warehouse_stock_gap#failed-tick"
    try:
        daemon.start()
        daemon.wait_for_first_tick()
        registry.write_bytes(b"no registry")
        daemon.wait(lambda: ("open", gap) in receiver.told())
        registry.write_bytes(whole)
        daemon.wait(lambda: ("resolve", gap) in receiver.told())
    finally:
        daemon.kill()
    told = [message for each in receiver.hooks() for message in each["messages"]]
    first = next(message for message in told if message["key"] == gap)
    assert "Registry" in first["what"]
    assert first["title"].endswith("sensor 'warehouse_stock_gap': ticks fail")


def _checks(sample: "Sample") -> list[dg.AssetCheckSpec]:
    found = sample.definitions().asset_checks or []
    return [spec for each in found for spec in each.check_specs]  # type: ignore[union-attr]


def _report(
    instance: dg.DagsterInstance,
    specs: list[dg.AssetCheckSpec],
    dice: random.Random,
    expected: Counter[str],
    failing: set[str],
    *,
    well: bool,
) -> None:
    """Some verdicts; with `well`, one that all is well for each check."""
    chosen = specs if well else dice.choices(specs, k=6)
    for spec in chosen:
        key = f"{'/'.join(spec.asset_key.path)}#{spec.name}"
        passed = well or dice.random() < 0.5
        expected[key] += not passed and key not in failing
        (failing.discard if passed else failing.add)(key)
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(spec.asset_key, spec.name, passed=passed)
        )


class _Daemon:
    """``dagster-daemon run`` on a code location of its own; it dies with all it started."""

    def __init__(self, repo: Path, home: Path, folder: Path, more: str = "") -> None:
        self._folder = folder
        self._home = home
        location = folder / "location.py"
        location.write_text(
            "from feature_platform import FeastProject, build_feast_definitions\n"
            "from feature_platform import AutomationSettings\n"
            f"defs = build_feast_definitions(FeastProject({str(repo)!r}), '2026-03-01',\n"
            f"    alerts={str(folder / 'alerts.yaml')!r}{more})\n"
        )
        self._command = [
            *(str(Path(sys.executable).parent / "dagster-daemon"), "run"),
            *("-f", str(location)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={
                    **os.environ,
                    "DAGSTER_HOME": str(self._home),
                    "DAGSTER_DISABLE_TELEMETRY": "1",
                    "KEY": "a-key-of-the-tests",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_for_first_tick(self) -> None:
        """Until it knows where the event log ended when it began."""
        self.wait(lambda: (self._folder / "state.sqlite").exists() and self._position() is not None)

    def wait(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not met():
            assert time.monotonic() < deadline, self._log()
            assert self._process is not None
            assert self._process.poll() is None, self._log()
            time.sleep(0.2)

    def pending(self) -> int:
        with open_ledger(self._folder / "state.sqlite") as ledger:
            return sum(Outbox(ledger).state().pending.values())

    def _position(self) -> int | None:
        with open_ledger(self._folder / "state.sqlite") as ledger:
            return ledger.position("events/ASSET_CHECK_EVALUATION")

    def _log(self) -> str:
        return (self._folder / "daemon.log").read_text()[-4000:]
