"""The example that trains on a training set and scores what is served: no skew to the last bit."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from worlds.places import FRAUD_REPO, ROOT, copied


@pytest.mark.slow
def test_predictions_of_both_paths_are_equal_to_the_last_bit(tmp_path: Path) -> None:
    repo = copied(FRAUD_REPO, tmp_path / "feature_repo")
    home = tmp_path / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    environment = {**os.environ, "DAGSTER_HOME": str(home)}

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    command_line = "from feature_platform.cli import main; main()"
    run("-c", command_line, "demo", "--days", "20", "--repo", str(repo))
    example = str(ROOT / "docs/examples/fraud_model.py")
    said = run(example, "--repo", str(repo), "--out", str(tmp_path / "out"))
    found = re.search(r"(\d+) predictions \((\d+) different values\), .*: (\d+) differ", said)
    assert found is not None, said
    predictions, different, differing = map(int, found.groups())
    assert predictions == 500
    assert different > 20  # a model that says the same of everybody would prove nothing
    assert differing == 0
