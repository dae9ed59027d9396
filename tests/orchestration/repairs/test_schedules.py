"""What the DAG's schedule did: yesterday at six, retried, and nothing made up for."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml
from worlds.places import ROOT

from feature_platform.errors import RepoError

if TYPE_CHECKING:
    from worlds.samples import Sample

VIEWS = """
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Int64

key = Entity(name="key")

def view(name, **tags):
    source = FileSource(name=f"{name}_source", path=f"data/{name}.parquet", timestamp_field="ts")
    schema = [Field(name="key", dtype=Int64), Field(name="value", dtype=Int64)]
    tags = {f"dagster/{tag}": value for tag, value in tags.items()}
    return FeatureView(name=name, entities=[key], schema=schema, source=source, tags=tags)

"""


@pytest.fixture(scope="module")
def repository(make_repo: Callable[..., "Sample"]) -> dg.RepositoryDefinition:
    lines = (
        'plain = view("plain")',
        'plain_too = view("plain_too", cron="0  6 * * *")',
        'early = view("early", cron="30 4 * * 1-5")',
        'listed = view("listed", cron="30 4 * * 1,5")',
        'hourly = view("hourly", partitions="hourly")',
        'rarely = view("rarely", partitions="hourly", cron="5 */6 * * *")',
    )
    return (
        make_repo({"views.py": VIEWS + "\n".join(lines)})
        .definitions(default_schedule_status=dg.DefaultScheduleStatus.RUNNING)
        .get_repository_def()
    )


def tick(repository: dg.RepositoryDefinition, name: str, moment: datetime) -> Any:
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository)
    return repository.get_schedule_def(name).evaluate_tick(context)


def views_of(repository: dg.RepositoryDefinition, job: str) -> set[str]:
    keys = repository.get_job(job).asset_layer.executable_asset_keys
    return {key.path[-1] for key in keys if key.path[1] == "feature_views"}


def test_at_six_the_daily_schedule_asks_for_yesterday(repository: dg.RepositoryDefinition):
    schedule = repository.get_schedule_def("weather_daily_schedule")
    assert schedule.cron_schedule == "0 6 * * *"
    assert schedule.execution_timezone == "UTC"
    found = tick(repository, schedule.name, datetime(2026, 3, 15, 6, tzinfo=UTC))
    [request] = found.run_requests
    assert request.partition_key == "2026-03-14"


def test_at_quarter_past_the_hourly_schedule_asks_for_the_hour_that_ended(
    repository: dg.RepositoryDefinition,
):
    schedule = repository.get_schedule_def("weather_hourly_schedule")
    assert schedule.cron_schedule == "15 * * * *"
    found = tick(repository, schedule.name, datetime(2026, 3, 15, 7, 15, tzinfo=UTC))
    assert [each.partition_key for each in found.run_requests] == ["2026-03-15-06:00"]


def test_before_the_first_partition_is_complete_a_tick_says_why_it_skips(
    repository: dg.RepositoryDefinition,
):
    found = tick(repository, "weather_daily_schedule", datetime(2026, 3, 1, 6, tzinfo=UTC))
    assert found.run_requests == []
    assert "no daily partition is complete" in found.skip_message


def test_each_cron_has_a_job_of_its_own(repository: dg.RepositoryDefinition):
    crons = {each.job_name: each.cron_schedule for each in repository.schedule_defs}
    assert crons == {
        "weather_daily": "0 6 * * *",
        "weather_daily_30_4_x_x_1to5": "30 4 * * 1-5",
        "weather_daily_30_4_x_x_1and5": "30 4 * * 1,5",
        "weather_hourly": "15 * * * *",
        "weather_hourly_5_xby6_x_x_x": "5 */6 * * *",
    }
    # However many blanks there are in a tag.
    assert views_of(repository, "weather_daily") == {"plain", "plain_too"}
    assert views_of(repository, "weather_daily_30_4_x_x_1to5") == {"early"}


def test_a_job_takes_registry_source_view_and_all_their_checks(
    repository: dg.RepositoryDefinition,
):
    layer = repository.get_job("weather_hourly").asset_layer
    assert {"/".join(key.path[1:]) for key in layer.executable_asset_keys} == {
        "registry",
        "sources/hourly_source",
        "feature_views/hourly",
        "drift/hourly",
    }
    checks = {(key.asset_key.path[-1], key.name) for key in layer.asset_graph.asset_check_keys}
    assert ("hourly_source", "keys") in checks
    assert ("hourly", "online_equals_offline") in checks
    assert ("registry", "registry_matches_repo") in checks


def test_schedules_start_as_they_are_told(
    repository: dg.RepositoryDefinition, make_repo: Callable[..., "Sample"]
):
    status = dg.DefaultScheduleStatus
    assert {each.default_status for each in repository.schedule_defs} == {status.RUNNING}
    stopped = make_repo({"views.py": VIEWS + 'plain = view("plain")'}).definitions()
    assert {each.default_status for each in stopped.schedules} == {status.STOPPED}


def test_there_need_be_no_schedules(make_repo: Callable[..., "Sample"]):
    found = make_repo({"views.py": VIEWS + 'plain = view("plain")'}).definitions(schedules=False)
    assert not found.schedules
    assert not found.jobs


def test_a_step_is_tried_three_times_more_five_minutes_apart(repository: dg.RepositoryDefinition):
    for op in ("weather__feature_views__plain", "weather__sources__plain_source"):
        policy = repository.get_job("weather_daily").graph.node_dict[op].definition.retry_policy
        assert policy.max_retries == 3
        assert policy.delay == 300


def test_each_view_has_a_pool_of_its_own(repository: dg.RepositoryDefinition):
    ops = repository.get_job("weather_daily").graph.node_dict
    pools = {
        ops[f"weather__feature_views__{each}"].definition.pool
        for each in views_of(repository, "weather_daily")
    }
    assert pools == {"weather/feature_views/plain", "weather/feature_views/plain_too"}


@pytest.mark.parametrize("cron", ["6 o'clock", "0 6 * *", "61 6 * * *", "0 6 * * * * *"])
def test_a_cron_that_is_none_names_view_value_and_remedy(
    cron: str, make_repo: Callable[..., "Sample"]
):
    sample = make_repo({"views.py": VIEWS + f'plain = view("plain", cron="{cron}")'})
    with pytest.raises(RepoError) as caught:
        sample.definitions()
    assert str(caught.value) == (
        f"feature view 'plain': tag 'dagster/cron' is '{cron}', which is not a cron expression; "
        "use five fields, such as '0 6 * * *' (UTC)"
    )


def test_a_project_whose_name_has_hyphens_gets_names_that_dagster_takes():
    from feature_platform.orchestration.repairs.schedules import _name

    assert _name("my-project", "daily", "") == "my_project_daily"


def test_the_instance_of_this_repo_makes_up_for_nothing_and_lets_a_view_write_once_at_a_time(
    tmp_path: Path,
):
    text = (ROOT / "dagster_home" / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.scheduler.max_catchup_runs == 0
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        assert instance.run_monitoring_enabled
        # Else a killed run keeps the pool of its view for ever.
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
    assert yaml.safe_load(text)["telemetry"]["enabled"] is False
