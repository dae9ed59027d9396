"""Steps are forked from a server that has imported what they need."""

import subprocess
import sys
from pathlib import Path


def test_a_step_starts_with_feast_and_great_expectations_imported(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(
        """
import multiprocessing
import sys

from feature_platform.orchestration.graph.executor import PRELOADED

WANTED = {"duckdb", "feast", "great_expectations", "feature_platform.skew.service_skew"}


def lacking(_):
    return sorted(WANTED - set(sys.modules))


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    with context.Pool(1) as pool:
        print(pool.map(lacking, [0]))
"""
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[[]]\n", 0), done.stderr
