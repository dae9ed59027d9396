"""Repos as other people write them, put online through the asset graph and read back with Feast."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from worlds.repos import change_column

from feature_platform.orchestration.validation.check_declarations import FRESH, TTL

if TYPE_CHECKING:
    from worlds.samples import Sample


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What failed, but for the freshness of tables that are old."""
    found = [
        f"{each.check_name}: {each.description}"
        for each in result.get_asset_check_evaluations()
        if not each.passed and each.check_name not in (FRESH.name, TTL.name)
    ]
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data
            found.append(
                (error.user_failure_data and error.user_failure_data.description)
                or error.error_display_string
            )
    return found


def test_composite_keys_are_served_as_of_the_newest_materialized_day(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("composite_entities")
    names = ("registry", "sources/trips", "feature_views/rider_in_city")
    assert failures(sample.run(*names, span=("2026-03-01", "2026-03-02"))) == []
    rows = [{"rider_id": 2, "city_code": "SEL"}, {"rider_id": 2, "city_code": "NYC"}]
    assert sample.online("pricing", rows) == {
        "rider_id": [2, 2],
        "city_code": ["SEL", "NYC"],
        "trips": [32, None],
        "mean_fare": [7.0, None],
        "usual_payment": [None, None],
    }
    assert sample.windows("rider_in_city") == ["2026-03-01..2026-03-03"]


def test_a_view_without_entities_is_served_its_last_row_of_the_window(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("no_entities")
    names = ("registry", "sources/readings", "feature_views/weather_now")
    assert failures(sample.run(*names, partition="2026-03-02")) == []
    asked = ["weather_now:celsius", "weather_now:sky"]
    answer = sample.online(asked, [{"__dummy_id": ""}])
    assert {name: answer[name] for name in ("celsius", "sky")} == {
        "celsius": [23.0],
        "sky": ["clear"],
    }


def test_mapped_keys_and_features_are_served_under_their_new_names(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("field_mappings")
    names = ("registry", "sources/voorraad", "feature_views/stock")
    assert failures(sample.run(*names, partition="2026-03-03")) == []
    asked = ["stock:on_hand", "stock:shelf", "stock:reserved"]
    assert sample.online(asked, [{"sku": "sku-3"}]) == {
        "sku": ["sku-3"],
        "on_hand": [203],
        "shelf": ["rek 3"],
        "reserved": [3],
    }


def test_two_views_on_one_folder_of_files_are_served_from_one_run(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("shared_source")
    names = ("registry", "sources/clicks", "feature_views/activity", "feature_views/spending")
    assert failures(sample.run(*names, partition="2026-03-03")) == []
    assert sample.online("ranking", [{"visitor_id": 3}]) == {
        "visitor_id": [3],
        "clicks": [32],
        "spent": [2.0],
    }


def test_an_hour_is_put_online_and_then_the_day_that_holds_it(make_sample: Callable[..., "Sample"]):
    sample = make_sample("mixed_cadence")
    hourly = ("registry", "sources/meter_readings", "feature_views/load_now")
    assert failures(sample.run(*hourly, partition="2026-03-01-05:00")) == []
    assert sample.online(["load_now:kw"], [{"meter_id": 2}])["kw"] == [5.2]
    assert sample.windows("load_now") == ["2026-03-01T05:00:00Z..2026-03-01T06:00:00Z"]
    # The daily view goes without its hourly source: no run has partitions of two kinds.
    daily = ("registry", "feature_views/load_of_day")
    assert failures(sample.run(*daily, partition="2026-03-01")) == []
    assert sample.online(["load_of_day:kwh"], [{"meter_id": 1}])["kwh"] == [23.0]
    rows = sample.materializations("feature_views/load_of_day", "2026-03-01")[0]
    assert rows.metadata["dagster/partition_row_count"].value == 48


def test_stream_and_pushed_views_are_served_from_their_batch_sources(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("streams")
    names = (
        "registry",
        "sources/ledger",
        "sources/logins_log",
        "feature_views/paid",
        "feature_views/last_login",
    )
    assert failures(sample.run(*names, partition="2026-03-02")) == []
    assert sample.online(["paid:paid", "last_login:logins"], [{"account_id": 8}]) == {
        "account_id": [8],
        "paid": [8.5],
        "logins": [81],
    }
    # The registry asset can be materialized again: nothing differs.
    again = sample.run("registry")
    assert failures(again) == []
    change = again.asset_materializations_for_node("payments__registry")[0].metadata
    assert change["feature_platform/updated"].value == []


def test_on_demand_features_are_computed_from_what_was_put_online(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("on_demand")
    names = ("registry", "sources/place_stats", "feature_views/place_stats")
    assert failures(sample.run(*names, partition="2026-03-01")) == []
    found = sample.online("by_reference", [{"place_id": 2, "distance_km": 1.0}])
    assert found["stars"] == [3.0]
    assert found["kind"] == ["park"]
    assert found["attraction"] == [30.0]


def test_a_repo_is_served_though_some_of_its_views_cannot_be(make_sample: Callable[..., "Sample"]):
    sample = make_sample("not_servable")
    names = ("registry", "sources/loans", "feature_views/borrowed")
    assert failures(sample.run(*names, partition="2026-03-01")) == []
    assert sample.online(["borrowed:books"], [{"reader_id": 2}])["books"] == [4]


def test_sources_without_names_are_told_apart_and_served(make_sample: Callable[..., "Sample"]):
    sample = make_sample("unnamed_sources")
    names = (
        "registry",
        "sources/data_north_sold",
        "sources/data_south_sold",
        "feature_views/sold_north",
        "feature_views/sold_south",
    )
    assert failures(sample.run(*names, partition="2026-03-01")) == []
    asked = ["sold_north:loaves sold", "sold_south:loaves sold"]
    store = sample.project.store()
    found = store.get_online_features(asked, [{"shop-id": 2}], full_feature_names=True).to_dict()
    assert found["sold_north__loaves sold"] == [10]
    assert found["sold_south__loaves sold"] == [12]
    # The SQLite registry of a relative path lies in the repo, wherever the process was started.
    assert (sample.repo / "data" / "registry.sqlite").is_file()


def test_a_batch_view_without_a_transformation_is_served_beside_those_that_have_one(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("batch_transformation")
    names = ("sources/pings", "feature_views/plain")
    assert failures(sample.run(*names, partition="2026-03-01")) == []
    assert sample.online(["plain:pings"], [{"device_id": 2}])["pings"] == [4]


def test_a_transformation_is_applied_again_while_it_stays_what_it_was(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("batch_transformation")
    assert failures(sample.run("registry")) == []
    assert failures(sample.run("registry")) == []
    path = sample.repo / "views.py"
    path.write_text(path.read_text().replace("(frame): ...", "(frame): return frame"))
    [said] = failures(sample.run("registry", checks=False))
    assert said == (
        "feature view 'latency': its transformation has changed, and this version of Feast cannot "
        "update it; delete it (`feast delete latency`) and apply again, or give it another name"
    )
    command = [str(Path(sys.executable).with_name("feast")), "delete", "latency"]
    subprocess.run(command, cwd=sample.repo, check=True, capture_output=True)
    assert failures(sample.run("registry")) == []


def test_an_undeclared_schema_is_served_lists_included(make_sample: Callable[..., "Sample"]):
    sample = make_sample("inferred_schema")
    names = ("registry", "sources/visits", "feature_views/visit_features")
    assert failures(sample.run(*names, span=("2026-03-01", "2026-03-02"))) == []
    assert sample.online("recommender", [{"card_no": 100}, {"card_no": 200}]) == {
        "card_no": [100, 200],
        "visits": [3, 2],
        "shelves": [["C"], []],
        "weights": [[1.0], [0.25, 0.75]],
    }


def test_a_value_of_an_undeclared_schema_changes_the_windows_hash(
    make_sample: Callable[..., "Sample"],
):
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    sample = make_sample("inferred_schema")
    assert failures(sample.run("sources/visits", partition="2026-03-01")) == []
    path = sample.repo / "data/visits.parquet"
    change_column(path, "visits", pc.add(pq.read_table(path).column("visits"), 1))
    assert failures(sample.run("sources/visits", partition="2026-03-01")) == []
    newer, older = sample.materializations("sources/visits", "2026-03-01")
    name = "feature_platform/content_hash"
    assert newer.metadata[name].value != older.metadata[name].value


@pytest.fixture(scope="module")
def template(
    feast_init: Callable[[], Path], make_sample: Callable[..., "Sample"]
) -> "tuple[Sample, list[str]]":
    """Feast's own template, and the complete days of its table, oldest first."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    kind = type(make_sample("no_entities"))
    repo = feast_init()
    times = pq.read_table(repo / "data/driver_stats.parquet")["event_timestamp"]
    first, last = (getattr(pc, name)(times).as_py() for name in ("min", "max"))
    assert first.year == 2021  # one row a driver is of then
    days = [(last - timedelta(days=back)).date().isoformat() for back in range(12, 0, -1)]
    return kind(repo, start_date=days[0]), days


def test_feasts_own_template_is_served_what_its_table_holds(template: "tuple[Sample, list[str]]"):
    import pandas as pd

    sample, days = template
    names = (
        "registry",
        "sources/driver_hourly_stats_source",
        "feature_views/driver_hourly_stats",
        "feature_views/driver_hourly_stats_fresh",
    )
    assert failures(sample.run(*names, partition=days[-1])) == []
    frame = pd.read_parquet(sample.repo / "data/driver_stats.parquet")
    day = frame[frame.event_timestamp.dt.strftime("%Y-%m-%d") == days[-1]]
    wanted = day[day.driver_id == 1002].sort_values("event_timestamp").iloc[-1]
    features = ["conv_rate", "avg_daily_trips", "driver_metadata", "driver_config"]
    found = sample.online(
        [f"driver_hourly_stats:{name}" for name in features], [{"driver_id": 1002}]
    )
    assert found["avg_daily_trips"] == [wanted.avg_daily_trips]
    assert found["conv_rate"] == [pytest.approx(float(wanted.conv_rate))]
    assert found["driver_metadata"] == [dict(wanted.driver_metadata)]
    assert found["driver_config"] == [json.loads(wanted.driver_config)]


def test_the_row_that_feasts_template_holds_three_times_is_found(
    template: "tuple[Sample, list[str]]",
):
    import pandas as pd

    sample, days = template
    frame = pd.read_parquet(sample.repo / "data/driver_stats.parquet")
    late = frame[frame.duplicated(["driver_id", "event_timestamp", "created"])].iloc[0]
    day = late.event_timestamp.strftime("%Y-%m-%d")
    assert day in days
    result = sample.run("sources/driver_hourly_stats_source", partition=day)
    failed = {each.check_name for each in result.get_asset_check_evaluations() if not each.passed}
    assert failed == {"keys"}
