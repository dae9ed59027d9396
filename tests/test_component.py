"""The same graph from a defs.yaml."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from feature_platform import FeastRepoComponent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worlds.samples import Sample


@pytest.fixture
def load(make_sample: Callable[..., "Sample"]) -> "Iterator[Callable[..., dg.Definitions]]":
    """Load a defs.yaml with these attributes that lies beside the repo."""
    sample = make_sample("no_entities")

    def build(**attributes: object) -> dg.Definitions:
        with create_defs_folder_sandbox() as sandbox:
            folder = sandbox.scaffold_component(
                component_cls=FeastRepoComponent,
                defs_yaml_contents={
                    "type": "feature_platform.component.FeastRepoComponent",
                    "attributes": {
                        "repo_dir": str(sample.repo),
                        "start_date": "2026-03-01",
                        **attributes,
                    },
                },
            )
            assert Path(folder).is_dir()
            with sandbox.load_component_and_build_defs(defs_path=folder) as (_, defs):
                return defs

    return build


def test_a_few_lines_of_yaml_give_the_whole_graph(load: Callable[..., dg.Definitions]):
    definitions = load()
    keys = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}
    assert keys == {
        "weather/registry",
        "weather/sources/readings",
        "weather/feature_views/weather_now",
        "weather/drift/weather_now",
    }
    [schedule] = definitions.schedules
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_yaml_switches_schedules_on_or_leaves_them_out(load: Callable[..., dg.Definitions]):
    [schedule] = load(schedules_running=True).schedules
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert not load(schedules=False).schedules


def test_an_attribute_that_is_misspelt_is_refused(load: Callable[..., dg.Definitions]):
    with pytest.raises(Exception, match="Error while loading component") as caught:
        load(repo_directory="x")
    said, error = "", caught.value
    while error is not None:
        said, error = said + str(error), error.__cause__ or error.__context__
    assert "repo_directory" in said


def test_yaml_names_the_file_that_says_whom_to_tell(
    load: Callable[..., dg.Definitions], tmp_path: Path
):
    (tmp_path / "alerts.yaml").write_text("routes:\n  - to: log\n")
    [sensor] = load(alerts=str(tmp_path / "alerts.yaml")).sensors
    assert sensor.name == "weather_alerts"


@pytest.mark.parametrize(("attributes", "tries"), [({}, 3), ({"max_retries": 0}, 0)])
def test_yaml_says_how_often_a_step_is_tried_again(
    load: Callable[..., dg.Definitions], attributes: dict[str, int], tries: int
):
    graph = load(**attributes).resolve_assets_def(["weather", "feature_views", "weather_now"])
    policy = graph.op.retry_policy
    assert policy is not None
    assert policy.max_retries == tries
