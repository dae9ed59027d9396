"""What `feature-platform doctor` says of profiles whose servers are, or are not, there."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from worlds.local_servers import PostgresServer
from worlds.places import FRAUD_REPO, copied

from feature_platform.cli import main
from feature_platform.orchestration.runs.instance import RUN_MONITORING

POSTGRES = {
    "PGHOST": "127.0.0.1",
    "PGDATABASE": "features",
    "PGUSER": "feast",
    "PGPASSWORD": "the-secret-word",
    "PGSSLMODE": "disable",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dagster's, which is not there yet."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return copied(FRAUD_REPO, tmp_path / "feature_repo")


def doctor(repo: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, findings by subject, and everything that was printed."""
    result = CliRunner().invoke(main, ["doctor", "--repo", str(repo), "--json", *options])
    findings = json.loads(result.stdout)
    return result.exit_code, {each["subject"]: each for each in findings}, result.output


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nothing listens on, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_the_embedded_profile_is_well_before_anything_is_built(repo: Path) -> None:
    before = sorted(repo.rglob("*.db"))
    code, findings, _ = doctor(repo)
    assert code == 0, findings
    assert sorted(repo.rglob("*.db")) == before == []
    assert "is not there yet" in findings["registry"]["said"]
    assert findings["configuration"]["said"] == "feature_store.yaml is read"
    assert findings["definitions"]["said"] == "2 sources, 2 feature views, 1 services"
    assert findings["source user_transactions"]["said"] == "not built yet; the repo has its SQL"
    assert findings["feast"]["well"]


@pytest.mark.parametrize(
    ("profile", "variables"),
    [
        ("gcp", ["FEAST_REGISTRY_BUCKET", "GOOGLE_CLOUD_PROJECT", "REDIS_CLUSTER_NODES"]),
        ("aws", ["FEAST_S3_BUCKET", "AWS_DEFAULT_REGION"]),
        ("postgres", ["PGPORT", *POSTGRES]),
    ],
)
def test_every_unset_variable_of_a_profile_is_named(
    repo: Path, profile: str, variables: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    code, findings, _ = doctor(repo, "--profile", profile)
    assert code == 1
    for name in variables:
        found = findings[f"environment variable {name}"]
        assert not found["well"]
        assert found["remedy"] == f"export {name}=..."


def test_servers_that_do_not_answer_are_named_with_their_address_and_no_secret(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as port:
        for name, value in {**POSTGRES, "PGPORT": str(port)}.items():
            monkeypatch.setenv(name, value)
        code, findings, printed = doctor(repo, "--profile", "postgres")
    assert code == 1
    for subject in ("registry", "online store", "offline store"):
        assert not findings[subject]["well"]
        assert f"127.0.0.1:{port}: nothing answers within 3 s" in findings[subject]["said"]
        assert findings[subject]["remedy"] == "start the server, or correct the address"
    assert POSTGRES["PGPASSWORD"] not in printed


def test_each_node_of_a_redis_cluster_is_tried(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as dead, socket.create_server(("127.0.0.1", 0)) as alive:
        nodes = f"127.0.0.1:{alive.getsockname()[1]},127.0.0.1:{dead}"
        monkeypatch.setenv("FEAST_REGISTRY_BUCKET", "a-bucket")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
        monkeypatch.setenv("REDIS_CLUSTER_NODES", nodes)
        # Google's library then answers from the environment alone, without a metadata server.
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(repo / "no-such-key.json"))
        code, findings, _ = doctor(repo, "--profile", "gcp")
    assert code == 1
    assert f"127.0.0.1:{dead}" in findings["online store"]["said"]
    assert "no-such-key.json" in findings["offline store"]["said"]


def test_a_source_that_nobody_builds_is_named_with_its_path(repo: Path) -> None:
    shutil.rmtree(repo / "sql")
    code, findings, _ = doctor(repo)
    assert code == 1
    assert "*.parquet is missing" in findings["source merchant_stats"]["said"]


def test_a_repo_that_is_not_there_ends_the_examination(tmp_path: Path) -> None:
    code, findings, _ = doctor(tmp_path / "nowhere")
    assert code == 1
    assert "there is no folder" in findings["feature repo"]["said"]
    assert "registry" not in findings


def test_a_broken_configuration_is_named_with_line_and_column(repo: Path) -> None:
    (repo / "feature_store.yaml").write_text("project: x\nregistry: [unclosed\n")
    code, findings, _ = doctor(repo)
    assert code == 1
    assert "is not YAML at line 3" in findings["configuration"]["said"]


def test_what_only_the_code_location_would_refuse_is_found(repo: Path) -> None:
    [views] = [path for path in repo.rglob("*.py") if "dagster/freshness" in path.read_text()]
    text = views.read_text().replace(
        '"dagster/freshness"', '"dagster/cron": "at six", "dagster/freshness"'
    )
    views.write_text(text)
    code, findings, _ = doctor(repo)
    assert code == 1
    assert "'at six', which is not a cron expression" in findings["definitions"]["said"]


@pytest.mark.parametrize(
    ("subject", "file"), [("registry", "registry.db"), ("online store", "online.db")]
)
def test_a_damaged_file_is_named_with_what_to_do(repo: Path, subject: str, file: str) -> None:
    (repo / "data").mkdir(exist_ok=True)
    (repo / "data" / file).write_bytes(b"not a database, " * 300)
    code, findings, _ = doctor(repo)
    assert code == 1
    assert f"{file}': its file cannot be read" in findings[subject]["said"]
    assert "restore it from a backup" in findings[subject]["remedy"]


@pytest.mark.server
@pytest.mark.parametrize(("zone", "code"), [("UTC", 0), ("America/New_York", 1)])
def test_a_database_whose_clock_is_put_forward_is_named_with_the_statement_that_mends_it(
    zone: str,
    code: int,
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgres_server: PostgresServer,
) -> None:
    database = postgres_server.new_database()
    with psycopg.connect(postgres_server.conninfo(database), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET timezone = '{zone}'")
    where = {"PGPORT": str(postgres_server.port), "PGDATABASE": database}
    who = {"PGHOST": "127.0.0.1", "PGUSER": "tester", "PGPASSWORD": "secret"}
    for name, value in {**POSTGRES, **where, **who}.items():
        monkeypatch.setenv(name, value)
    found, findings, _ = doctor(repo, "--profile", "postgres")
    assert found == code, findings
    if code:
        assert zone in findings["online store"]["said"]
        statement = f"ALTER DATABASE \"{database}\" SET timezone = 'UTC'"
        assert findings["online store"]["remedy"].startswith(statement)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "run_monitoring is off"),
        ("telemetry: {enabled: false}\n", "run_monitoring is off"),
        ("run_monitoring: {enabled: true}\n", "free_slots_after_run_end_seconds is not set"),
        ("run_monitoring: [\n", "dagster.yaml: "),
        (f"{RUN_MONITORING}\n", ""),
    ],
)
def test_a_dagster_home_whose_killed_runs_keep_their_pools_is_named_with_what_ends_it(
    repo: Path, home: Path, written: str | None, said: str
):
    _, findings, _ = doctor(repo)
    assert "is not there yet" in findings["dagster home"]["said"]
    assert not home.exists()
    home.mkdir()
    if written is not None:
        (home / "dagster.yaml").write_text(written)
    code, findings, _ = doctor(repo)
    found = findings["dagster home"]
    assert found["well"] == (not said)
    assert said in found["said"]
    assert code == (1 if said else 0)
    assert {each.name for each in home.iterdir()} <= {"dagster.yaml"}


def test_the_remedy_of_a_dagster_home_is_one(repo: Path, home: Path):
    home.mkdir()
    _, findings, _ = doctor(repo)
    remedy = findings["dagster home"]["remedy"].removeprefix("add to it: ")
    (home / "dagster.yaml").write_text(remedy)
    _, findings, _ = doctor(repo)
    assert findings["dagster home"]["well"]


def test_definitions_that_raise_anything_end_in_a_finding_without_their_secrets(
    repo: Path, monkeypatch: pytest.MonkeyPatch
):
    def raises(**_: Any) -> None:
        raise OSError("postgresql://me:pa55word@host is down")

    monkeypatch.setattr("feature_platform.orchestration.builder.build_feast_definitions", raises)
    code, findings, text = doctor(repo)
    assert code == 1
    assert "cannot be built: OSError" in findings["definitions"]["said"]
    assert "pa55word" not in text
