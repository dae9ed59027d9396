"""A Feast repo on disk: configuration, contents, code locations."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_platform import FeastProject
from feature_platform.errors import MissingPackageError, RepoError
from feature_platform.repo.inference import inferred, with_all_keys

if TYPE_CHECKING:
    from worlds.samples import Sample

SIMPLE = """
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Int64

key = Entity(name="key", join_keys=["key_id"])
table = FileSource(name="table", path="data/table.parquet", timestamp_field="ts")
view = FeatureView(
    name="view", entities=[key], schema=[Field(name="value", dtype=Int64)], source=table
)
"""


def test_two_repos_with_modules_of_one_name_do_not_mix(make_repo: Callable[..., "Sample"]):
    one = make_repo({"features.py": SIMPLE})
    other = make_repo({"features.py": SIMPLE.replace('"view"', '"another"')})
    assert set(one.project.views) == {"view"}
    assert set(other.project.views) == {"another"}
    assert set(one.project.views) == {"view"}


def test_a_repo_imports_its_own_modules_and_packages(make_repo: Callable[..., "Sample"]):
    sample = make_repo(
        {
            "names.py": 'NAME = "from_a_module"\n',
            "parts/__init__.py": "",
            "parts/source.py": "from feast import FileSource\n"
            'table = FileSource(name="t", path="data/t.parquet", timestamp_field="ts")\n',
            "features.py": SIMPLE.replace(
                'table = FileSource(name="table", path="data/table.parquet", timestamp_field="ts")',
                "from names import NAME\nfrom parts.source import table",
            ).replace('name="view"', "name=NAME"),
        }
    )
    assert set(sample.project.views) == {"from_a_module"}
    assert set(sample.project.sources) == {"t"}


def test_reading_a_repo_leaves_directory_path_and_environment_as_they_were(
    make_repo: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    import sys

    monkeypatch.delenv("FEAST_FS_YAML_FILE_PATH", raising=False)
    sample = make_repo({"features.py": SIMPLE})
    before = Path.cwd(), list(sys.path), "features" in sys.modules
    assert sample.project.contents.feature_views
    assert (Path.cwd(), list(sys.path), "features" in sys.modules) == before
    assert "FEAST_FS_YAML_FILE_PATH" not in os.environ


def test_a_profile_is_a_file_of_its_own_that_the_repo_can_ask_for(
    make_repo: Callable[..., "Sample"],
):
    sample = make_repo(
        {
            "features.py": SIMPLE.replace(
                'name="view"', 'name=os.environ["FEAST_FS_YAML_FILE_PATH"].split(".")[-2]'
            ).replace("\nfrom feast import", "\nimport os\nfrom feast import", 1),
        }
    )
    embedded = (sample.repo / "feature_store.yaml").read_text()
    (sample.repo / "feature_store.other.yaml").write_text(embedded.replace("weather", "storm"))
    project = FeastProject(sample.repo, profile="other")
    assert project.name == "storm"
    assert project.profiles == ["other"]
    assert set(project.views) == {"other"}


def test_a_project_crosses_process_borders_as_its_folder_and_profile(
    make_repo: Callable[..., "Sample"],
):
    project = make_repo({"features.py": SIMPLE}).project
    assert project.views
    again = pickle.loads(pickle.dumps(project))  # noqa: S301  our own bytes
    assert (again.repo_dir, again.profile) == (project.repo_dir, project.profile)


def test_a_file_registry_lies_in_the_repo_wherever_the_process_is(
    make_repo: Callable[..., "Sample"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sample = make_repo({"features.py": SIMPLE})
    monkeypatch.chdir(tmp_path)
    sample.project.store().registry.list_feature_views("weather", allow_cache=False)
    assert list(tmp_path.iterdir()) == []
    assert (sample.repo / "data/registry.db").is_file()


def test_a_relative_sqlite_registry_lies_in_the_repo_too(make_sample: Callable[..., "Sample"]):
    sample = make_sample("unnamed_sources")
    assert sample.project.config.registry.path == f"sqlite:///{sample.repo}/data/registry.sqlite"


def test_reading_the_configuration_makes_no_folder(make_sample: Callable[..., "Sample"]):
    sample = make_sample("unnamed_sources", tables=False)
    assert sample.project.config.project == "bakery"
    assert "data" not in sample.files()


def test_a_home_folder_is_understood(
    make_repo: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    sample = make_repo({"features.py": SIMPLE})
    monkeypatch.setenv("HOME", str(sample.repo.parent))
    assert FeastProject("~/repo").repo_dir == sample.repo.resolve()


@pytest.mark.parametrize(
    ("section", "module", "extra"),
    [
        ("online_store:\n  type: redis", "redis", "redis"),
        ("offline_store:\n  type: postgres", "psycopg", "postgres"),
        ("online_store:\n  type: dynamodb", "boto3", "aws"),
        ("offline_store:\n  type: bigquery", "google.cloud.bigquery", "gcp"),
        ("registry: gs://bucket/registry.db", "google.cloud.storage", "gcp"),
        ("registry:\n  path: s3://bucket/registry.db", "boto3", "aws"),
        ("registry:\n  path: postgresql+psycopg://db/feast", "psycopg", "postgres"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    section: str,
    module: str,
    extra: str,
    make_repo: Callable[..., "Sample"],
    monkeypatch: pytest.MonkeyPatch,
):
    import sys

    sample = make_repo({"feature_store.yaml": f"project: p\nprovider: local\n{section}\n"})
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError) as caught:
        _ = sample.project.config
    assert f"needs the package {module}, which is not installed" in str(caught.value)
    assert caught.value.remedy == f"pip install 'feature-platform[{extra}]'"


def test_two_suites_for_one_source_are_one_too_many(make_repo: Callable[..., "Sample"]):
    sample = make_repo(
        {"features.py": SIMPLE, "expectations/table.json": "", "expectations/table.yaml": ""}
    )
    with pytest.raises(
        RepoError, match=r"has 2 suites: table\.json, table\.yaml; keep one of them"
    ):
        sample.project.suite_file("table")


def test_the_sql_and_the_suite_of_a_source_are_found_by_its_name(
    make_repo: Callable[..., "Sample"],
):
    sample = make_repo(
        {
            "features.py": SIMPLE,
            "sql/table.sql": "SELECT 1",
            "expectations/table.yml": "",
        }
    )
    assert sample.project.sql_file("table") == sample.repo / "sql/table.sql"
    assert sample.project.suite_file("table") == sample.repo / "expectations/table.yml"
    assert sample.project.sql_file("data/table.parquet") is None


def test_a_suite_that_is_named_after_no_source_is_refused(make_repo: Callable[..., "Sample"]):
    sample = make_repo({"features.py": SIMPLE, "expectations/tabel.yml": ""})
    with pytest.raises(RepoError, match="has no source 'tabel'"):
        sample.project.suite_file("table")


def test_objects_of_one_name_are_found_where_each_is_defined(make_repo: Callable[..., "Sample"]):
    text = (
        SIMPLE.replace('name="table"', 'name="same"')
        .replace('name="view"', 'name="same"')
        .replace('name="value"', 'name="same"')
        .replace('name="key"', 'name="same"')
    )
    text += "\nfrom feast import FeatureService\n"
    text += 'service = FeatureService(name="same", features=[view])\n'
    sample = make_repo({"features.py": text})
    lines = text.splitlines()

    def line(kind: str) -> str:
        location = sample.project.code_location(kind, "same")
        assert location is not None
        assert location.path == sample.repo / "features.py"
        return lines[location.line - 1]

    assert line("source").startswith("table = FileSource(")
    assert line("feature_view").startswith("view = FeatureView(")
    assert line("feature_service").startswith("service = FeatureService(")


def test_what_a_helper_of_the_repo_defines_is_found_at_its_call(
    make_repo: Callable[..., "Sample"],
):
    text = SIMPLE.replace("table = FileSource(", "make = FileSource\ntable = make(")
    sample = make_repo({"features.py": text})
    location = sample.project.code_location("source", "table")
    assert location is not None
    assert text.splitlines()[location.line - 1].startswith("table = make(")


def test_a_feature_is_no_definition_of_a_view_of_its_name(make_repo: Callable[..., "Sample"]):
    sample = make_repo({"features.py": SIMPLE})
    assert sample.project.code_location("feature_view", "value") is None


def write(sample: "Sample", **columns: pa.Array) -> None:
    path = sample.repo / "data/table.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_the_type_of_an_undeclared_key_is_read_off_the_table(make_repo: Callable[..., "Sample"]):
    sample = make_repo({"features.py": SIMPLE})
    write(
        sample,
        key_id=pa.array(["a"]),
        value=pa.array([1]),
        ts=pa.array([0], pa.timestamp("us")),
    )
    [column] = sample.project.views["view"].entity_columns
    assert (column.name, str(column.dtype)) == ("key_id", "String")
    # The registry is told as well: nothing remains to be inferred.
    [view] = sample.project.contents.feature_views
    assert [each.name for each in view.entity_columns] == ["key_id"]


def test_an_unknown_key_type_is_kept_from_the_registry(make_repo: Callable[..., "Sample"]):
    project = make_repo({"features.py": SIMPLE}).project
    [view] = project.contents.feature_views
    assert view.entity_columns == []
    assert [str(each.dtype) for each in project.views["view"].entity_columns] == ["Invalid"]


def test_a_complete_view_is_left_as_it_is(make_repo: Callable[..., "Sample"]):
    text = SIMPLE.replace(
        'schema=[Field(name="value"',
        'schema=[Field(name="key_id", dtype=Int64), Field(name="value"',
    )
    project = make_repo({"features.py": text}).project
    [view] = project.contents.feature_views
    assert inferred(view, project.contents.entities, project.config) is view
    assert with_all_keys(view, project.contents.entities) is view


def test_two_columns_that_may_be_the_time_leave_it_open(make_repo: Callable[..., "Sample"]):
    sample = make_repo({"features.py": SIMPLE.replace(', timestamp_field="ts"', "")})
    moment = pa.array([0], pa.timestamp("us"))
    write(sample, key_id=pa.array([1]), value=pa.array([1]), ts=moment, seen=moment)
    assert sample.project.views["view"].batch_source.timestamp_field == ""
    assert "no timestamp_field is declared" in sample.graph.views["view"].refusal
