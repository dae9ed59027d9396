"""A request field that is called like a join key: Feast cannot serve the service."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from feature_platform.errors import RepoError
from feature_platform.registry.registry_apply import apply
from feature_platform.skew.served_service import served_service

if TYPE_CHECKING:
    from worlds.samples import Sample

VIEWS = """
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64

place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
source = FileSource(name="place_stats", path="data/place_stats.parquet", timestamp_field="ts")
stats = FeatureView(
    name="stats", entities=[place], source=source, schema=[Field(name="visits", dtype=Int64)]
)
request = RequestSource(name="request", schema=[Field(name="%s", dtype=Int64)])


@on_demand_feature_view(
    sources=[stats, request], schema=[Field(name="total", dtype=Int64)], mode="pandas"
)
def total(inputs):
    return pd.DataFrame({"total": inputs["visits"] + inputs["%s"]})


service = FeatureService(
    name="trips", features=[stats.with_join_key_map(%s), total]
)
"""


@pytest.mark.parametrize(
    ("field", "renamed"), [("place_id", {}), ("origin_id", {"place_id": "origin_id"})]
)
def test_it_is_refused_with_both_names(
    field: str, renamed: dict[str, str], make_sample: Callable[..., "Sample"]
):
    sample = make_sample("on_demand")
    (sample.repo / "views.py").write_text(VIEWS % (field, field, renamed))
    store = sample.project.store()
    apply(store, sample.project.contents)
    with pytest.raises(RepoError) as caught:
        served_service(store, "trips")
    assert caught.value.subject == "feature service 'trips'"
    assert f"the request field '{field}' of on-demand feature view 'total'" in str(caught.value)
    assert "a join key of feature view 'stats'" in str(caught.value)


def test_a_field_of_another_name_is_served(make_sample: Callable[..., "Sample"]):
    sample = make_sample("on_demand")
    (sample.repo / "views.py").write_text(VIEWS % ("bonus", "bonus", {}))
    store = sample.project.store()
    apply(store, sample.project.contents)
    assert set(served_service(store, "trips").request_schema) == {"bonus"}
