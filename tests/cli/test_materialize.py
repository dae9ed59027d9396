"""`feature-platform materialize` and `status` on repos as other people write them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from worlds.repos import change_rows

from feature_platform.cli import main

if TYPE_CHECKING:
    from worlds.samples import Sample


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def command(sample: "Sample", name: str, *arguments: str) -> Result:
    where = ("--repo", str(sample.repo), "--start-date", sample.start_date)
    return CliRunner().invoke(main, [name, *where, *arguments], catch_exceptions=False)


def materialize(sample: "Sample", start: str, end: str, *arguments: str) -> Result:
    return command(sample, "materialize", "--start", start, "--end", end, *arguments)


def status(sample: "Sample", *arguments: str) -> Any:
    return json.loads(command(sample, "status", "--json", *arguments).stdout)


def spoil(sample: "Sample") -> None:
    """Lose the key of a row of the second day."""

    def lose(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if row["aantal"] == 101)["artikel"] = None

    change_rows(sample.repo / "data/voorraad.parquet", lose)


def test_a_range_is_put_online_in_one_run_and_told_as_json(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    result = materialize(sample, "2026-03-01", "2026-03-04", "--json")
    assert result.exit_code == 0
    [report] = json.loads(result.stdout)
    assert report["succeeded"]
    assert report["assets"] == {
        "warehouse_stock/registry": 1,
        "warehouse_stock/sources/voorraad": 3,
        "warehouse_stock/feature_views/stock": 3,
    }
    assert {each["check"] for each in report["checks"]} == {
        "registry_matches_repo",
        "schema",
        "keys",
        "event_time",
        "numbers",
        "row_count",
        "online_equals_offline",
    }
    assert all(each["passed"] for each in report["checks"])
    assert sample.online(["stock:on_hand"], [{"sku": "sku-2"}])["on_hand"] == [202]


def test_people_see_a_line_a_step_and_a_table(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    result = materialize(sample, "2026-03-01", "2026-03-02")
    assert result.exit_code == 0
    assert "done  warehouse_stock__feature_views__stock" in result.stderr
    assert "feature_views/stock" in result.stdout
    assert "online_equals_offline" in result.stdout


def test_a_second_day_adds_to_the_first_and_the_registry_finds_nothing_to_do(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("field_mappings")
    assert materialize(sample, "2026-03-01", "2026-03-02", "--json").exit_code == 0
    result = materialize(sample, "2026-03-02", "2026-03-03", "--json")
    assert result.exit_code == 0
    [report] = json.loads(result.stdout)
    change = report["metadata"]["warehouse_stock/registry"]
    assert change["feature_platform/updated"] == []
    assert sample.windows("stock") == ["2026-03-01..2026-03-03"]


def test_hourly_and_daily_views_on_one_source_each_get_their_windows(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("mixed_cadence")
    result = materialize(sample, "2026-03-01", "2026-03-02", "--json")
    assert result.exit_code == 0, result.output
    assets = {}
    for report in json.loads(result.stdout):
        assets |= report["assets"]
    assert assets["energy/sources/meter_readings"] == 24
    assert assets["energy/feature_views/load_now"] == 24
    assert assets["energy/feature_views/load_of_day"] == 1
    assert sample.online(["load_of_day:kwh", "load_now:kw"], [{"meter_id": 1}]) == {
        "meter_id": [1],
        "kwh": [23.0],
        "kw": [23.1],
    }


def test_a_failed_check_keeps_the_window_offline_and_is_told(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    spoil(sample)
    result = materialize(sample, "2026-03-02", "2026-03-03", "--json")
    assert result.exit_code == 1
    [report] = json.loads(result.stdout)
    [failed] = [each for each in report["checks"] if not each["passed"]]
    assert failed["asset"] == "warehouse_stock/sources/voorraad"
    assert failed["check"] == "keys"
    assert sample.windows("stock") == []


def test_allowed_to_fail_it_is_served_with_a_warning(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    spoil(sample)
    result = materialize(sample, "2026-03-02", "2026-03-03", "--allow-failed-checks")
    assert result.exit_code == 0, result.output
    assert "warning  feature view 'stock': window 2026-03-02..2026-03-03 failed" in result.stderr
    assert sample.online(["stock:on_hand"], [{"sku": "sku-2"}])["on_hand"] == [102]


def test_status_tells_complete_missing_failed_and_stale_apart(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    spoil(sample)
    assert materialize(sample, "2026-03-01", "2026-03-02", "--json").exit_code == 0
    # The view itself has to fail: its source's checks are not what status tells.
    assert materialize(sample, "2026-03-02", "2026-03-03", "--json").exit_code == 1

    def states() -> dict[str, str]:
        [found] = status(sample, "--windows", "400")
        return {each["key"]: each["state"] for each in found["windows"]}

    found = states()
    assert found["2026-03-01"] == "complete"
    assert found["2026-03-02"] in {"failed", "missing"}
    assert found["2026-03-03"] == "missing"

    # A row of the first day comes late: its source is rebuilt, and the view is behind it.
    change_rows(
        sample.repo / "data/voorraad.parquet",
        lambda rows: rows.append({**rows[0], "artikel": "late"}),
    )
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        sample.instance = instance
        assert sample.run("sources/voorraad", partition="2026-03-01").success
    assert states()["2026-03-01"] == "stale"


def test_status_before_anything_is_online_says_so(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    assert sample.run("registry").success
    result = command(sample, "status", "--windows", "5")
    assert result.exit_code == 1
    assert "nothing online" in result.stdout
    [found] = status(sample, "--windows", "5")
    assert found["newest"] is None
    assert [each["state"] for each in found["windows"]] == ["missing"] * 5


def test_status_of_a_view_that_left_the_registry_says_so_and_shows_the_others(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("mixed_cadence")
    assert materialize(sample, "2026-03-01", "2026-03-02").exit_code == 0
    sample.project.store().delete_feature_view("load_now")
    result = command(sample, "status", "--windows", "400")
    assert result.exit_code == 1
    assert "load_now: it is not in the registry" in result.stdout
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert lines["load_now"].endswith("not in the registry")
    assert "newest window ends 2026-03-02" in lines["load_of_day"]
    told = {each["view"]: each["registered"] for each in status(sample)}
    assert told == {"load_now": False, "load_of_day": True}


def test_status_of_a_repo_that_was_never_applied(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    before = sample.files()
    result = command(sample, "status")
    assert result.exit_code == 2
    assert sample.files() == before
    assert result.stderr.startswith("error: ")
    assert "stock" in result.stderr
    assert "Traceback" not in result.output


def test_status_is_well_when_every_shown_window_is_online(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    assert materialize(sample, "2026-03-01", "2026-03-04", "--json").exit_code == 0
    [found] = status(sample, "--windows", "1")
    assert found["newest"] == "2026-03-04T00:00:00+00:00"
    assert found["lag_seconds"] > 0


def test_a_view_of_which_nothing_is_online_has_not_changed(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    result = command(sample, "plan", "--view", "stock")
    assert result.exit_code == 1
    [line] = [line for line in result.stdout.splitlines() if line.endswith("  stock")]
    assert line.startswith("nothing online  ")
    assert materialize(sample, "2026-03-01", "2026-03-02").exit_code == 0
    path = sample.repo / "stock.py"
    path.write_text(path.read_text().replace('"reserved", dtype=Int64', '"reserved", dtype=String'))
    result = command(sample, "plan", "--cause", "definition_changed", "--json")
    [found] = json.loads(result.stdout)
    assert {run["why"] for run in found["runs"]} == {"definition changed"}


def test_a_service_that_takes_another_feature_is_shown_and_applied(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("on_demand")
    window = ("2026-03-01", "2026-03-02", "--json")
    assert materialize(sample, *window).exit_code == 0
    path = sample.repo / "views.py"
    old, new = 'place_stats[["stars"]]', 'place_stats[["stars", "kind"]]'
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    [found] = json.loads(command(sample, "plan", "--cause", "definition_changed", "--json").stdout)
    assert found["apply"] == {"added": [], "updated": ["feature service from_to"], "deleted": []}
    assert materialize(sample, *window).exit_code == 0
    service = sample.project.store().get_feature_service("from_to")
    taken = [each.name for each in service.feature_view_projections[1].features]
    assert taken == ["stars", "kind"]
