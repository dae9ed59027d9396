"""On-demand views of one request at a time: in training sets, and what is served of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from worlds.samples import checks

from feature_platform.registry.registry_apply import apply
from feature_platform.training.training_set import build_training_set

if TYPE_CHECKING:
    from worlds.samples import Sample

VIEWS = """
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
source = FileSource(name="place_stats", path="data/place_stats.parquet", timestamp_field="ts")
stats = FeatureView(
    name="stats", entities=[place], source=source,
    schema=[Field(name="visits", dtype=Int64), Field(name="kind", dtype=String)],
)


@on_demand_feature_view(
    sources=[stats], schema=[Field(name="worth", dtype=Float64), Field(name="word", dtype=String)],
    mode="python", singleton=True,
)
def single(inputs):
    if inputs["kind"] is None:
        return {"worth": None, "word": None}
    return {"worth": inputs["visits"] / 4, "word": inputs["kind"].upper()}


service = FeatureService(name="trips", features=[stats, single])
"""
MOMENT = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture(params=["duckdb", "feature_platform.plugins.PointInTimeOfflineStore"])
def sample(request: pytest.FixtureRequest, make_sample: Callable[..., "Sample"]) -> "Sample":
    found = make_sample("on_demand")
    (found.repo / "views.py").write_text(VIEWS)
    config = found.repo / "feature_store.yaml"
    config.write_text(config.read_text().replace("type: duckdb", f"type: {request.param}"))
    return found


def test_a_training_set_holds_what_the_function_gives_for_each_row(
    sample: "Sample", tmp_path: Path
) -> None:
    apply(sample.project.store(), sample.project.contents)
    rows = pa.table({"place_id": [2, 1, 9], "event_timestamp": [MOMENT] * 3})
    built = build_training_set(sample.project, "trips", rows, tmp_path).to_arrow()
    assert built["worth"].to_pylist() == [5.0, 2.5, None]
    assert built["word"].to_pylist() == ["PARK", "MUSEUM", None]
    none = build_training_set(sample.project, "trips", rows.slice(3), tmp_path).to_arrow()
    assert none["worth"].to_pylist() == []


def test_every_key_is_compared_with_what_is_served(sample: "Sample") -> None:
    assert sample.run("registry").success
    assert sample.run("sources/place_stats", "feature_views/stats", partition="2026-03-01").success
    result = sample.run("skew/trips")
    found = checks(result)
    assert result.success
    assert found["skew"].passed, found["skew"].description
    assert "of 2 values are served as trained" in found["single__worth"].description
