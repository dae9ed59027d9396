"""Views that Feast computes are assets as others are: gated, checked, right in any order."""

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from click.testing import CliRunner
from worlds import sample_tables
from worlds.repos import change_rows

from feature_platform.cli import main

if TYPE_CHECKING:
    from worlds.samples import Sample

VIEWS = ("last_sale", "day_total", "footfall", "overview", "per_visit", "till")
ASSETS = ("registry", "sources/sales", "sources/visits", *(f"feature_views/{v}" for v in VIEWS))
FEATURES = [
    "last_sale:cents",
    "day_total:total",
    "overview:cents",
    "overview:visitors",
    "per_visit:cents_per_visitor",
    "till:cents",
]
SHOPS = [{"shop_id": 1}, {"shop_id": 2}]


@pytest.fixture
def bakery(make_sample: Callable[..., "Sample"]) -> "Sample":
    return make_sample("transformed")


def served(sample: "Sample") -> dict[str, list[Any]]:
    store = sample.project.store()
    found = store.get_online_features(FEATURES, SHOPS, full_feature_names=True).to_dict()
    return {name: values for name, values in found.items() if name != "shop_id"}


def checks(result: Any, name: str = "online_equals_offline") -> dict[str, tuple[bool, str]]:
    return {
        said.asset_key.path[-1]: (said.passed, said.description)
        for said in result.get_asset_check_evaluations()
        if said.check_name == name
    }


def failures(result: Any) -> dict[str, str]:
    return {
        event.step_key: event.event_specific_data.error.message
        for event in result.all_events
        if event.event_type_value == "STEP_FAILURE"
    }


def test_they_are_partitioned_and_hang_on_their_parents_and_the_tables_they_read(bakery: "Sample"):
    specs = bakery.specs()
    parents = {
        name: {"/".join(dep.asset_key.path[1:]) for dep in specs[f"feature_views/{name}"].deps}
        for name in VIEWS
    }
    assert parents["last_sale"] == {"sources/sales", "registry"}
    assert parents["per_visit"] == {
        "sources/sales",
        "sources/visits",
        "feature_views/last_sale",
        "feature_views/footfall",
        "registry",
    }
    executable = bakery.definitions().get_repository_def().asset_graph.materializable_asset_keys
    assert {bakery.key(f"feature_views/{name}") for name in VIEWS} <= set(executable)
    assert bakery.key("drift/last_sale") not in executable
    assert specs["drift/last_sale"].description.endswith(
        "Cannot be materialized: drift is measured in sources, which do not hold the features "
        "Feast computes."
    )


def test_their_drift_is_refused_in_a_line(bakery: "Sample"):
    asked = ["drift", "--view", "day_total", "--repo", str(bakery.repo), "--date", "2026-03-01"]
    found = CliRunner().invoke(main, [*asked, "--start-date", "2026-03-01"])
    assert found.exit_code == 2
    assert found.output.splitlines()[-1] == (
        "error: feature view 'day_total': its drift cannot be computed: drift is measured in "
        "sources, which do not hold the features Feast computes; look for drift in a view of the "
        "columns that it is computed from"
    )


def test_a_backfill_out_of_order_serves_what_the_newest_windows_come_to(bakery: "Sample"):
    last = bakery.run(*ASSETS, partition="2026-03-03")
    assert failures(last) == {}
    said = checks(last)
    assert said["per_visit"] == (True, "2 of 2 keys compared, all equal")
    assert set(said) == set(VIEWS)
    wanted = {
        "last_sale__cents": [1100.0, 200.0],
        "day_total__total": [11.0, 2.0],
        "overview__cents": [1100.0, 200.0],
        "overview__visitors": [30, 40],
        "per_visit__cents_per_visitor": [1100 / 30, 5.0],
        "till__cents": [1100.0, 200.0],
    }
    assert served(bakery) == wanted
    earlier = bakery.run(*ASSETS, span=("2026-03-01", "2026-03-02"))
    assert failures(earlier) == {}
    assert all(passed for passed, _ in checks(earlier).values())
    assert checks(earlier, "registry_matches_repo")["registry"][0]
    assert served(bakery) == wanted
    assert bakery.windows("per_visit") == ["2026-03-01..2026-03-04"]
    [first] = bakery.materializations("feature_views/day_total", "2026-03-01")
    assert first.metadata["feature_platform/written_by_feast"].value == (
        "Feast computes it: it has a transformation"
    )


def test_a_range_serves_what_its_partitions_would_one_by_one(bakery: "Sample"):
    views = [f"feature_views/{name}" for name in ("day_total", "per_visit")]
    assert failures(bakery.run(*views, span=("2026-03-01", "2026-03-02"))) == {}
    # Shop 2 sold nothing on the second day; a total over both days would be 11 for shop 1.
    assert served(bakery)["day_total__total"] == [7.0, 5.0]
    assert served(bakery)["per_visit__cents_per_visitor"] == [700 / 20, 500 / 20]


def test_what_left_the_table_falls_back_on_the_window_before(bakery: "Sample"):
    views = [f"feature_views/{name}" for name in ("last_sale", "day_total", "per_visit")]
    assert failures(bakery.run(*views, span=("2026-03-01", "2026-03-03"))) == {}
    sample_tables.transformed(bakery.repo, [(1, 0.1, 1.0), (1, 1.1, 7.0), (2, 2.1, 2.0)])
    result = bakery.run(*views, partition="2026-03-03")
    assert failures(result) == {}
    found = served(bakery)
    assert found["last_sale__cents"] == [700.0, 200.0]
    assert found["day_total__total"] == [7.0, 2.0]
    assert found["per_visit__cents_per_visitor"] == [700 / 20, 5.0]
    newest = bakery.materializations("feature_views/last_sale", "2026-03-03")[0]
    assert newest.metadata["feature_platform/keys_vanished"].value == 1


def test_a_window_of_a_parents_source_that_failed_its_checks_is_not_served(bakery: "Sample"):
    path = bakery.repo / "data/visits.parquet"
    change_rows(path, lambda rows: rows[0].update(shop_id=None))
    result = bakery.run("registry", "feature_views/per_visit", partition="2026-03-01")
    [said] = failures(result).values()
    assert "feature view 'per_visit': window 2026-03-01..2026-03-02 failed check 'keys'" in said
    assert "fix source 'visits' and rerun" in said
    assert bakery.windows("per_visit") == []


def test_what_is_served_otherwise_than_computed_is_found(bakery: "Sample"):
    view = "feature_views/last_sale"
    assert failures(bakery.run("sources/sales", view, partition="2026-03-01")) == {}
    with sqlite3.connect(bakery.repo / "data/online_store.db") as online:
        stolen = "SELECT value FROM bakery_last_sale LIMIT 1"
        (value,) = online.execute(stolen).fetchone()
        online.execute("UPDATE bakery_last_sale SET value = ?", (value,))
    selection = dg.AssetSelection.checks_for_assets(bakery.key(view))
    result = bakery.run(selection=selection)
    [(passed, said)] = checks(result).values()
    assert not passed
    assert said.startswith("1 differences in 2 of 2 keys; first: {'shop_id': ")
