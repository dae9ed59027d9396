"""What Feast serves from copies that no run here writes: told or refused, never green."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from feast import FeatureService
from worlds.samples import checks
from worlds.times import day

from feature_platform.cli import main
from feature_platform.errors import RepoError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.registry.registry_apply import apply, plan

if TYPE_CHECKING:
    from worlds.samples import Sample

STORED = """
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64
from feast import ValueType

place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
source = FileSource(name="place_stats", path="data/place_stats.parquet", timestamp_field="ts")
place_stats = FeatureView(
    name="place_stats", entities=[place], schema=[Field(name="visits", dtype=Int64)], source=source,
)


@on_demand_feature_view(
    sources=[place_stats], entities=[place], schema=[Field(name="doubled", dtype=Float64)],
    mode="pandas", write_to_online_store=%s,
)
def doubled(inputs):
    import pandas as pd

    return pd.DataFrame({"doubled": inputs["visits"] * 2.0})


service = FeatureService(name="trips", features=[place_stats, doubled], precompute_online=%s)
"""
WHY = "read from the online store (write_to_online_store=True)"
PRECOMPUTED = "served from precomputed vectors (precompute_online=True)"


@pytest.fixture
def make_stored(make_sample: Callable[..., "Sample"]) -> Callable[..., "Sample"]:
    def make(*, stored: bool, precomputed: bool = False) -> "Sample":
        sample = make_sample("on_demand")
        for path in sample.repo.glob("*.py"):
            path.write_text(STORED % (stored, precomputed))
        return sample

    return make


def doctor(sample: "Sample") -> tuple[int, Mapping[str, Mapping[str, str]]]:
    result = CliRunner().invoke(main, ["doctor", "--repo", str(sample.repo), "--json"])
    return result.exit_code, {each["subject"]: each for each in json.loads(result.stdout)}


def test_an_on_demand_view_that_is_read_from_the_store_is_told_where_people_look(
    make_stored: Callable[..., "Sample"],
):
    sample = make_stored(stored=True)
    description = sample.specs()["feature_views/doubled"].description
    assert WHY in description
    assert "write_to_online_store=False" in description
    assert "request" not in description.split("\n")[1]
    found = checks(sample.run("registry"))
    assert found["registry_matches_repo"].passed
    unfilled = found["on_demand_views_are_filled"]
    assert not unfilled.passed
    assert unfilled.severity.name == "ERROR"
    assert "'doubled'" in unfilled.description
    assert WHY in unfilled.description
    sample.run("sources/place_stats", "feature_views/place_stats", partition="2026-03-01")
    result = sample.run("skew/trips")
    skew = checks(result)
    assert not skew["skew"].passed
    assert WHY in skew["doubled__doubled"].description
    assert skew["place_stats__visits"].passed
    code, findings = doctor(sample)
    assert code == 1
    assert WHY in findings["on-demand feature view doubled"]["said"]
    chosen = [*["materialize", "--start", "2026-03-01", "--end", "2026-03-02", "--view"], "doubled"]
    refused = CliRunner().invoke(main, [*chosen, "--repo", str(sample.repo)])
    assert refused.exit_code == 2
    assert WHY in refused.output


def test_an_on_demand_view_that_is_computed_on_request_has_no_such_check(
    make_stored: Callable[..., "Sample"],
):
    sample = make_stored(stored=False)
    assert "request time" in sample.specs()["feature_views/doubled"].description
    assert "on_demand_views_are_filled" not in checks(sample.run("registry"))


def test_a_service_of_precomputed_vectors_is_refused_before_anything_is_applied(
    make_stored: Callable[..., "Sample"],
):
    sample = make_stored(stored=True, precomputed=True)
    assert PRECOMPUTED in sample.specs()["feature_services/trips"].description
    for change in (plan, apply):
        with pytest.raises(RepoError, match=r"feature service 'trips'.*precompute_online=False"):
            change(sample.project.store(), sample.project.contents)
    assert not sample.run("registry").success
    assert not sample.run("feature_views/place_stats", partition="2026-03-01").success
    assert sample.project.store().registry.list_feature_services("search") == []
    code, findings = doctor(sample)
    assert code == 1
    assert PRECOMPUTED in findings["feature service trips"]["said"]


def test_a_view_is_not_written_while_a_registered_service_has_precomputed_vectors_of_it(
    make_stored: Callable[..., "Sample"],
):
    sample = make_stored(stored=True)
    store = sample.project.store()
    apply(store, sample.project.contents)
    materialize_window(store, "place_stats", day(1), day(2))
    # Feast's own command line takes the service.
    service = FeatureService(
        name="fast", features=[store.get_feature_view("place_stats")], precompute_online=True
    )
    store.apply([service])
    result = sample.run("feature_views/place_stats", partition="2026-03-02")
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    told = str(failure.event_specific_data)
    assert "'fast'" in told
    assert "feature view 'place_stats'" in told
    assert PRECOMPUTED in told
    assert len(sample.windows("place_stats")) == 1
    options = ["--view", "place_stats", "--repo", str(sample.repo)]
    rebuilt = CliRunner().invoke(main, ["rebuild-online", *options])
    assert rebuilt.exit_code != 0
    assert PRECOMPUTED in rebuilt.output
