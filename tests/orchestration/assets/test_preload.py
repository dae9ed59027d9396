"""Steps are forked from a server that has imported what they need."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from worlds.places import FRAUD_REPO, copied

from feature_platform.cli import main

PROGRAM = """
import multiprocessing
import os
import sys

from feature_platform.orchestration.graph.executor import LOCATION, PRELOADED

WANTED = {"duckdb", "feast", "great_expectations", "feature_platform.skew.service_skew"}


def lacking(_):
    return sorted(WANTED - set(sys.modules))


if __name__ == "__main__":
    os.environ[LOCATION] = sys.argv[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    with context.Pool(1) as pool:
        print(pool.map(lacking, [0]))
"""
EXITS = "import sys\nsys.exit(0)\n"


def forked(
    folder: Path, location: str = "", files: Mapping[str, str] | None = None
) -> tuple[str, int, str]:
    """What a forked step lacks, with these modules beside the program; exit code, and errors."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    for name, text in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run(
        [sys.executable, str(program), location], capture_output=True, text=True, check=False
    )
    return done.stdout, done.returncode, done.stderr


def test_a_step_starts_with_feast_and_great_expectations_imported(tmp_path: Path):
    printed, code, errors = forked(tmp_path)
    assert (printed, code) == ("[[]]\n", 0), errors


@pytest.mark.slow
@pytest.mark.parametrize("text", [EXITS, "raise OSError('a port is taken')\n", "import nowhere\n"])
def test_a_code_location_that_fails_or_exits_ahead_of_steps_costs_no_run(text: str, tmp_path: Path):
    printed, code, errors = forked(tmp_path, "their_definitions", {"their_definitions.py": text})
    assert (printed, code) == ("[[]]\n", 0), errors
    assert "their_definitions cannot be imported ahead of steps: " in errors


SPARK = {
    "pyspark/__init__.py": "",
    "pyspark/sql/__init__.py": "",
    "pyspark/sql/connect/__init__.py": EXITS,
}


@pytest.mark.slow
def test_a_package_that_exits_while_great_expectations_tries_it_costs_nothing(tmp_path: Path):
    printed, code, errors = forked(tmp_path, files=SPARK)
    assert (printed, code) == ("[[]]\n", 0), errors


@pytest.mark.slow
def test_the_doctor_names_a_package_that_exits_and_one_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    forked(tmp_path, files={**SPARK, "duckdb.py": EXITS})
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("PYTHONPATH", path)
    repo = copied(FRAUD_REPO, tmp_path / "feature_repo")
    result = CliRunner().invoke(main, ["doctor", "--repo", str(repo), "--json"])
    found = {each["subject"]: each for each in json.loads(result.stdout)}["imports of steps"]
    assert not found["well"]
    assert "duckdb cannot be imported: SystemExit: 0" in found["said"]
    assert "pyspark.sql.connect.dataframe is left out: SystemExit: 0" in found["said"]
    assert found["remedy"] == "install what it needs, or uninstall it"
