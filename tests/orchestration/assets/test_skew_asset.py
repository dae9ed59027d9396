"""The skew assets of a repo: what a run checks, shows and keeps."""

import sqlite3
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from worlds.repos import change_column
from worlds.samples import Sample, checks

from feature_platform.orchestration.assets.skew_assets import allowed_lags
from feature_platform.orchestration.checks.report_checks import feature_check_names

ONLINE = ("registry", "sources/place_stats", "feature_views/place_stats")


@pytest.fixture
def places(make_sample: Callable[..., "Sample"]) -> "Sample":
    """The on-demand sample, materialized."""
    sample = make_sample("on_demand")
    assert sample.run(*ONLINE, partition="2026-03-01").success
    return sample


def materialized(sample: "Sample", name: str) -> Mapping[str, Any]:
    (record,) = sample.instance.fetch_materializations(sample.key(name), limit=1).records
    metadata = record.asset_materialization.metadata
    return {name: entry.value for name, entry in metadata.items()}


def test_every_feature_of_a_service_has_a_check_and_the_service_a_summary(places: "Sample"):
    result = places.run("skew/by_reference")
    assert result.success
    found = checks(result)
    assert {name: each.passed for name, each in found.items()} == {
        "skew": True,
        "place_stats__stars": True,
        "place_stats__kind": True,
        "attraction__attraction": True,
    }
    assert found["skew"].description == (
        "all 3 features are served as trained (2 requests); request data (distance_km) was drawn "
        "by type; both sides got the same."
    )
    stars = {name: entry.value for name, entry in found["place_stats__stars"].metadata.items()}
    assert stars["feature_platform/match_rate"] == 1.0
    assert stars["feature_platform/values_compared"] == 2
    assert stars["feature_platform/psi"] == 0.0
    assert stars["picture"].startswith("![place_stats__stars: 100.00%")


def test_the_report_of_a_run_is_a_page_that_is_kept(places: "Sample"):
    places.run("skew/by_reference")
    found = materialized(places, "skew/by_reference")
    page = Path(found["feature_platform/report"])
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert page.parent.name == "by_reference"
    assert found["feature_platform/worst_match_rate"] == 1.0
    assert found["feature_platform/requests"] == 2


def test_skew_fails_the_checks_of_the_features_that_have_it_and_no_others(places: "Sample"):
    # Corrected at the source and not materialized again.
    change_column(places.repo / "data/place_stats.parquet", "stars", pa.array([5.0, 4.0]))
    result = places.run("skew/by_reference")
    assert result.success
    found = checks(result)
    assert {name: (each.passed, each.severity.value) for name, each in found.items()} == {
        "skew": (False, "ERROR"),
        "place_stats__stars": (False, "ERROR"),
        "place_stats__kind": (True, "WARN"),
        "attraction__attraction": (False, "ERROR"),
    }
    assert found["skew"].description.startswith(
        "2 of 3 features are not well (2 skewed; 2 requests): place_stats__stars: 0.00% of 2 values"
    )
    table = found["place_stats__stars"].metadata["examples"].value
    served = {(record.data["served"], record.data["training"]) for record in table.records}
    assert served == {("4.0", "5.0"), ("3.0", "4.0")}


def test_what_cannot_be_compared_never_passes(make_sample: Callable[..., "Sample"]):
    sample = make_sample("on_demand")
    assert sample.run("registry").success
    result = sample.run("skew/by_reference")
    assert result.success
    found = checks(result)
    assert {(each.passed, each.severity.value) for each in found.values()} == {(False, "WARN")}
    assert "3 not comparable" in found["skew"].description


def test_a_feature_that_the_registry_does_not_serve_yet_fails_its_check(places: "Sample"):
    views = places.repo / "views.py"
    views.write_text(
        views.read_text().replace(
            '["place_stats:stars", "place_stats:kind"', '["place_stats:stars", "place_stats:visits"'
        )
    )
    found = checks(places.run("skew/by_reference"))
    assert not found["place_stats__visits"].passed
    assert "the registry's service lacks it; apply the repo" in str(
        found["place_stats__visits"].description
    )
    assert found["place_stats__stars"].passed


def test_an_online_store_that_fails_fails_the_run_in_one_line(places: "Sample"):
    (path,) = [each for each in places.repo.rglob("*.db") if "online" in each.name]
    with sqlite3.connect(path) as connection:
        connection.execute(f'DROP TABLE "{places.project.name}_place_stats"')
    result = places.run("skew/by_reference")
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert said.startswith("feature service 'by_reference': reading it online failed")


def test_the_run_is_told_seed_size_and_request_data(places: "Sample"):
    key = places.key("skew/by_reference")
    config = {
        "__".join(key.path): {
            "config": {"limit": 1, "seed": 5, "request_data": {"distance_km": [1.0]}}
        }
    }
    places.run("skew/by_reference", config=config)
    found = materialized(places, "skew/by_reference")
    assert (found["feature_platform/requests"], found["feature_platform/seed"]) == (1, "5")


def test_a_skew_asset_depends_on_every_view_that_its_service_reads(
    make_sample: Callable[..., "Sample"],
):
    specs = make_sample("on_demand", tables=False).specs()
    for name in ("by_reference", "from_to"):
        spec = specs[f"skew/{name}"]
        assert {"/".join(dep.asset_key.path[1:]) for dep in spec.deps} == {
            "feature_views/place_stats"
        }
        assert spec.partitions_def is None


def test_skew_has_a_job_and_a_schedule_after_the_daily_one(make_sample: Callable[..., "Sample"]):
    defs = make_sample("on_demand", tables=False).definitions()
    schedule = next(each for each in defs.schedules if each.name.endswith("_skew_schedule"))
    assert schedule.cron_schedule == "0 7 * * *"
    sample = make_sample("no_entities", tables=False)
    assert [each.name for each in sample.definitions().schedules if "skew" in each.name] == []


def test_a_service_of_which_nothing_can_be_compared_is_shown_and_says_why(
    make_repo: Callable[[Mapping[str, str]], "Sample"],
):
    sample = make_repo({"views.py": HIDDEN})
    spec = sample.specs()["skew/hidden"]
    assert "it is not served online (online=False)" in str(spec.description)
    assert sample.key("skew/hidden") not in {
        key for asset in sample.definitions().assets for key in getattr(asset, "keys", ())
    }


def test_how_far_serving_may_lag_is_what_the_view_promises(
    make_repo: Callable[[Mapping[str, str]], "Sample"],
):
    tags = {
        "promised": {"dagster/freshness": "5h"},
        "hourly": {"dagster/partitions": "hourly"},
        "daily": {},
        "odd": {"dagster/cron": "0 6 * * 1"},
    }
    views = "".join(
        f"{name} = FeatureView(name='{name}', entities=[e], schema=[Field(name='x_{name}', "
        f"dtype=Int64)], source=s, tags={tag})\n"
        for name, tag in tags.items()
    )
    named = ", ".join([*tags, "daily.with_name('again')"])
    service = f"model = FeatureService(name='model', features=[{named}])"
    sample = make_repo({"views.py": HEAD + views + service})
    assert allowed_lags(sample.graph.skews["model"]) == {
        "promised": timedelta(hours=5),
        "hourly": timedelta(hours=2),
        "daily": timedelta(days=2),
        "odd": timedelta(days=8),
        "again": timedelta(days=2),
    }


def test_check_names_are_what_dagster_takes_and_stay_apart(
    make_repo: Callable[[Mapping[str, str]], "Sample"],
):
    odd = (
        "odd = FeatureView(name='odd view', entities=[e], schema=[Field(name='a-b', dtype=Int64), "
        "Field(name='a.b', dtype=Int64)], source=s)\n"
        "model = FeatureService(name='model', features=[odd])"
    )
    sample = make_repo({"views.py": HEAD + odd})
    assert feature_check_names(sample.graph.skews["model"]) == {
        "odd view__a-b": "odd_view__a_b",
        "odd view__a.b": "odd_view__a_b_2",
    }


HEAD = """
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Int64
e = Entity(name="e", join_keys=["e_id"])
s = FileSource(name="s", path="data/s.parquet", timestamp_field="ts")
"""
HIDDEN = (
    HEAD
    + """
x = Field(name="x", dtype=Int64)
v = FeatureView(name="v", entities=[e], schema=[x], source=s, online=False)
hidden = FeatureService(name="hidden", features=[v])
"""
)
