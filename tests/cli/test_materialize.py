"""`feature-platform materialize` and `status` on repos as other people write them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from worlds import repos
from worlds.repos import change_rows, write_table
from worlds.times import key, midnight

from feature_platform.cli import main
from feature_platform.orchestration.graph.content_hashes import NOTHING_ONLINE

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


SHORT = repos.VIEWS + 'only = view("only", table("orders"), 2)\n'


def days_ago(days: float) -> datetime:
    return midnight() - timedelta(days=days)


def orders(sample: "Sample", *moments: datetime) -> None:
    rows = {"customer": range(len(moments)), "orders": [1] * len(moments), "ts": list(moments)}
    write_table(sample.repo / "data/orders/0.parquet", rows)


def test_a_window_whose_rows_have_all_outlived_the_ttl_is_said_to_serve_nothing(
    make_repo: Callable[..., "Sample"],
):
    sample = make_repo({"views.py": SHORT})
    sample.start_date = key(days_ago(9))
    orders(sample, days_ago(5.5), days_ago(4.5))
    span = (key(days_ago(6)), key(days_ago(4)))
    result = materialize(sample, *span)
    # What nothing is served of is no plain pass, though nothing that is served is wrong.
    assert result.exit_code == 1
    assert "online_equals_offline: nothing is served: none of 2 keys has a row within" in (
        " ".join(result.stdout.split())
    )
    last = " ".join(result.stdout.split("nothing went online")[-1].split())
    assert last.startswith(f"of 2 of 2 windows of weather/feature_views/only ({span[0]} to ")
    assert last.endswith("rows is older than the TTL of 48 h")
    assert f"'only' {span[0]}: nothing went online" in result.stderr
    [report] = json.loads(materialize(sample, *span, "--json").stdout)
    assert list(report["unserved"]["weather/feature_views/only"]) == [
        key(days_ago(6)),
        key(days_ago(5)),
    ]
    assert report["metadata"]["weather/feature_views/only"][NOTHING_ONLINE]
    shown = command(sample, "status")
    assert shown.exit_code == 1
    assert "only: nothing is served: the newest window online ended" in shown.stdout
    assert f"only: nothing went online: {span[0]}, {key(days_ago(5))} (each of its" in shown.stdout


@pytest.mark.parametrize("alive", [True, False])
def test_in_the_window_that_the_ttl_ends_in_the_newest_row_decides(
    make_repo: Callable[..., "Sample"], *, alive: bool
):
    sample = make_repo({"views.py": SHORT})
    sample.start_date = key(days_ago(9))
    # The moment that the TTL ends at lies in the window that is looked at, whatever time it is.
    now = datetime.now(UTC)
    old, young = now - timedelta(days=2, seconds=10), now - timedelta(days=2) + timedelta(hours=1)
    first = old.replace(hour=0, minute=0, second=0, microsecond=0)
    if young.date() != old.date():
        young = old + timedelta(minutes=5)
    orders(sample, old, *([young] if alive else []))
    [report] = json.loads(
        materialize(sample, key(first), key(first + timedelta(days=1)), "--json").stdout
    )
    assert report["succeeded"]
    said = report["unserved"].get("weather/feature_views/only", {})
    assert list(said) == ([] if alive else [key(first)])
    [check] = [each for each in report["checks"] if each["check"] == "online_equals_offline"]
    assert (check["passed"], check["severity"]) == (alive, "ERROR" if alive else "WARN")


def test_an_old_window_beside_a_young_one_is_noted_and_nothing_is_wrong(
    make_repo: Callable[..., "Sample"],
):
    sample = make_repo({"views.py": SHORT})
    sample.start_date = key(days_ago(9))
    orders(sample, days_ago(5.5), days_ago(0.5), days_ago(1.5))
    for start, end in ((2, 0), (6, 5)):
        result = materialize(sample, key(days_ago(start)), key(days_ago(end)))
        assert result.exit_code == 0, result.output
    assert "nothing went online of 1 of 1 windows" in " ".join(result.stdout.split())
    [found] = status(sample)
    assert found["view"] == "only"
    assert any("nothing went online" in remark for remark in found["remarks"])
    assert not any("nothing is served" in remark for remark in found["remarks"])
