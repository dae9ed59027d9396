"""`build_feast_definitions` as a whole."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from worlds.automation.daemon import location
from worlds.places import SAMPLE_REPOS

from feature_platform import EntityRows, FeastProject, build_feast_definitions
from feature_platform.errors import RepoError
from feature_platform.orchestration.validation.check_declarations import FRESH, TTL
from feature_platform.orchestration.watch.automation_settings import AutomationSettings

if TYPE_CHECKING:
    from worlds.samples import Sample


def test_two_repos_live_in_one_code_location(make_sample: Callable[..., "Sample"]):
    merged = dg.Definitions.merge(
        *(
            build_feast_definitions(make_sample(shape).project, "2026-03-01")
            for shape in ("shared_source", "no_entities")
        )
    )
    repository = merged.get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} >= {
        "clickstream_daily",
        "weather_daily",
    }


@pytest.mark.parametrize("date", ["2026-02-30", "01.03.2026", "2026-03", ""])
def test_a_start_date_that_is_no_day_is_refused(date: str, make_sample: Callable[..., "Sample"]):
    with pytest.raises(RepoError) as caught:
        build_feast_definitions(make_sample("no_entities").project, start_date=date)
    assert str(caught.value) == f"start date: '{date}' is not a day; write it as YYYY-MM-DD"


def test_a_start_date_in_the_future_is_refused(make_sample: Callable[..., "Sample"]):
    project = make_sample("no_entities").project
    today = datetime.now(UTC).date()
    assert build_feast_definitions(project, str(today - timedelta(days=1)))
    later = str(today + timedelta(days=2))
    with pytest.raises(
        RepoError, match=f"start date: '{later}' is in the future .today is "
    ) as told:
        build_feast_definitions(project, later)
    assert told.value.remedy == "use the first day of which the sources have rows"


@pytest.mark.parametrize(
    ("automation", "there"),
    [(None, True), (AutomationSettings(), True), (AutomationSettings(freshness=False), False)],
)
def test_freshness_and_ttl_are_checked_with_automation_or_without(
    automation: AutomationSettings | None, *, there: bool, make_sample: Callable[..., "Sample"]
):
    definitions = make_sample("shared_source").definitions(automation=automation)
    graph = definitions.get_repository_def().asset_graph
    found = {(key.asset_key.path[-1], key.name) for key in graph.asset_check_keys}
    for view in ("activity", "spending"):
        for check in (FRESH, TTL):
            assert ((view, check.name) in found) is there


def test_partitions_begin_with_the_start_date(make_sample: Callable[..., "Sample"]):
    definitions = build_feast_definitions(make_sample("no_entities").project, "2025-12-24")
    specs = {spec.key.path[-1]: spec for spec in definitions.resolve_all_asset_specs()}
    assert specs["weather_now"].partitions_def.get_first_partition_key() == "2025-12-24"


def test_sources_and_their_checks_run_in_one_step_each(make_sample: Callable[..., "Sample"]):
    definitions = make_sample("shared_source").definitions()
    repository = definitions.get_repository_def()
    steps = set(repository.get_job("clickstream_daily").graph.node_dict)
    assert steps == {
        "clickstream__registry",
        "clickstream__registry_registry_matches_repo",
        "clickstream__sources__clicks",
        "clickstream__sources__clicks__checks",
        "clickstream__feature_views__activity",
        "clickstream__feature_views__activity__online_equals_offline",
        "clickstream__feature_views__spending",
        "clickstream__feature_views__spending__online_equals_offline",
        "clickstream__drift__activity",
        "clickstream__drift__spending",
        "clickstream__freshness",
    }


def test_checks_of_sources_block_and_those_of_views_do_not(make_sample: Callable[..., "Sample"]):
    definitions = make_sample("shared_source").definitions()
    graph = definitions.get_repository_def().asset_graph
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking == {"schema", "keys", "event_time", "numbers", "row_count"}


def test_a_repo_without_views_still_has_its_registry(make_repo: Callable[..., "Sample"]):
    sample = make_repo({"entities.py": 'from feast import Entity\nkey = Entity(name="key")\n'})
    assert set(sample.specs()) == {"registry"}
    assert sample.run("registry").success


def test_a_project_is_named_once(make_sample: Callable[..., "Sample"]):
    project = FeastProject(make_sample("no_entities").repo)
    assert repr(project) == f"FeastProject({str(project.repo_dir)!r}, profile=None)"


@pytest.mark.parametrize("shape", sorted(each.name for each in SAMPLE_REPOS.iterdir()))
def test_whatever_can_be_materialized_takes_a_range_of_partitions_in_one_run(
    shape: str, make_sample: Callable[..., "Sample"]
):
    """Dagster's ``--partition-range`` refuses a selection with one asset that does not."""
    sample = make_sample(shape)
    rows = EntityRows(path="data/labels.parquet", timestamp="at")
    sets = dict.fromkeys(sample.project.services, rows)
    graph = sample.definitions(training_sets=sets).resolve_asset_graph()
    policies = {
        key.to_user_string(): graph.get(key).backfill_policy
        for key in graph.materializable_asset_keys
    }
    assert policies
    assert set(policies.values()) == {dg.BackfillPolicy.single_run()}


@pytest.mark.slow
def test_dagsters_own_command_materializes_a_range_with_the_registry_in_the_selection(
    make_sample: Callable[..., "Sample"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from click.testing import CliRunner
    from dagster._cli.asset import asset_materialize_command

    sample = make_sample("field_mappings")
    file = tmp_path / "location.py"
    file.write_text(location(sample.repo, "schedules=False, retry_policy=None"))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    options = ["-f", str(file), "--partition-range", "2026-03-01...2026-03-03"]
    keys = [sample.key(name) for name in ("registry", "sources/voorraad", "feature_views/stock")]
    select = " or ".join(f'key:"{key.to_user_string()}"' for key in keys)
    result = CliRunner().invoke(asset_materialize_command, ["--select", select, *options])
    assert result.exit_code == 0, result.output
    assert sample.windows("stock") == ["2026-03-01..2026-03-04"]
