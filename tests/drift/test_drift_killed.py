"""kill -9 while drift files are written: the old or the new is met, and a rerun ends as if none."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from worlds.places import environment
from worlds.rides import MONDAY, day

from feature_platform.drift.accepted import Accepted, AcceptedStore
from feature_platform.drift.drift_files import Files
from feature_platform.drift.references import ReferenceStore, reference_of_each
from feature_platform.drift.window_profiles import ProfileStore, WindowProfiles
from feature_platform.statistics import profile

VIEW = 'it\'s "riding" / v.2 für alle'
# The process takes its own life at the given file, before or after that file is in its place.
KILLED = """
import os, signal, sys
from pathlib import Path
import test_drift_killed as here
real, left = Path.replace, [int(sys.argv[3])]
def replace(self, target):
    left[0] -= 1
    if left[0] == 0 and sys.argv[4] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, target)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
Path.replace = replace
getattr(here, sys.argv[2])(here.Files(sys.argv[1]), 1)
"""


def profiles(number: int, seed: int) -> WindowProfiles:
    values = pa.array(np.random.default_rng([seed, number]).lognormal(size=200))
    return WindowProfiles(day(number), 200, {"fare": profile(values)})


def set_reference(files: Files, seed: int) -> None:
    windows = [profiles(number, seed) for number in range(3)]
    made = reference_of_each({"fare": windows}, source="named", label="x", name="launch day")
    ReferenceStore(files, VIEW).set(made)


def write_profiles(files: Files, seed: int) -> None:
    for number in range(2):
        ProfileStore(files, VIEW).write(profiles(number, seed))


def accept(files: Files, seed: int) -> None:
    how = f"by hand, {seed}"
    AcceptedStore(files, VIEW).add(Accepted("fare", day(seed), how, MONDAY))


def seen(files: Files) -> list[object]:
    """All that a reader makes of the folder."""
    reference = ReferenceStore(files, VIEW).current("launch day")
    stored = [ProfileStore(files, VIEW).read(day(number), ["fare"]) for number in range(2)]
    accepted = AcceptedStore(files, VIEW).of("fare", MONDAY + timedelta(days=9))
    return [
        reference and reference.version,
        [each and each.features["fare"].exact_part() for each in stored],
        accepted,
        ReferenceStore(files, VIEW).names(),
    ]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("write", "file"),
    [
        *(("set_reference", 1), ("set_reference", 2), ("accept", 1)),
        *(("write_profiles", 1), ("write_profiles", 2)),
    ],
)
def test_nothing_is_met_half_written_and_the_rerun_ends_equal(
    write: str, file: int, moment: str, tmp_path: Path
):
    files, whole = Files(str(tmp_path / "killed")), Files(str(tmp_path / "whole"))
    again = globals()[write]
    for each in (files, whole):
        again(each, 0)
    before = seen(files)
    again(whole, 1)
    after = seen(whole)
    assert before != after
    done = subprocess.run(
        [
            *(sys.executable, "-c", KILLED),
            *(files.address, write, str(file), moment),
        ],
        env=environment(Path(__file__).parent),
        check=False,
    )
    assert done.returncode == -9
    # Of each file the one or the other, and no file that cannot be read.
    for found, old, new in zip(seen(files), before, after, strict=True):
        if isinstance(found, list) and found and isinstance(old, list) and isinstance(new, list):
            assert all(f in (o, n) for f, o, n in zip(found, old, new, strict=True))
        else:
            assert found in (old, new)
    again(files, 1)
    assert seen(files) == after
