"""`plan` says what would start and starts nothing; `backfill` does it here and now."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from worlds.automation.shop import LONG_AND_SHORT, Shop, day
from worlds.times import MARCH

from feature_platform.cli import main


@pytest.fixture
def command(
    make_shop: Callable[..., Shop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Any]]:
    """The command line on a shop whose partitions lie in the past, with values that last."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    lasting = LONG_AND_SHORT.replace("orders, 10)", "orders, 1000)").replace(
        "orders, 4)", "orders, 1000)"
    )
    shop = make_shop(lasting, 3)

    def run(name: str, *arguments: str) -> tuple[int, Any]:
        options = ["--repo", str(shop.sample.repo), "--json", *arguments]
        result = CliRunner().invoke(main, [name, *options], catch_exceptions=False)
        said = result.stdout.strip().splitlines()
        return result.exit_code, json.loads(said[-1])

    run.shop = shop  # type: ignore[attr-defined]
    return run


def test_plan_shows_each_run_and_leaves_nothing_behind(command: Any):
    before = command.shop.sample.files()
    code, (sources, definitions, gaps) = command("plan", "--start-date", "2026-11-01")
    assert code == 1
    assert command.shop.sample.files() == before
    assert "feature view long" in definitions["apply"]["added"]
    assert [run["views"] for run in definitions["runs"]] == [["long"], ["short"]]
    assert {run["first"] for run in definitions["runs"]} == {"2026-11-01"}
    assert sources["runs"] == []
    assert gaps["runs"] == []  # new views are applied first


def test_backfill_does_what_plan_shows_and_then_there_is_nothing_to_do(command: Any):
    shop: Shop = command.shop
    first = (datetime.now(UTC) - MARCH).days - 3
    for number in range(first, first + 3):
        shop.write(number)
    since = ("--start-date", f"{day(first):%Y-%m-%d}")
    code, reports = command("backfill", *since)
    assert code == 0
    assert len(reports) == 2  # a range a view
    code, found = command("plan", *since)
    assert code == 0
    assert [each["runs"] for each in found] == [[], [], []]
    shop.write(first, orders=9)
    code, found = command("plan", "--view", "short", *since)
    assert code == 1
    assert [(run["views"], run["windows"]) for run in found[0]["runs"]] == [(["short"], 1)]


def test_a_cause_that_cannot_be_looked_into_keeps_no_other_from_it(
    command: Any, monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.errors import SourceError
    from feature_platform.orchestration.repairs import repair_sensors
    from feature_platform.orchestration.repairs.definition_changes import DEFINITION_CHANGED

    def fails(*_: Any) -> Any:
        raise SourceError("source table 'x'", "there is no such file", "build the table")

    broken = replace(DEFINITION_CHANGED, find=fails)
    causes = {**repair_sensors.REPAIR_CAUSES, "definition_changed": broken}
    monkeypatch.setattr("feature_platform.orchestration.runs.repair_preview.REPAIR_CAUSES", causes)
    code, (sources, definitions, gaps) = command("plan", "--start-date", "2026-11-01")
    assert code == 2
    assert definitions["error"]["problem"] == "there is no such file"
    assert sources["error"] is None
    assert gaps["error"] is None
    code, [report] = command("backfill", "--start-date", "2026-11-01")
    assert code == 1
    assert "there is no such file" in report["failures"][0]


def test_plan_says_what_it_does_not_fill_and_status_says_the_same(command: Any):
    shop: Shop = command.shop
    views = (shop.sample.repo / "views.py").read_text()
    (shop.sample.repo / "views.py").write_text(views.replace("orders, 1000)", "orders, 3)"))
    first = (datetime.now(UTC) - MARCH).days - 6
    since = ("--start-date", f"{day(first):%Y-%m-%d}", "--view", "short")
    shop.record(first + 3, first + 5, "short")
    code, (*_, gaps) = command("plan", "--cause", "gap", *since)
    assert code == 0
    assert gaps["runs"] == []
    [remark] = gaps["beyond_repair"]["short"]
    assert "older than the TTL of 3 d" in remark
    code, [status] = command("status", *since)
    assert code == 0
    assert status["well"]
    assert status["remarks"] == [remark]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('short = view("short", orders, 1000)', "", "deletes feature view short"),
        ('view("short", orders, 1000)', 'view("other", orders, 1000)', "adds feature view other; "),
        ('view("short", orders, 1000)', 'view("short", orders, 1000, owner="x")', "updates "),
    ],
)
def test_doctor_and_plan_say_the_same_of_what_is_to_be_applied(
    command: Any, old: str, new: str, said: str
):
    shop: Shop = command.shop
    assert shop.sample.run("registry").success
    shop.edit(old, new)
    since = ("--start-date", "2026-11-01")
    code, (_, definitions, _) = command("plan", *since)
    assert code == 1
    _, findings = command("doctor", *since)
    [registry] = [each for each in findings if each["subject"] == "registry"]
    [told] = re.findall(r"feast apply (.*)", registry["said"])
    assert told.startswith(said)
    names = [
        name for kind in ("added", "updated", "deleted") for name in definitions["apply"][kind]
    ]
    assert all(name in told for name in names)
