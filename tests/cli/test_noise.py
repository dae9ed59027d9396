"""What a command puts on standard error: nothing of what libraries say of themselves."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

if TYPE_CHECKING:
    from worlds.samples import Sample

# One interpreter for all: importing Feast and Dagster takes longer than the commands.
SCRIPT = """
import json, sys
from feature_platform.cli import main
for arguments in json.loads(sys.argv[1]):
    print("\\n#", *arguments, file=sys.stderr)
    try:
        main(arguments)
    except SystemExit as end:
        print(end.code, file=sys.stderr)
"""


def said(commands: list[list[str]], folder: Path) -> list[list[str]]:
    """What each command wrote on standard error, its exit code last."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return [part.splitlines()[1:] for part in done.stderr.split("\n# ")[1:]]


@pytest.fixture
def places(make_sample: Callable[..., "Sample"]) -> "Sample":
    """A repo with all that Feast calls experimental."""
    sample = make_sample("on_demand")
    path = sample.repo / "views.py"
    text = path.read_text().replace("import Entity,", "import BatchFeatureView, Entity, ValueType,")
    text = text.replace('["place_id"]', '["place_id"], value_type=ValueType.INT64')
    path.write_text(
        text
        + "\nbatch = BatchFeatureView(name='batch', entities=[place], source=place_stats_source,"
        " schema=[Field(name='stars', dtype=Float64)], online=True)\n"
    )
    return sample


@pytest.mark.slow
def test_commands_that_go_well_say_nothing_but_what_they_do_on_standard_error(
    places: "Sample", tmp_path: Path
):
    where = ["--repo", str(places.repo), "--start-date", "2026-03-01"]
    window = ["--start", "2026-03-01", "--end", "2026-03-02"]
    rows = pd.DataFrame(
        {"place_id": [1], "event_timestamp": [pd.Timestamp("2026-03-02", tz="UTC")]}
    )
    rows.to_parquet(tmp_path / "rows.parquet")
    commands = [
        ["materialize", *where, *window, "--json", "--view", "place_stats"],
        ["materialize", *where, *window, "--view", "batch"],
        ["status", *where, "--windows", "1"],
        ["plan", *where],
        ["rebuild-online", *where],
        ["metrics", *where],
        ["doctor", *where],
        ["drift", *where, "--view", "place_stats", "--date", "2026-03-01"],
        [
            "training-set",
            *where,
            "--service",
            "whole_view_by_reference",
            "--entities",
            "rows.parquet",
            "--out",
            "o",
        ],
    ]
    found = said(commands, tmp_path)
    assert {line.split()[0] for line in found[1][:-1]} == {"done"}  # a line a step
    del found[1], commands[1]
    assert [[*lines[:-1]] for lines in found] == [[]] * len(commands)
    assert found[0] == found[3] == found[-1] == ["0"]


def test_what_is_about_a_file_of_the_repo_is_said_once_and_in_one_line(
    make_sample: Callable[..., "Sample"], tmp_path: Path
):
    sample = make_sample("on_demand")
    arguments = ["--repo", str(sample.repo), "--start-date", "2026-03-01"]
    [lines] = said([["plan", *arguments]], tmp_path)
    assert lines[-1] == "1"
    [line] = lines[:-1]
    assert line.startswith("  warning  views.py:6: Entity value_type will be mandatory")
