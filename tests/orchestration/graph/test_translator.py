"""How objects appear in Dagster, and how a subclass changes that."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from feature_platform import DagsterFeastTranslator
from feature_platform.errors import RepoError
from feature_platform.orchestration.graph.translator import _owners, op_name
from feature_platform.orchestration.graph.translator_data import (
    FeastTranslatorData,
    FeatureViewData,
    RefusedViewData,
)

if TYPE_CHECKING:
    from worlds.samples import Sample


class InFolders(DagsterFeastTranslator):
    """Every key below ``features``; everything owned by one team."""

    def get_asset_spec(self, data: FeastTranslatorData) -> dg.AssetSpec:
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(
            key=spec.key.with_prefix("features"), owners=["team:features"], group_name="features"
        )


def test_a_subclass_changes_keys_and_everything_downstream_follows(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("shared_source")
    definitions = sample.definitions(translator=InFolders())
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert all(key.startswith("features/clickstream/") for key in specs)
    view = specs["features/clickstream/feature_views/activity"]
    assert {dep.asset_key.to_user_string() for dep in view.deps} == {
        "features/clickstream/sources/clicks",
        "features/clickstream/registry",
    }
    lineage = view.metadata["dagster/column_lineage"].deps_by_column["clicks"]
    assert lineage[0].asset_key.to_user_string() == "features/clickstream/sources/clicks"
    repository = definitions.get_repository_def()
    checked = {key.asset_key.path[0] for key in repository.asset_graph.asset_check_keys}
    assert checked == {"features"}
    job = repository.get_job("clickstream_daily").asset_layer
    assert view.key in job.executable_asset_keys
    assert view.owners == ["team:features"]


def test_what_a_subclass_calls_its_assets_is_run_and_gated_too(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("field_mappings")
    definitions = dg.Definitions.merge(
        sample.definitions(translator=InFolders(), retry_policy=None)
    )
    result = definitions.resolve_job_def("warehouse_stock_daily").execute_in_process(
        instance=sample.instance, partition_key="2026-03-01", raise_on_error=False
    )
    assert result.success
    assert sample.windows("stock") == ["2026-03-01..2026-03-02"]


class ByKind(DagsterFeastTranslator):
    """Switches on the class of the record, and on its kind."""

    def get_asset_spec(self, data: FeastTranslatorData) -> dg.AssetSpec:
        spec = super().get_asset_spec(data)
        match data:
            case FeatureViewData(settings=settings):
                return spec.replace_attributes(tags={"cadence": settings.partitions})
            case RefusedViewData(refusal=why):
                return spec.replace_attributes(description=why)
        return spec.replace_attributes(tags={"kind": data.kind})


def test_a_subclass_switches_on_records_and_kinds(make_sample: Callable[..., "Sample"]):
    sample = make_sample("not_servable")
    specs = sample.specs(translator=ByKind())
    views = {name: spec for name, spec in specs.items() if name.startswith("feature_views/")}
    served = {name for name, spec in views.items() if spec.tags.get("cadence") == "daily"}
    assert served == {f"feature_views/{name}" for name in sample.graph.materializable}
    assert all(
        specs[name].description.startswith(("it ", "labels ")) for name in views.keys() - served
    )
    assert specs["registry"].tags["kind"] == "registry"


class Flat(DagsterFeastTranslator):
    """Only the last part of each key."""

    def get_asset_spec(self, data: FeastTranslatorData) -> dg.AssetSpec:
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(key=dg.AssetKey(spec.key.path[-1]))


def test_two_objects_under_one_key_are_refused_by_name(make_sample: Callable[..., "Sample"]):
    sample = make_sample("on_demand")
    with pytest.raises(RepoError) as caught:
        sample.definitions(translator=Flat())
    assert str(caught.value) == (
        "feature view 'place_stats': has the same asset key as 'place_stats', place_stats; "
        "rename one of them, or give it another key in a translator"
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (["shop", "feature_views", "orders"], "shop__feature_views__orders"),
        (["shop", "registry"], "shop__registry"),
    ],
)
def test_plain_names_make_plain_op_names(path: list[str], name: str):
    assert op_name(dg.AssetKey(path)) == name


def test_op_names_of_different_keys_differ_and_are_what_dagster_takes():
    paths = ["a-b", "a.b", "a_b", "a b", "ab", "größe", "gr_ße"]
    names = [op_name(dg.AssetKey(["shop", path])) for path in paths]
    assert len(set(names)) == len(paths)
    for name in names:
        assert dg.op(name=name)(lambda: None).name == name


@pytest.mark.parametrize(
    ("candidates", "owner"),
    [
        (("a@example.com", "b@example.com"), "a@example.com"),
        ((None, "", "  ", "ml"), "team:ml"),
        (("team:ml", None), "team:ml"),
        (("Jo <jo@example.com>",), "team:Jo <jo@example.com>"),
    ],
)
def test_the_first_owner_that_somebody_named_counts(candidates: tuple[str, ...], owner: str):
    assert _owners(*candidates) == [owner]
    assert dg.AssetSpec("a", owners=_owners(*candidates)).owners == [owner]


def test_nobody_is_no_owner():
    assert _owners(None, "", " ") is None


def test_the_tag_of_the_platform_goes_before_feasts_owner(make_repo: Callable[..., "Sample"]):
    sample = make_repo(
        {
            "views.py": """
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Int64

key = Entity(name="key")
view = FeatureView(
    name="view", entities=[key], schema=[Field(name="value", dtype=Int64)],
    source=FileSource(name="table", path="data/t.parquet", timestamp_field="ts"),
    owner="feast@example.com", tags={"dagster/owner": "team:dagster", "dagster/freshness": "90m"},
)
"""
        }
    )
    spec = sample.specs()["feature_views/view"]
    assert list(spec.owners) == ["team:dagster"]
    assert spec.freshness_policy.fail_window.to_timedelta().total_seconds() == 5400
    # Its own tags are settings, and not shown again as tags.
    assert not [tag for tag in spec.tags if tag in {"dagster/owner", "dagster/freshness"}]


def test_names_in_any_script_get_keys_that_dagster_takes(make_repo: "Callable[..., Sample]"):
    repo = make_repo(
        {
            "views.py": """
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Int64, String

k = Entity(name="k", value_type=ValueType.STRING)
source = FileSource(name="l'été 2026", path="data/s.parquet", timestamp_field="ts")
view = FeatureView(
    name="größe_v",
    entities=[k],
    schema=[Field(name="k", dtype=String), Field(name="x", dtype=Int64)],
    source=source,
)
"""
        }
    )
    assert {"sources/l_ete_2026", "feature_views/gro_e_v"} <= set(repo.specs())


def test_a_project_with_letters_that_dagster_does_not_take_is_loaded_and_run(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("no_entities")
    settings = sample.repo / "feature_store.yaml"
    settings.write_text(settings.read_text().replace("project: weather", "project: météo_été"))
    definitions = sample.definitions(retry_policy=None)
    keys = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}
    assert {key.partition("/")[0] for key in keys} == {"meteo_ete"}
    [job] = [each for each in definitions.jobs if str(each.name).endswith("_daily")]
    result = definitions.resolve_job_def(job.name).execute_in_process(
        instance=sample.instance, partition_key="2026-03-01", raise_on_error=False
    )
    assert result.success
    assert sample.windows("weather_now") == ["2026-03-01..2026-03-02"]
