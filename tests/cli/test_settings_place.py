"""What a code location was built with is what every command sees."""

import json
import os
import re
import runpy
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.types.loadable_target_origin import (
    LoadableTargetOrigin,
    enter_loadable_target_origin_load_context,
)
from dagster_shared.serdes import serialize_value

from feature_platform import DagsterFeastTranslator, FeastProject, build_feast_definitions
from feature_platform.cli import main
from feature_platform.cli.find_place import find_place
from feature_platform.orchestration.alerting.alert_sensor import definitions_options
from feature_platform.orchestration.code_location import feast_code_locations
from feature_platform.orchestration.runs.instance import dagster_instance

if TYPE_CHECKING:
    from conftest import Sample

    from feature_platform.orchestration.code_location import FeastCodeLocation

OURS = """\
from feature_platform import (
    AutomationSettings, DagsterFeastTranslator, DriftSettings, EntityRows, FeastProject,
    build_feast_definitions,
)


class Ours(DagsterFeastTranslator):
    def get_asset_spec(self, data):
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(key=spec.key.with_prefix("ours"))


"""
FIRST = datetime(2026, 3, 1, 9, tzinfo=UTC)
DAY = ("--start", "2026-03-02", "--end", "2026-03-03")


@dataclass
class World:
    """A project folder that commands are typed in, beside a Feast repo."""

    folder: Path
    sample: "Sample"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def defs(self, more: str = "translator=Ours()", name: str = "defs.py") -> Path:
        """A file with the repo's definitions."""
        repo = f"FeastProject({str(self.sample.repo)!r})"
        return self.write(
            name, f"{OURS}defs = build_feast_definitions({repo}, '2026-03-01', {more})\n"
        )

    def run(self, command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, [command, *arguments], catch_exceptions=False)

    def well(self, command: str, *arguments: str) -> Any:
        """The JSON of a command whose exit code is 0."""
        result = self.run(command, "--json", *arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def refused(self, *arguments: str, command: str = "status") -> str:
        """The one line of a command that could not be done."""
        result = self.run(command, *arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        [line] = [each for each in result.stderr.splitlines() if not each.startswith("settings: ")]
        return line.removeprefix("error: ")

    def load(self, **typed: str) -> "FeastCodeLocation":
        """What a command with these options would see."""
        place = find_place(typed, {}, Path.cwd())
        with place.importable():
            return place.load()

    def windows(self, *arguments: str) -> Mapping[str, str]:
        """Partition key to state, as ``status`` has them."""
        result = self.run("status", "--json", "--windows", "400", *arguments)
        [found] = json.loads(result.stdout)
        return {each["key"]: each["state"] for each in found["windows"]}


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_sample: Callable[..., "Sample"]
) -> World:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return World(folder, make_sample("field_mappings"))


@pytest.fixture
def other(make_sample: Callable[..., "Sample"]) -> "Sample":
    """A second project."""
    return make_sample("no_entities")


def recorded_assets() -> set[str]:
    """The assets that anything is on record of."""
    with dagster_instance() as instance:
        return {key.to_user_string() for key in instance.all_asset_keys()}


# What is in the definitions counts.


def test_the_command_of_an_alert_ends_it_though_the_asset_has_a_key_of_its_own(
    world: World, caplog: pytest.LogCaptureFixture
):
    world.write("alerts.yaml", "routes:\n  - to: log\n")
    file = world.defs("translator=Ours(), alerts='alerts.yaml'")
    with enter_loadable_target_origin_load_context(LoadableTargetOrigin(python_file=str(file))):
        defs, again = (runpy.run_path(str(file))["defs"] for _ in range(2))
    [sensor] = defs.sensors

    def incidents() -> str:
        with dagster_instance() as instance:
            context = dg.build_sensor_context(instance=instance, definitions=defs)
            return str(sensor.evaluate_tick(context).skip_message).partition(" incidents")[0]

    assert incidents() == "0"  # the alert sensor begins with what is new
    path = world.sample.repo / "data/voorraad.parquet"
    whole, table = path.read_bytes(), pq.read_table(path)
    rows = table.to_pylist()
    next(row for row in rows if row["aantal"] == 101)["artikel"] = None
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    selection = dg.AssetSelection.assets("ours/warehouse_stock/sources/voorraad")
    job = dg.define_asset_job("source", selection)
    run = dg.Definitions.merge(again, dg.Definitions(jobs=[job])).resolve_job_def("source")
    with dagster_instance() as instance:
        result = run.execute_in_process(
            instance=instance, partition_key="2026-03-02", raise_on_error=False
        )
    assert not result.success
    assert incidents() == "1"
    [command] = re.findall(r"(?m)^Repair: feature-platform (.*)$", caplog.text)
    assert command == (
        "materialize -f defs.py --project warehouse_stock --view stock "
        "--start 2026-03-02 --end 2026-03-03"
    )
    path.write_bytes(whole)
    assert world.run(*shlex.split(command)).exit_code == 0
    assert incidents() == "0"
    assert all(key.startswith("ours/") for key in recorded_assets())
    assert world.windows("-f", "defs.py")["2026-03-02"] == "complete"


def test_each_command_finds_what_the_real_assets_have_on_record(world: World):
    world.defs("translator=Ours(), automation=AutomationSettings(windows_a_run=1)")
    world.well("materialize", "-f", "defs.py", *DAY)
    [before] = json.loads(world.run("status", "-f", "defs.py", "--json").stdout)
    assert before["online"]["keys"] == 4  # the newest run counted them
    told = world.well("metrics", "-f", "defs.py")
    checked = {
        each["labels"]["asset"] for each in told if each["name"] == "feature_platform_check_passed"
    }
    assert checked == {
        f"ours/warehouse_stock/{name}"
        for name in ("registry", "sources/voorraad", "feature_views/stock")
    }
    plan = json.loads(world.run("plan", "-f", "defs.py", "--cause", "gap", "--json").stdout)
    assert {run["windows"] for each in plan for run in each["runs"]} == {1}
    # The newest window is empty, which its source's checks refuse.
    filled = world.run("backfill", "-f", "defs.py", "--cause", "gap", "--max-runs", "1", "--json")
    assert filled.exit_code == 1
    [report] = json.loads(filled.stdout)
    assert "ours/warehouse_stock/sources/voorraad" in report["assets"]
    rebuilt = world.well("rebuild-online", "-f", "defs.py")
    assert [each["equal"] for each in rebuilt] == [True]
    world.run("drift", "-f", "defs.py", "--view", "stock", "--date", "2026-03-02", "--record")
    assert {key.split("/")[0] for key in recorded_assets()} == {"ours"}
    verdict = dg.AssetCheckKey(dg.AssetKey(["ours", "warehouse_stock", "drift", "stock"]), "drift")
    with dagster_instance() as instance:
        storage = instance.event_log_storage
        assert storage.get_asset_check_execution_history(verdict, limit=1)


def test_drift_settings_that_are_given_in_code_are_those_of_the_command_line(world: World):
    reference = "{'reference': {'trailing': {'days': 9, 'gap': 0, 'at_least': 5}}}"
    project = f"FeastProject({str(world.sample.repo)!r})"
    world.defs(f"drift=DriftSettings.parse({{'default': {reference}}}, {project})")
    world.well("materialize", "-f", "defs.py", *DAY)
    drift = ("drift", "--view", "stock", "--date", "2026-03-02")
    typed = world.run(*drift, "-f", "defs.py")
    assert "; judged by drift= of the definitions" in typed.stdout
    assert "0 of the 9 windows before it are online" in typed.stdout
    assert typed.stderr == ""
    again = world.run(*drift, "--repo", str(world.sample.repo), "--start-date", "2026-03-01")
    assert "; judged by the defaults, there is no drift.yaml" in again.stdout
    assert "0 of the 56 windows before it are online" in again.stdout
    assert "was judged before by other settings" in again.stderr


def test_alerts_are_counted_in_the_file_that_their_routes_name(world: World):
    routes = world.write("alerts.yaml", "state: kept/alerts.sqlite\nroutes:\n  - to: log\n")
    world.defs(f"alerts={str(routes)!r}")
    defs = runpy.run_path("defs.py")["defs"]
    with dagster_instance() as instance:
        context = dg.build_sensor_context(instance=instance, definitions=defs)
        defs.sensors[0].evaluate_tick(context)
    assert (world.folder / "kept/alerts.sqlite").exists()
    names = {each["name"] for each in world.well("metrics", "-f", "defs.py")}
    assert "feature_platform_alerts_looked_timestamp_seconds" in names


def test_a_training_set_of_the_definitions_needs_no_further_option(
    world: World, make_sample: Callable[..., "Sample"]
):
    world.sample = make_sample("composite_entities")
    rows = [{"rider_id": 1, "city_code": "SEL", "at": FIRST, "churned": True}]
    pq.write_table(pa.Table.from_pylist(rows), world.sample.repo / "labels.parquet")
    examples = "EntityRows(path='labels.parquet', timestamp='at', label='churned')"
    world.defs(f"training_sets={{'pricing': {examples}}}, training_sets_dir='kept'")
    made = world.well("training-set", "-f", "defs.py", "--service", "pricing")
    assert made["rows"] == 1
    assert Path(made["data"]).is_relative_to(world.sample.repo / "kept")
    assert world.refused(
        "-f", "defs.py", "--service", "pricing", "--label", "x", command="training-set"
    ).endswith(
        "--timestamp, --label and --known-by are for --entities; add --entities, or leave them out"
    )
    assert "say where its entity rows come from; add --entities" in world.refused(
        "--repo", str(world.sample.repo), "--service", "pricing", command="training-set"
    )


def test_a_training_set_in_windows_is_left_to_its_asset(
    world: World, make_sample: Callable[..., "Sample"]
):
    world.sample = make_sample("composite_entities")
    world.defs("training_sets={'pricing': EntityRows(path='x', partitions='daily')}")
    assert world.refused("-f", "defs.py", "--service", "pricing", command="training-set") == (
        "training set of 'pricing': is made in daily windows; materialize its asset, or add "
        "--entities for one snapshot"
    )


def test_doctor_examines_what_the_code_location_is_built_with(world: World):
    world.defs()
    findings = world.well("doctor", "-f", "defs.py")
    said = {each["subject"]: each["said"] for each in findings}
    assert said["settings"] == "file 'defs.py', partitions from 2026-03-01"
    assert said["definitions"] == "1 sources, 1 feature views, 0 services"
    world.defs("alerts='nowhere.yaml'")
    result = world.run("doctor", "-f", "defs.py", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)[-1]
    assert found["subject"] == "definitions"
    assert "nowhere.yaml" in found["said"]


# Where the definitions are.


def test_a_module_is_imported_from_the_working_directory(world: World):
    world.defs(name="code/features_of_m/location.py")
    world.write("code/features_of_m/__init__.py", "")
    location = world.load(module_name="features_of_m.location", working_directory="code")
    assert type(location.translator).__name__ == "Ours"
    assert location.start_date == "2026-03-01"


def test_a_file_may_import_its_neighbours_while_the_command_runs(world: World):
    text = world.defs(name="translator_of_f.py").read_text().partition("defs = ")
    world.write("translator_of_f.py", text[0])
    world.write("defs.py", "from translator_of_f import *\n" + "".join(text[1:]))
    assert type(world.load(python_file="defs.py").translator).__name__ == "Ours"


@pytest.mark.parametrize("place", ["file = 'code/defs.py'", "module = 'code_of_toml.defs'"])
@pytest.mark.parametrize("cwd", [".", "notebooks/drafts"])
def test_the_nearest_pyproject_names_them(
    place: str, cwd: str, world: World, monkeypatch: pytest.MonkeyPatch
):
    world.defs(name="code/defs.py")
    world.defs(name="code_of_toml/defs.py")
    world.write("pyproject.toml", f"[tool.feature_platform]\n{place}\n")
    (world.folder / cwd).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(world.folder / cwd)
    assert type(world.load().translator).__name__ == "Ours"


def test_the_nearest_pyproject_may_name_a_repo_with_its_flags(world: World):
    (world.folder / "shop").symlink_to(world.sample.repo.parent)
    (world.sample.repo / "feature_store.eu.yaml").write_text(
        (world.sample.repo / "feature_store.yaml").read_text()
    )
    world.write(
        "pyproject.toml",
        "[tool.feature_platform]\n"
        f"repo = 'shop/{world.sample.repo.name}'\nprofile = 'eu'\nstart_date = 2026-03-02\n",
    )
    location = world.load()
    assert location.project.repo_dir == world.sample.repo
    assert (location.project.profile, location.start_date) == ("eu", "2026-03-02")
    assert world.load(start_date="2026-03-03").start_date == "2026-03-03"
    # What is typed wins, without the keys beside it.
    location = world.load(repo=str(world.sample.repo))
    assert (location.project.profile, location.start_date) == (None, "2026-01-01")


def test_a_pyproject_of_dagster_is_read_as_dagster_reads_it(world: World):
    world.defs(name="features_of_dagster.py")
    world.write("pyproject.toml", "[tool.dagster]\nmodule_name = 'features_of_dagster'\n")
    assert type(world.load().translator).__name__ == "Ours"


COMPONENT = """\
from feature_platform import FeastRepoComponent
from feature_platform import DagsterFeastTranslator


class Ours(DagsterFeastTranslator):
    pass


class OurComponent(FeastRepoComponent):
    def get_translator(self):
        return Ours()
"""


@pytest.mark.parametrize("shape", ["defs", "module", "autoload", "dg.toml"])
def test_a_dg_project_is_loaded_with_its_components(shape: str, world: World):
    package = f"shop_of_{shape.replace('.', '_')}"
    lines = f"root_module = '{package}'\n" + "autoload_defs = true\n" * (shape == "autoload")
    if shape == "dg.toml":
        world.write("dg.toml", f"directory_type = 'project'\n[project]\n{lines}")
        world.write("pyproject.toml", "[project]\nname = 'shop'\n")
    else:
        world.write(
            "pyproject.toml",
            f"[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\n{lines}",
        )
    world.write(f"src/{package}/__init__.py", "")
    world.write(f"src/{package}/ours.py", COMPONENT)
    world.write(f"src/{package}/defs/__init__.py", "")
    world.write(
        f"src/{package}/defs/features/defs.yaml",
        f"type: {package}.ours.OurComponent\nattributes:\n"
        f"  repo_dir: {world.sample.repo}\n  start_date: '2026-03-01'\n"
        "  automation: {grace: 1h}\n",
    )
    if shape == "module":
        world.write(
            f"src/{package}/definitions.py",
            "from pathlib import Path\nimport dagster as dg\n\n\n@dg.definitions\ndef defs():\n"
            "    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n",
        )
    location = world.load()
    assert type(location.translator).__name__ == "Ours"
    assert location.start_date == "2026-03-01"
    assert location.automation is not None
    assert location.automation.grace.total_seconds() == 3600


def test_the_place_is_said_where_nobody_typed_it(world: World):
    world.defs()
    world.write("pyproject.toml", "[tool.feature_platform]\nfile = 'defs.py'\n")
    source = f"{world.folder / 'pyproject.toml'} [tool.feature_platform]"
    assert world.run("plan").stderr.splitlines()[0] == f"settings: {source}"
    repo = str(world.sample.repo)
    typed = world.run("plan", "--repo", repo).stderr.splitlines()
    assert typed[0] == f"settings: --repo {repo}, not {source}"
    assert world.run("plan", "-f", "defs.py").stderr == ""
    assert world.run("plan", "--json").stderr == ""


def test_a_variable_names_the_repo_before_the_pyproject_does(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.write("pyproject.toml", "[tool.feature_platform]\nfile = 'nowhere.py'\n")
    monkeypatch.setenv("FEATURE_PLATFORM_REPO", str(world.sample.repo))
    assert world.run("plan").exit_code == 1
    world.defs()
    assert world.run("plan", "-f", "defs.py").exit_code == 1  # and what is typed before both


def test_another_profile_of_the_same_definitions(world: World):
    world.defs()
    (world.sample.repo / "feature_store.eu.yaml").write_text(
        (world.sample.repo / "feature_store.yaml").read_text()
    )
    location = world.load(python_file="defs.py", profile="eu")
    assert location.project.profile == "eu"
    assert type(location.translator).__name__ == "Ours"
    assert "has no feature_store.us.yaml; choose one of: eu" in world.refused(
        "-f", "defs.py", "--profile", "us"
    )


# Definitions that are merged, and that other processes see.


def test_merged_definitions_keep_their_projects(world: World, other: "Sample"):
    world.write(
        "defs.py",
        "import dagster as dg\n"
        "from feature_platform import FeastProject, build_feast_definitions\n"
        f"stock = build_feast_definitions(FeastProject({str(world.sample.repo)!r}), '2026-03-01')\n"
        f"wind = build_feast_definitions(FeastProject({str(other.repo)!r}), '2026-03-02')\n"
        "@dg.asset\ndef mine(): ...\n"
        "defs = dg.Definitions.merge(stock, wind, dg.Definitions(assets=[mine]))\n",
    )
    assert world.load(python_file="defs.py", project="weather").start_date == "2026-03-02"
    assert world.load(python_file="defs.py", project="warehouse_stock").start_date == "2026-03-01"
    assert world.refused("-f", "defs.py") == (
        "file 'defs.py': has 2 Feast projects: warehouse_stock, weather; choose one with "
        "--project NAME"
    )
    assert world.refused("-f", "defs.py", "--project", "wether") == (
        "Feast project 'wether': file 'defs.py' does not define it; choose one of: weather"
    )


def test_two_profiles_of_a_project_are_told_by_their_profile(world: World):
    repo = world.sample.repo
    lines = []
    for number, profile in enumerate(("eu", "us"), 1):
        text = (repo / "feature_store.yaml").read_text()
        (repo / f"feature_store.{profile}.yaml").write_text(text)
        project = f"FeastProject({str(repo)!r}, {profile!r})"
        lines.append(f"{profile} = build_feast_definitions({project}, '2026-03-0{number}')\n")
    world.write("defs.py", OURS + "".join(lines))
    assert world.load(python_file="defs.py", profile="us").start_date == "2026-03-02"
    assert world.refused("-f", "defs.py") == (
        "file 'defs.py': has 2 Feast projects: warehouse_stock (profile eu), warehouse_stock "
        "(profile us); choose one with --profile NAME"
    )


def test_other_processes_see_the_name_of_the_record_alone(world: World):
    defs = build_feast_definitions(FeastProject(world.sample.repo), "2026-03-01")
    [location] = feast_code_locations(defs)
    assert type(location.translator) is DagsterFeastTranslator
    sent = serialize_value(RepositorySnap.from_def(defs.get_repository_def()))
    assert '"FeastCodeLocation"' in sent
    assert "start_date" not in sent.partition("FeastCodeLocation")[2][:100]


@pytest.mark.parametrize(
    ("origin", "options"),
    [
        (LoadableTargetOrigin(python_file="code/defs.py"), "-f code/defs.py"),
        (LoadableTargetOrigin(module_name="shop.defs"), "-m shop.defs"),
        (
            LoadableTargetOrigin(module_name="shop.defs", working_directory="/srv/shop"),
            "-m shop.defs -d /srv/shop",
        ),
        (LoadableTargetOrigin(autoload_defs_module_name="shop.defs"), ""),
    ],
)
def test_commands_in_alerts_name_the_definitions_as_dagster_loads_them(
    origin: LoadableTargetOrigin, options: str
):
    with enter_loadable_target_origin_load_context(origin):
        assert definitions_options("shop") == f"{options} --project shop".strip()
    assert definitions_options("shop") is None


def test_the_environment_is_left_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DAGSTER_HOME")
    world.run("plan", "--repo", str(world.sample.repo))
    assert (world.folder / "dagster_home" / "dagster.yaml").is_file()
    assert "DAGSTER_HOME" not in os.environ


# What cannot be done.


def test_what_cannot_be_loaded_is_named_with_file_and_line(world: World):
    file = world.folder / "defs.py"
    assert world.refused("-f", "defs.py") == (
        f"file 'defs.py': there is no file {file}; give the file that `dagster dev -f` is given"
    )
    remedy = "correct it; `dagster definitions validate` shows the whole traceback"
    world.write("defs.py", "import os\nimport pandsa\n")
    assert world.refused("-f", "defs.py") == (
        "file 'defs.py': cannot be loaded: ModuleNotFoundError: No module named 'pandsa' "
        f"({file}:2); {remedy}"
    )
    world.write("defs.py", "x = (1,\n")
    assert world.refused("-f", "defs.py") == (
        f"file 'defs.py': cannot be loaded: SyntaxError: '(' was never closed (defs.py, line 1) "
        f"({file}:1); {remedy}"
    )
    world.write("broken_helper.py", "def helper():\n    return 1 / 0\n")
    world.write("defs.py", "from broken_helper import helper\n\ndefs = helper()\n")
    assert f"ZeroDivisionError: division by zero ({world.folder}/broken_helper.py:2)" in (
        world.refused("-f", "defs.py")
    )
    assert "module 'no_such_code': cannot be loaded: ModuleNotFoundError: No module named " in (
        world.refused("-m", "no_such_code")
    )
    world.write("defs.py", "import dagster as dg\ndefs = dg.Definitions()\n")
    assert world.refused("-f", "defs.py") == (
        "file 'defs.py': has no Feast project in its definitions; build one with "
        "build_feast_definitions, and merge it with dagster.Definitions.merge"
    )


def test_an_error_of_this_package_is_said_as_it_is(world: World):
    world.write(
        "defs.py",
        "from feature_platform import FeastProject, build_feast_definitions\n"
        f"defs = build_feast_definitions(FeastProject({str(world.sample.repo)!r}), '20260301')\n",
    )
    assert world.refused("-f", "defs.py") == (
        "start date: '20260301' is not a day; write it as YYYY-MM-DD"
    )


def test_a_component_that_cannot_be_built_is_named_with_its_reason(world: World):
    package = "shop_of_errors"
    world.write("pyproject.toml", f"[tool.dg.project]\nroot_module = '{package}'\n")
    world.write(f"{package}/__init__.py", "")
    world.write(f"{package}/defs/__init__.py", "")
    yaml = (
        "type: feature_platform.component.FeastRepoComponent\nattributes:\n"
        f"  repo_dir: {world.sample.repo}\n"
    )
    world.write(f"{package}/defs/features/defs.yaml", yaml + "  start_date: March\n")
    assert world.refused() == "start date: 'March' is not a day; write it as YYYY-MM-DD"
    world.write(f"{package}/defs/features/defs.yaml", yaml + "  starts: '2026-03-01'\n")
    line = world.refused()
    assert line.startswith(f"dg project {world.folder}: cannot be loaded: ")
    assert "start_date" in line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("-f defs.py --repo x", "leave --repo out: the definitions name their repo"),
        ("-f defs.py -m defs", "name the definitions by one of them"),
        (
            "-m defs --start-date 2026-03-01",
            "leave --start-date out: the definitions have their own",
        ),
    ],
)
def test_options_that_exclude_each_other(arguments: str, line: str, world: World):
    one, other = re.findall(r"(?:^| )(-\S+)", arguments)
    assert world.refused(*arguments.split()) == (
        f"options {one} and {other}: exclude each other; {line}"
    )


@pytest.mark.parametrize("arguments", ["--project y", "--repo feature_repo --project y"])
def test_a_project_of_definitions_that_nobody_names(arguments: str, world: World):
    assert world.refused(*arguments.split()) == (
        "option --project: chooses among definitions, and repo 'feature_repo' has none; name them "
        "with -f or -m, or leave it out"
    )


def test_a_working_directory_without_definitions(world: World):
    assert world.refused("--repo", "x", "-d", "y") == (
        "option --working-directory: is for -f and -m alone; leave it out"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fiel = 'defs.py'", "has the unknown key 'fiel'; did you mean 'file'?"),
        (
            "w = 'x'",
            "has the unknown key 'w'; known: file, module, repo, project, profile, start_date",
        ),
        ("file = 3", "file is 3; write it as text, in quotes"),
        ("project = 'x'", "names no place; name exactly one of file, module and repo"),
        (
            "file = 'a.py'\nrepo = 'b'",
            "names file and repo; name exactly one of file, module and repo",
        ),
        ("file = 'a.py'\nprofile = 'b'", "profile does not go with file; leave it out"),
        ("repo = 'b'\nproject = 'c'", "project does not go with repo; leave it out"),
        (
            "repo = 'b'\nstart_date = '20260301'",
            "start_date '20260301' is not a day; write it as YYYY-MM-DD",
        ),
    ],
)
def test_a_table_of_the_pyproject_that_is_wrong(text: str, line: str, world: World):
    file = world.write("pyproject.toml", f"[tool.feature_platform]\n{text}\n")
    assert world.refused() == f"{file} [tool.feature_platform]: {line}"


def test_a_pyproject_that_is_no_toml(world: World):
    file = world.write("pyproject.toml", "[tool.feature_platform\n")
    line = world.refused()
    assert line.startswith(f"'{file}': is not TOML (")
    assert line.endswith("; correct it there")


def test_a_start_date_beside_configured_definitions(world: World):
    file = world.write("pyproject.toml", "[tool.feature_platform]\nfile = 'defs.py'\n")
    assert world.refused("--start-date", "2026-03-01") == (
        f"option --start-date: does not go with the definitions of {file} "
        "[tool.feature_platform], which have their own; leave it out, or add --repo for the repo "
        "without its definitions"
    )
