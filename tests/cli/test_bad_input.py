"""Each bad input is one line that names object, value and remedy, and leaves nothing behind."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from worlds.repos import change_table

from feature_platform.cli import main

if TYPE_CHECKING:
    from worlds.samples import Sample

WINDOW = ("--start", "2026-03-01", "--end", "2026-03-02")


@dataclass
class Shell:
    """The command line, in a working directory of its own."""

    folder: Path

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    def materialize(self, sample: "Sample", *arguments: str) -> Result:
        window = () if "--start" in arguments else WINDOW
        return self.run(
            "materialize",
            *("--repo", str(sample.repo), "--start-date", sample.start_date),
            *window,
            *arguments,
        )

    def refused(self, sample: "Sample", *arguments: str) -> str:
        """The error of a refused command: one line, exit code 2, nothing written."""
        before = sample.files()
        result = self.materialize(sample, *arguments)
        assert result.exit_code == 2, result.output
        [line] = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert sample.files() == before
        return line.removeprefix("error: ")

    def failed(self, sample: "Sample", *arguments: str) -> str:
        """What a run that was started says of its failure: exit code 1, nothing online."""
        result = self.materialize(sample, "--json", *arguments)
        assert result.exit_code == 1, result.output
        [report] = json.loads(result.stdout)
        assert not report["succeeded"]
        assert "Traceback" not in result.output
        [failure, *_] = report["failures"]
        assert "\n" not in failure
        return failure


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("REPO", "PROFILE", "START_DATE"):
        monkeypatch.delenv(f"FEATURE_PLATFORM_{name}", raising=False)
    return Shell(tmp_path)


@pytest.fixture
def stock(make_sample: Callable[..., "Sample"]) -> "Sample":
    return make_sample("field_mappings")


def edit(sample: "Sample", name: str, changes: Mapping[str, str]) -> None:
    path = sample.repo / name
    text = path.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def rewrite(sample: "Sample", change: Callable[[pa.Table], pa.Table]) -> None:
    change_table(sample.repo / "data/voorraad.parquet", change)


def test_a_repo_that_is_not_there(shell: Shell):
    result = shell.run("materialize", "--repo", "nowhere", *WINDOW)
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: feature repo 'nowhere': there is no folder {shell.folder / 'nowhere'}; "
        "give the folder that holds feature_store.yaml\n"
    )
    assert list(shell.folder.iterdir()) == []


def test_a_folder_that_is_no_repo(shell: Shell):
    result = shell.run("status", "--repo", ".")
    assert result.exit_code == 2
    assert "it has no feature_store.yaml; give the folder that holds it" in result.stderr


@pytest.mark.parametrize("command", ["materialize", "status"])
def test_an_error_for_machines_has_subject_problem_and_remedy(command: str, shell: Shell):
    window = WINDOW if command == "materialize" else ()
    result = shell.run(command, "--repo", "nowhere", "--json", *window)
    assert result.exit_code == 2
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "error": {
            "subject": "feature repo 'nowhere'",
            "problem": f"there is no folder {shell.folder / 'nowhere'}",
            "remedy": "give the folder that holds feature_store.yaml",
        }
    }


def test_yaml_that_is_broken_is_pointed_at(shell: Shell, stock: "Sample"):
    (stock.repo / "feature_store.yaml").write_text("project: x\nregistry: [unclosed\n")
    line = shell.refused(stock)
    assert line.startswith("configuration 'feature_store.yaml': is not YAML at line 3, column 1 (")
    assert line.endswith(f"; correct {stock.repo / 'feature_store.yaml'}")


def test_yaml_that_feast_refuses_says_which_field(shell: Shell, stock: "Sample"):
    edit(stock, "feature_store.yaml", {"project: warehouse_stock": "project: ware-house"})
    line = shell.refused(stock)
    assert "Feast refuses it: project: Value error, Project names for SQLite" in line


def test_yaml_without_a_project(shell: Shell, stock: "Sample"):
    (stock.repo / "feature_store.yaml").write_text("provider: local\n")
    assert "names no project; add 'project: <name>' to " in shell.refused(stock)


def test_a_store_type_that_feast_does_not_have(shell: Shell, stock: "Sample"):
    edit(stock, "feature_store.yaml", {"type: sqlite": "type: sqllite"})
    line = shell.refused(stock)
    assert line.startswith("configuration 'feature_store.yaml': Feast refuses it: ")
    assert "sqllite" in line


def test_an_unknown_profile_names_the_near_ones(shell: Shell, stock: "Sample"):
    (stock.repo / "feature_store.gcp.yaml").write_text("project: x\n")
    line = shell.refused(stock, "--profile", "gpc")
    assert line == (
        f"profile 'gpc': {stock.repo} has no feature_store.gpc.yaml; choose one of: gcp"
    )


def test_variables_that_nobody_set(shell: Shell, stock: "Sample"):
    edit(stock, "feature_store.yaml", {"data/online_store.db": "${FP_TEST_NOBODY}/online.db"})
    line = shell.refused(stock)
    assert "needs the environment variable FP_TEST_NOBODY; export them" in line


def test_a_store_whose_package_is_not_installed(
    shell: Shell, stock: "Sample", monkeypatch: pytest.MonkeyPatch
):
    edit(stock, "feature_store.yaml", {"type: sqlite": "type: redis"})
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    assert shell.refused(stock) == (
        "configuration 'feature_store.yaml': online_store 'redis' needs the package redis, which "
        "is not installed; pip install 'feature-platform[redis]'"
    )


def test_an_error_in_the_repos_python_names_file_and_line(shell: Shell, stock: "Sample"):
    edit(stock, "stock.py", {"entities=[sku],": "entities=[skew],"})
    line = shell.refused(stock)
    number = (stock.repo / "stock.py").read_text().splitlines().index("    entities=[skew],") + 1
    assert line == (
        "feature repo 'field_mappings': its definitions cannot be imported: "
        f"stock.py:{number}: NameError: name 'skew' is not defined; "
        "correct the file; if stock.py defines nothing for Feast, such as a notebook or a script, "
        f"name it in {stock.repo}/.feastignore"
    )


def test_so_does_a_syntax_error(shell: Shell, stock: "Sample"):
    edit(stock, "stock.py", {"sku = Entity(": "sku = = Entity("})
    assert ": stock.py:4: SyntaxError: invalid syntax" in shell.refused(stock)


def test_a_view_that_is_not_there_names_the_near_ones(shell: Shell, stock: "Sample"):
    assert shell.refused(stock, "--view", "stok") == (
        "feature view 'stok': project 'warehouse_stock' does not define it; choose one of: stock"
    )


def test_a_view_that_cannot_be_materialized(shell: Shell, make_sample: Callable[..., "Sample"]):
    sample = make_sample("not_servable")
    assert shell.refused(sample, "--view", "borrowed_offline") == (
        "feature view 'borrowed_offline': cannot be materialized: it is not served online "
        "(online=False); define it with online=True, or choose one of: borrowed, borrowed_per_week"
    )


def test_a_label_view_that_cannot_be_materialized(
    shell: Shell, make_sample: Callable[..., "Sample"]
):
    line = shell.refused(make_sample("not_servable"), "--view", "complaints")
    assert line.startswith("feature view 'complaints': cannot be materialized: labels are pushed")


def test_an_on_demand_view_that_cannot_be_materialized(
    shell: Shell, make_sample: Callable[..., "Sample"]
):
    line = shell.refused(make_sample("on_demand"), "--view", "attraction")
    assert line.startswith("feature view 'attraction': cannot be materialized: it is computed at")


def test_two_views_of_one_name(shell: Shell, stock: "Sample"):
    text = (stock.repo / "stock.py").read_text()
    again = text[text.index("stock = FeatureView(") :].replace("stock =", "too =", 1)
    (stock.repo / "stock.py").write_text(text + again.replace('name="stock"', 'name="Stock"'))
    line = shell.refused(stock)
    assert line.startswith("feature view 'S")
    assert "project 'warehouse_stock' defines it more than once; rename one of them" in line


def test_one_source_that_two_views_define_differently(
    shell: Shell, make_sample: Callable[..., "Sample"]
):
    sample = make_sample("shared_source")
    edit(
        sample,
        "features.py",
        {
            "from sources import clicks": "from sources import FileSource, clicks\n"
            'other = FileSource(name="clicks", path="data/other", timestamp_field="ts")',
            "dtype=Float64)],\n    source=clicks": "dtype=Float64)],\n    source=other",
        },
    )
    assert shell.refused(sample) == (
        "source 'clicks': feature views 'activity' and 'spending' define it differently; "
        "define it once and import it, or rename one of them"
    )


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        (
            {"dagster/partitons": "daily"},
            "has the unknown tag 'dagster/partitons'; did you mean 'dagster/partitions'?",
        ),
        (
            {"dagster/partitions": "weekly"},
            "tag 'dagster/partitions' is 'weekly'; use daily or hourly",
        ),
        (
            {"dagster/partitions": "houry"},
            "tag 'dagster/partitions' is 'houry'; use hourly",
        ),
        (
            {"dagster/freshness": "a day"},
            "tag 'dagster/freshness' is 'a day'; use minutes, hours or days, such as 90m, 26h, 2d",
        ),
        (
            {"dagster/freshness": "0h"},
            "tag 'dagster/freshness' is '0h'; use minutes, hours or days, such as 90m, 26h, 2d",
        ),
        ({"dagster/drift": "stop"}, "tag 'dagster/drift' is 'stop'; use warn or block or off"),
    ],
)
def test_tags_that_are_misspelt_or_say_nothing(
    tags: dict[str, str], problem: str, shell: Shell, stock: "Sample"
):
    edit(
        stock, "stock.py", {"    source=voorraad,\n": f"    source=voorraad,\n    tags={tags!r},\n"}
    )
    assert shell.refused(stock) == f"feature view 'stock': {problem}"


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (
            "2026-03-02",
            "2026-03-01",
            (
                "window 2026-03-02..2026-03-01: its end is not after its start; swap them, or "
                "choose a later end (windows are half-open)"
            ),
        ),
        (
            "2026-03-01",
            "2026-03-01",
            (
                "window 2026-03-01..2026-03-01: its end is not after its start; swap them, or "
                "choose a later end (windows are half-open)"
            ),
        ),
        (
            "first of March",
            "2026-03-02",
            (
                "start 'first of March': is not a moment; write 2026-03-01, or 2026-03-01T06:00, "
                "or with a zone 2026-03-01T06:00+09:00"
            ),
        ),
        (
            "2026-03-01T06:00",
            "2026-03-02T06:00",
            (
                "window 2026-03-01T06:00:00Z..2026-03-02T06:00:00Z: does not begin and end with "
                "partitions; use 2026-03-01T00:00:00+00:00 to 2026-03-03T00:00:00+00:00"
            ),
        ),
        (
            "2026-03-01T06:00",
            "2026-03-01T07:00",
            (
                "window 2026-03-01T06:00:00Z..2026-03-01T07:00:00Z: does not begin and end with "
                "partitions; use 2026-03-01T00:00:00+00:00 to 2026-03-02T00:00:00+00:00"
            ),
        ),
    ],
)
def test_windows_that_are_none(start: str, end: str, problem: str, shell: Shell, stock: "Sample"):
    assert shell.refused(stock, "--start", start, "--end", end) == problem


def test_a_window_before_the_first_partition(shell: Shell, stock: "Sample"):
    line = shell.refused(stock, "--start", "2026-02-01", "--end", "2026-02-02")
    assert line.startswith("window 2026-02-01..2026-02-02: ")
    assert "partitions run from 2026-03-01" in line
    assert line.endswith("choose a window inside, or an earlier start date")


def test_partitions_that_begin_in_the_future(shell: Shell, stock: "Sample"):
    arguments = ("--repo", str(stock.repo), "--start-date", "2226-03-01", *WINDOW)
    result = shell.run("materialize", *arguments)
    assert result.exit_code == 2
    assert "start date: '2226-03-01' is in the future" in result.stderr
    assert "use the first day of which the sources have rows" in result.stderr


def test_a_rebuild_as_of_the_future(shell: Shell, stock: "Sample"):
    result = shell.run("rebuild-online", "--repo", str(stock.repo), "--as-of", "2226-03-01")
    assert result.exit_code == 2
    assert "as-of '2226-03-01': lies in the future" in result.stderr.replace("\n", " ")


def test_a_window_in_the_future(shell: Shell, stock: "Sample"):
    line = shell.refused(stock, "--start", "2026-03-01", "--end", "2226-03-02")
    assert line.startswith("window 2026-03-01..2226-03-02: its end is in the future (now is 20")
    assert line.endswith("; choose an end that has passed")


@pytest.mark.parametrize("date", ["2026-13-01", "yesterday", "2026-3-1", "20260301"])
def test_a_start_date_that_is_no_day(date: str, shell: Shell, stock: "Sample"):
    stock.start_date = date
    assert shell.refused(stock) == f"start date: '{date}' is not a day; write it as YYYY-MM-DD"


def test_a_source_table_that_is_not_there(shell: Shell, stock: "Sample"):
    (stock.repo / "data/voorraad.parquet").unlink()
    failure = shell.failed(stock)
    assert failure.startswith("source 'voorraad': there is no Parquet file at 'data/voorraad.parq")
    assert failure.endswith("; build the source table, or correct the path in its FileSource")
    assert stock.windows("stock") == []


def test_a_missing_table_that_feast_wants_to_infer_from(
    shell: Shell, make_sample: Callable[..., "Sample"]
):
    sample = make_sample("streams", tables=False)
    failure = shell.failed(sample, "--view", "last_login")
    assert "there is no such file, and Feast infers from it" in failure or (
        "there is no Parquet file" in failure
    )
    assert "registry" not in failure


def test_a_column_that_is_not_there(shell: Shell, stock: "Sample"):
    rewrite(stock, lambda table: table.drop_columns(["aantal"]))
    failure = shell.failed(stock)
    assert failure == (
        "source 'voorraad': it has no column 'aantal' (it has artikel, locatie, reserved, "
        "tijdstip); add the column to the table, or map its name in the source's field_mapping"
    )
    assert stock.windows("stock") == []


def test_a_column_of_the_wrong_type(shell: Shell, stock: "Sample"):
    def spoil(table: pa.Table) -> pa.Table:
        texts = pa.array([f"about {each}" for each in table["aantal"].to_pylist()])
        return table.set_column(table.column_names.index("aantal"), "aantal", texts)

    rewrite(stock, spoil)
    result = shell.materialize(stock, "--json")
    assert result.exit_code == 1
    [report] = json.loads(result.stdout)
    [check] = [each for each in report["checks"] if not each["passed"]]
    assert check["check"] == "schema"
    assert "aantal" in check["description"]
    assert "string" in check["description"]
    assert stock.windows("stock") == []


def test_an_empty_window(shell: Shell, stock: "Sample"):
    result = shell.materialize(stock, "--json", "--start", "2026-03-08", "--end", "2026-03-09")
    assert result.exit_code == 1
    [report] = json.loads(result.stdout)
    [check] = [each for each in report["checks"] if not each["passed"]]
    assert check["check"] == "row_count"
    assert "at least 1 row" in check["description"]
    [failure] = report["failures"]
    assert failure == (
        "source 'voorraad': failed check 'row_count', so 'stock' was not put online; correct it "
        "and rerun, or materialize with --allow-failed-checks"
    )
    assert stock.windows("stock") == []


def test_an_error_that_is_not_ours_names_its_object_and_where_all_of_it_is(
    shell: Shell, stock: "Sample", monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of all things:\n  a division")

    monkeypatch.setattr("feature_platform.sources.window_digests.window_digests", broken)
    failure = shell.failed(stock)
    assert failure.startswith(
        "source 'voorraad': ZeroDivisionError: of all things: a division; correct what it names, "
        "or see run "
    )
    assert failure.endswith(" in Dagster's UI for the whole error")


def test_parquet_that_cannot_be_read(shell: Shell, stock: "Sample"):
    path = stock.repo / "data/voorraad.parquet"
    path.write_bytes(path.read_bytes()[:200])
    failure = shell.failed(stock)
    assert failure.startswith("source 'voorraad': it cannot be read (")
    assert failure.endswith(
        "; check that every file of it is complete and that its columns have the same types in all"
    )
    assert stock.windows("stock") == []


def test_a_registry_that_cannot_be_reached(
    shell: Shell, stock: "Sample", monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    address = "postgresql+psycopg://me:hush@127.0.0.1:1/feast"
    edit(
        stock,
        "feature_store.yaml",
        {"registry: data/registry.db": f"registry:\n  registry_type: sql\n  path: {address}"},
    )
    before = stock.files()
    failure = shell.failed(stock)
    assert failure.startswith("registry 'postgresql+psycopg://127.0.0.1:1/feast': it cannot be")
    assert "hush" not in failure
    assert stock.files() == before


def test_a_run_leaves_what_failed_to_be_read_by_people(shell: Shell, stock: "Sample"):
    (stock.repo / "data/voorraad.parquet").unlink()
    result = shell.materialize(stock)
    assert result.exit_code == 1
    assert "failed: source 'voorraad': there is no Parquet file at" in result.stdout
    assert "Traceback" not in result.output
