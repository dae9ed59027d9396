"""A live daemon that is killed at ten moments of a day, with a receiver that is often down."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from worlds.automation.daemon import Daemon, location

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
    receiver.behave = lambda _request: dice.choices(["200", "503", "vanish"], [0.8, 0.1, 0.1])[0]
    daemon = AlertDaemon(tmp_path, sample, receiver, "to: hook")
    specs = [spec for spec in _checks(sample) if spec.blocking]
    expected: Counter[str] = Counter()
    failing: set[str] = set()
    try:
        daemon.start_and_tick()
        with dg.DagsterInstance.from_config(str(daemon.home)) as instance:
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
    watched = "automation=AutomationSettings(running=True, every_seconds=1, source_changed=False)"
    daemon = AlertDaemon(tmp_path, sample, receiver, "{match: {kind: tick}, to: hook}", watched)
    gap = "warehouse_stock/automation/warehouse_stock_gap#failed-tick"
    try:
        daemon.start_and_tick()
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


class AlertDaemon(Daemon):
    """A daemon whose alerts go to the receiver."""

    def __init__(
        self, folder: Path, sample: "Sample", receiver: "Receiver", route: str, more: str = ""
    ) -> None:
        self._state, routes = folder / "state.sqlite", folder / "alerts.yaml"
        routes.write_text(
            f"state: {self._state}\n"
            "every: 1s\n"
            "channels:\n"
            f"  hook: {{type: webhook, url: '{receiver.url}/hook', secret_env: KEY}}\n"
            f"routes:\n  - {route}\n"
        )
        text = location(sample.repo, f"alerts={str(routes)!r}, {more}")
        super().__init__(folder, text, KEY="a-key-of-the-tests")

    def start_and_tick(self) -> None:
        """Until it knows where the event log ended when it began."""
        self.start()
        self.wait(lambda: self._state.exists() and self._position() is not None)

    def pending(self) -> int:
        with open_ledger(self._state) as ledger:
            return sum(Outbox(ledger).state().pending.values())

    def _position(self) -> int | None:
        with open_ledger(self._state) as ledger:
            return ledger.position("events/ASSET_CHECK_EVALUATION")
