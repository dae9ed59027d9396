"""Repos as other people write them, as Dagster shows them."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from feature_platform import FeastProject, build_feast_definitions

if TYPE_CHECKING:
    from worlds.samples import Sample

SHAPES = (
    "batch_transformation",
    "composite_entities",
    "field_mappings",
    "inferred_schema",
    "mixed_cadence",
    "no_entities",
    "not_servable",
    "odd_names",
    "on_demand",
    "query_source",
    "shared_source",
    "streams",
    "unnamed_sources",
)


@pytest.fixture(scope="module")
def specs(make_sample: Callable[..., "Sample"]) -> Callable[[str], Mapping[str, dg.AssetSpec]]:
    """Specs of a shape; none of these tests changes anything."""

    @cache
    def load(shape: str) -> Mapping[str, dg.AssetSpec]:
        return make_sample(shape).specs()

    return load


def deps(spec: dg.AssetSpec) -> set[str]:
    return {"/".join(dep.asset_key.path[1:]) for dep in spec.deps}


def columns(spec: dg.AssetSpec) -> dict[str, str]:
    return {each.name: each.type for each in spec.metadata["dagster/column_schema"].columns}


def lineage(spec: dg.AssetSpec) -> dict[str, list[tuple[str, str]]]:
    found = spec.metadata["dagster/column_lineage"].deps_by_column
    return {
        column: [("/".join(dep.asset_key.path[1:]), dep.column_name) for dep in origins]
        for column, origins in found.items()
    }


def code(spec: dg.AssetSpec) -> tuple[str, str]:
    """File name and line of the definition."""
    reference = spec.metadata["dagster/code_references"].code_references[0]
    line = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1]
    return Path(reference.file_path).name, line.strip()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_repo_of_any_shape_loads_with_every_job_and_writes_nothing(
    shape: str, make_sample: Callable[..., "Sample"]
):
    sample = make_sample(shape)
    before = sample.files()
    repository = sample.definitions().get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {schedule.job_name for schedule in repository.schedule_defs} <= jobs
    assert len(repository.asset_graph.get_all_asset_keys()) > 1
    assert sample.files() == before


@pytest.mark.parametrize("shape", sorted({*SHAPES} - {"query_source"}))
def test_a_repo_loads_before_its_tables_are_there(shape: str, make_sample: Callable[..., "Sample"]):
    assert set(make_sample(shape, tables=False).specs()) == set(make_sample(shape).specs())


def test_composite_entities_show_both_keys_owner_description_and_freshness(specs: Any):
    view = specs("composite_entities")["feature_views/rider_in_city"]
    assert deps(view) == {"sources/trips", "registry"}
    assert columns(view) == {
        "rider_id": "Int64",
        "city_code": "String",
        "trips": "Int32",
        "mean_fare": "Float64",
        "usual_payment": "String",
    }
    assert view.partitions_def == dg.DailyPartitionsDefinition("2026-03-01")
    assert view.kinds == {"feast", "sqlite"}
    assert list(view.owners) == ["rides@example.com"]
    assert view.tags["tier"] == "gold"
    assert view.description == "How a rider rides in one city."
    assert view.metadata["feast/entities"] == ["rider", "city"]
    assert view.metadata["feast/ttl"] == "none: values never expire"
    assert view.freshness_policy.fail_window.to_timedelta().total_seconds() == 26 * 3600
    assert lineage(view)["trips"] == [("sources/trips", "trips")]
    assert code(view) == ("definitions.py", "rider_in_city = FeatureView(")


def test_a_column_keeps_its_description_and_tags(specs: Any):
    schema = specs("composite_entities")["feature_views/rider_in_city"].metadata[
        "dagster/column_schema"
    ]
    found = {column.name: column for column in schema.columns}
    assert found["trips"].description == "Trips so far"
    assert found["usual_payment"].tags == {"pii": "no"}


def test_a_source_shows_its_table_its_times_and_where_it_is_defined(specs: Any):
    source = specs("composite_entities")["sources/trips"]
    assert source.kinds == {"feast", "duckdb"}
    assert source.description == "Trips of a rider in a city, rolled up by the hour."
    assert source.metadata["dagster/table_name"] == "data/trips.parquet"
    assert source.metadata["feast/timestamp_field"] == "event_timestamp"
    assert source.metadata["feast/created_timestamp_column"] == "created"
    assert columns(source)["rider_id"] == "Int64"
    assert columns(source)["created"] == "UnixTimestamp"
    assert code(source) == ("definitions.py", "trips = FileSource(")


def test_a_service_depends_on_its_views_and_traces_each_feature(specs: Any):
    service = specs("composite_entities")["feature_services/pricing"]
    assert deps(service) == {"feature_views/rider_in_city"}
    assert lineage(service)["mean_fare"] == [("feature_views/rider_in_city", "mean_fare")]
    assert list(service.owners) == ["pricing@example.com"]
    assert code(service)[1].startswith("pricing = FeatureService(")


def test_a_view_without_entities_has_no_key_column(specs: Any):
    view = specs("no_entities")["feature_views/weather_now"]
    assert columns(view) == {"celsius": "Float32", "sky": "String"}
    assert view.metadata["feast/entities"] == []


def test_lineage_follows_field_mappings_back_to_the_tables_own_columns(specs: Any):
    found = specs("field_mappings")
    assert columns(found["sources/voorraad"]) == {
        "artikel": "String",
        "aantal": "Int64",
        "locatie": "String",
        "reserved": "Int64",
        "tijdstip": "UnixTimestamp",
    }
    assert lineage(found["feature_views/stock"]) == {
        "on_hand": [("sources/voorraad", "aantal")],
        "shelf": [("sources/voorraad", "locatie")],
        "reserved": [("sources/voorraad", "reserved")],
    }
    assert found["sources/voorraad"].metadata["feast/field_mapping"]["aantal"] == "on_hand"


def test_a_source_that_two_views_share_is_one_asset_with_the_columns_of_both(specs: Any):
    found = specs("shared_source")
    assert columns(found["sources/clicks"]) == {
        "visitor_id": "Int64",
        "clicks": "Int64",
        "pages": "Int64",
        "spent": "Float64",
        "ts": "UnixTimestamp",
    }
    for view in ("activity", "spending"):
        assert deps(found[f"feature_views/{view}"]) == {"sources/clicks", "registry"}
    assert lineage(found["feature_services/ranking"]) == {
        "clicks": [("feature_views/activity", "clicks")],
        "spent": [("feature_views/spending", "spent")],
    }


def test_query_and_table_sources_of_a_warehouse_load_without_reaching_it(specs: Any):
    found = specs("query_source")
    assert found["sources/repayments"].kinds == {"feast", "postgres"}
    assert found["sources/balances"].metadata["dagster/table_name"] == "loans.balances"
    assert "SELECT borrower_id" in found["sources/repayments"].metadata["feast/query"].value
    # Nobody says of what type the key is, and no server is asked.
    assert columns(found["sources/repayments"])["borrower_id"] == "unknown"
    assert found["feature_views/repayment_history"].metadata["feast/ttl"] == "90 days"


def test_no_password_is_shown_anywhere(specs: Any):
    for spec in specs("query_source").values():
        assert "not-a-secret" not in repr(spec)


def test_hourly_and_daily_views_on_one_source_have_partitions_of_their_own(specs: Any):
    found = specs("mixed_cadence")
    hourly = dg.HourlyPartitionsDefinition("2026-03-01-00:00")
    assert found["feature_views/load_now"].partitions_def == hourly
    assert found["sources/meter_readings"].partitions_def == hourly
    daily = dg.DailyPartitionsDefinition("2026-03-01")
    assert found["feature_views/load_of_day"].partitions_def == daily


def test_stream_views_and_pushed_views_depend_on_their_batch_sources(specs: Any):
    found = specs("streams")
    assert deps(found["feature_views/paid"]) == {"sources/ledger", "registry"}
    assert deps(found["feature_views/last_login"]) == {"sources/logins_log", "registry"}
    assert columns(found["feature_views/paid"]) == {"account_id": "Int64", "paid": "Float64"}
    assert "sources/payments" not in found


def test_an_on_demand_view_says_that_it_is_computed_and_from_what(specs: Any):
    view = specs("on_demand")["feature_views/attraction"]
    assert deps(view) == {"feature_views/place_stats"}
    assert view.description == (
        "What a place is worth the way to it.\n\n"
        "Cannot be materialized: it is computed at request time."
    )
    assert set(lineage(view)["attraction"]) == {
        ("feature_views/place_stats", "visits"),
        ("feature_views/place_stats", "stars"),
    }
    assert code(view) == ("views.py", "def attraction(inputs: pd.DataFrame) -> pd.DataFrame:")


def test_services_by_reference_name_only_the_features_they_ask_for(specs: Any):
    found = specs("on_demand")
    assert columns(found["feature_services/by_reference"]) == {
        "stars": "Float64",
        "kind": "String",
        "attraction": "Float64",
    }
    assert set(columns(found["feature_services/whole_view_by_reference"])) == {
        "visits",
        "stars",
        "kind",
    }


def test_a_view_that_a_service_takes_twice_is_told_apart_by_its_aliases(specs: Any):
    service = specs("on_demand")["feature_services/from_to"]
    assert deps(service) == {"feature_views/place_stats", "feature_views/attraction"}
    assert lineage(service) == {
        "visits": [("feature_views/place_stats", "visits")],
        "stars": [("feature_views/place_stats", "stars")],
        "destination__stars": [("feature_views/place_stats", "stars")],
        "attraction": [("feature_views/attraction", "attraction")],
    }
    assert list(service.owners) == ["team:search"]


@pytest.mark.parametrize(
    ("view", "why"),
    [
        ("borrowed_offline", "it is not served online (online=False)"),
        ("borrowed_paused", "it is disabled (enabled=False)"),
        ("imported", "it has no batch source"),
        ("complaints", "labels are pushed to it, not materialized"),
    ],
)
def test_what_cannot_be_materialized_says_why(view: str, why: str, specs: Any):
    spec = specs("not_servable")[f"feature_views/{view}"]
    assert spec.description.endswith(f"Cannot be materialized: {why}.")
    assert spec.partitions_def is None
    assert spec.kinds == {"feast"}


def test_what_cannot_be_materialized_is_not_executable_and_in_no_job(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("not_servable")
    repository = sample.definitions().get_repository_def()
    executable = {
        "/".join(key.path[1:]) for key in repository.asset_graph.materializable_asset_keys
    }
    assert executable == {
        "registry",
        "sources/loans",
        "feature_views/borrowed",
        "feature_views/borrowed_per_week",
        "drift/borrowed",
    }


def test_a_derived_view_depends_on_its_parents_and_their_source_not_on_where_it_writes(specs: Any):
    found = specs("not_servable")
    assert deps(found["feature_views/borrowed_per_week"]) == {
        "feature_views/borrowed",
        "sources/loans",
        "registry",
    }
    assert "sources/per_week" not in found
    assert lineage(found["feature_views/borrowed_per_week"]) == {
        "books": [("feature_views/borrowed", "books")]
    }


def test_a_batch_view_with_a_transformation_is_materialized_and_one_that_aggregates_says_why_not(
    specs: Any,
):
    found = specs("batch_transformation")
    assert found["feature_views/latency"].partitions_def is not None
    assert found["feature_views/ping_count"].description.endswith(
        "Cannot be materialized: it aggregates, and Feast's registry keeps no aggregations of "
        "batch views."
    )
    for view in ("latency", "ping_count"):
        assert deps(found[f"feature_views/{view}"]) == {"sources/pings", "registry"}


def test_what_a_transformation_makes_is_not_asked_of_the_source(specs: Any):
    assert set(columns(specs("batch_transformation")["sources/pings"])) == {
        "device_id",
        "pings",
        "ts",
    }


def test_names_that_dagster_does_not_take_are_changed_and_stay_apart(specs: Any):
    found = specs("odd_names")
    assert set(found) == {
        "registry",
        "sources/data_eu_orders",
        "sources/data_asia_orders",
        "sources/returns_v1.2_raw",
        "feature_views/orders-eu.v1",
        "feature_views/orders_eu_v1",
        "feature_views/orders_asia",
        "feature_views/returns",
        "feature_services/shops_all",
        "drift/orders-eu.v1",
        "drift/orders_eu_v1",
        "drift/orders_asia",
        "drift/returns",
        "skew/shops_all",
    }
    assert found["feature_views/orders_asia"].metadata["feast/name"] == "orders asia"
    assert found["sources/data_eu_orders"].metadata["feast/name"] == "data/eu/orders.parquet"
    assert found["registry"].group_name == "odd_shop"


def test_a_source_named_by_its_path_is_still_found_in_the_code(specs: Any):
    _, line = code(specs("odd_names")["sources/data_asia_orders"])
    assert line.startswith("orders_of_asia = FileSource(")


@pytest.mark.parametrize(
    ("view", "owner"),
    [
        ("orders-eu.v1", "team:Jo Doe, Logistics"),
        ("orders_eu_v1", "team:@logistics"),
        ("orders_asia", "team:logistics asia"),
        ("returns", "team:nobody in particular"),
    ],
)
def test_an_owner_that_is_no_address_becomes_a_team(view: str, owner: str, specs: Any):
    assert list(specs("odd_names")[f"feature_views/{view}"].owners) == [owner]


def test_tags_that_dagster_does_not_take_are_kept_as_metadata(specs: Any):
    spec = specs("odd_names")["feature_views/orders-eu.v1"]
    assert spec.tags["team"] == "logistics"
    assert spec.tags["empty"] == ""
    assert spec.metadata["feast/tags"] == {
        "cost center": "42",
        "note": "spaces, commas & more",
        "a/b/c": "nested",
    }


def test_an_undeclared_schema_is_read_off_the_table(specs: Any):
    found = specs("inferred_schema")
    assert columns(found["feature_views/visit_features"]) == {
        "card_no": "Int64",
        "visits": "Int64",
        "shelves": "Array(String)",
        "weights": "Array(Float64)",
    }
    assert found["sources/visits"].metadata["feast/timestamp_field"] == "ts"
    assert set(columns(found["feature_services/recommender"])) == {"visits", "shelves", "weights"}


def test_a_source_without_a_time_column_says_so_while_its_table_is_not_there(
    make_sample: Callable[..., "Sample"],
):
    found = make_sample("inferred_schema", tables=False).specs()
    why = "no timestamp_field is declared, and there is no table yet to find it in"
    assert found["sources/visits"].description.endswith(f"Cannot be read: {why}.")
    assert why in found["feature_views/visit_features"].description


@pytest.fixture(scope="module")
def template(feast_init: Callable[[], Path]) -> Mapping[str, dg.AssetSpec]:
    defs = build_feast_definitions(FeastProject(feast_init()), "2026-03-01")
    return {"/".join(spec.key.path[1:]): spec for spec in defs.resolve_all_asset_specs()}


def test_feasts_own_template_loads_with_every_object_of_it(template: Mapping[str, dg.AssetSpec]):
    assert set(template) == {
        "registry",
        "sources/driver_hourly_stats_source",
        "feature_views/driver_hourly_stats",
        "feature_views/driver_hourly_stats_fresh",
        "drift/driver_hourly_stats",
        "drift/driver_hourly_stats_fresh",
        "feature_views/transformed_conv_rate",
        "feature_views/transformed_conv_rate_fresh",
        "feature_views/driver_quality_labels",
        "feature_services/driver_activity_v1",
        "feature_services/driver_activity_v2",
        "feature_services/driver_activity_v3",
        "skew/driver_activity_v1",
        "skew/driver_activity_v2",
        "skew/driver_activity_v3",
    }


def test_the_templates_view_shows_types_key_tags_and_ttl(template: Mapping[str, dg.AssetSpec]):
    view = template["feature_views/driver_hourly_stats"]
    assert columns(view) == {
        "driver_id": "Int64",
        "conv_rate": "Float32",
        "acc_rate": "Float32",
        "avg_daily_trips": "Int64",
        "driver_metadata": "Map",
        "driver_config": "Json",
        "driver_profile": "Struct({name: String, age: String})",
    }
    assert view.tags["team"] == "driver_performance"
    assert view.metadata["feast/ttl"] == "1 day"
    assert deps(view) == {"sources/driver_hourly_stats_source", "registry"}
    # The pushed view reads the same table.
    assert deps(template["feature_views/driver_hourly_stats_fresh"]) == deps(view)


def test_the_templates_services_and_labels_show_what_they_are(
    template: Mapping[str, dg.AssetSpec],
):
    assert deps(template["feature_services/driver_activity_v1"]) == {
        "feature_views/driver_hourly_stats",
        "feature_views/transformed_conv_rate",
    }
    assert columns(template["feature_services/driver_activity_v1"]) == {
        "conv_rate": "Float32",
        "conv_rate_plus_val1": "Float64",
        "conv_rate_plus_val2": "Float64",
    }
    labels = template["feature_views/driver_quality_labels"]
    assert "labels are pushed to it" in labels.description
    assert labels.metadata["feast/tags"]["feast.io/label-values:is_reliable"] == "1 0"
