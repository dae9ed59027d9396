"""One item that fails takes none of the others down: views, sources, services, events."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from click.testing import CliRunner
from worlds.automation.shop import VIEWS, Shop, asked, day

from feature_platform.cli import main
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.sensors.online_sensor import check_online
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import Memory

if TYPE_CHECKING:
    from worlds.samples import Sample

    from feature_platform.orchestration.sensors.online_sensor import OnlineTick

NOW = day(5.5)
TWO = (
    VIEWS
    + 'other = table("other")\nbad = view("bad", orders, 3000)\ngood = view("good", other, 3000)\n'
)
SECRET = "postgresql://me:pa55word@somewhere"  # noqa: S105 - of a test


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """Two views on two tables, both online; in each test one of them fails."""
    found = make_shop(TWO, 5)
    for number in range(5):
        found.write(number, table="other")
    found.materialize(0, 4, "bad")
    found.materialize(0, 4, "good", source="other")
    return found


def failing_for(name: str, place: int, before: Callable[..., Any]) -> Callable[..., Any]:
    """A function that fails where its argument in that place is of that name."""

    def fails(*arguments: Any, **more: Any) -> Any:
        if getattr(arguments[place], "name", arguments[place]) == name:
            raise OSError(SECRET)
        return before(*arguments, **more)

    return fails


def test_the_online_sensor_goes_on_past_a_view_that_it_cannot_check(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.materialize import online_presence

    fails = failing_for("bad", 1, online_presence.sample_keys)
    monkeypatch.setattr(online_presence, "sample_keys", fails)
    graph, store = shop.sample.graph, shop.sample.project.store()
    found: OnlineTick = check_online(
        SensorContext(
            graph, DagsterFeastTranslator(), shop.instance, store, shop.settings, Memory(), NOW
        )
    )
    assert found.checked == 1
    assert found.failed == {"bad": "OSError"}
    assert "not checked: 'bad' (OSError)" in str(found)
    assert SECRET not in str(found)


def test_the_freshness_sensor_goes_on_past_a_view_whose_source_fails(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.orchestration.checks import freshness_checks

    before = freshness_checks.newest_event
    monkeypatch.setattr(freshness_checks, "newest_event", failing_for("orders", 1, before))
    found = shop.watch_freshness(NOW)
    assert found.checked == 2
    keys = [
        dg.AssetCheckKey(shop.sample.key(f"feature_views/{name}"), "fresh_by_event_time")
        for name in ("bad", "good")
    ]
    records = shop.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    said = [str(records[key].evaluation.description) for key in keys]  # type: ignore[union-attr]
    assert "at best, since OSError" in said[0]
    assert "at best" not in said[1]
    assert SECRET not in said[0]


def test_the_sensor_of_changed_sources_goes_on_past_one_that_cannot_be_read(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.orchestration.repairs import source_changes

    before = source_changes.source_contents
    monkeypatch.setattr(source_changes, "source_contents", failing_for("orders", 1, before))
    shop.write(3, orders=9, table="other")
    found = shop.look("source_changed", NOW)
    assert asked(found) == [("2026-03-04", "2026-03-04", ["feature_views/good", "sources/other"])]
    assert found.plan.notes == ["source 'orders' could not be read: OSError"]


def test_the_sensor_of_changed_sources_goes_on_past_a_view_that_it_cannot_compare(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.orchestration.repairs import source_changes

    before = source_changes._Comparison._compare_view
    fails = failing_for("bad", 1, before)
    monkeypatch.setattr(source_changes._Comparison, "_compare_view", fails)
    shop.write(3, orders=9, table="other")
    found = shop.look("source_changed", NOW)
    assert asked(found) == [("2026-03-04", "2026-03-04", ["feature_views/good", "sources/other"])]
    assert found.plan.notes == ["feature view 'bad' could not be looked at: OSError"]


@pytest.mark.parametrize("cause", ["gap", "definition_changed"])
def test_repairs_go_on_past_a_view_that_cannot_be_looked_at(
    shop: Shop, cause: Any, monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.orchestration.repairs import definition_changes, gaps

    for module in (gaps, definition_changes):
        fails = failing_for("bad", 0, module.due_windows)
        monkeypatch.setattr(module, "due_windows", fails)
    shop.look(cause, NOW)
    for view in ("bad", "good"):
        shop.forget(view, 2)
    shop.edit('view("good", other, 3000)', 'view("good", orders, 3000)')
    found = shop.look(cause, NOW)
    assert found.plan.notes == ["feature view 'bad' could not be looked at: OSError"]
    wanted = [view for each in (*found.plan.repairs, *found.plan.later) for view in each.views]
    assert wanted == ["good"]


def test_of_a_window_that_fits_only_some_of_the_views_nothing_is_materialized(
    make_sample: Callable[..., "Sample"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    sample = make_sample("mixed_cadence")  # an hourly view and a daily one
    options = ["--repo", str(sample.repo), "--start-date", "2026-03-01"]
    window = ["--start", "2026-03-01T00:00", "--end", "2026-03-01T03:00"]
    result = CliRunner().invoke(main, ["materialize", *options, *window])
    assert result.exit_code == 2
    assert "does not begin and end with partitions" in result.stderr
    assert not (sample.repo / "data/registry.db").exists()
