"""References and profiles of a view, on disk and behind a URL; settings as people write them."""

import gzip
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from worlds.rides import MONDAY, VIEWS, day

from feature_platform.core.windows import Window
from feature_platform.drift.drift_files import Files
from feature_platform.drift.drift_judge import DriftJudge
from feature_platform.drift.drift_settings import (
    DriftSettings,
    FixedWindow,
    Named,
    SameWeekday,
    Trailing,
    TrainingSetReference,
    ViewDrift,
)
from feature_platform.drift.references import ReferenceStore, reference_of_each
from feature_platform.drift.training_reference import training_reference
from feature_platform.drift.window_profiles import ProfileStore, WindowProfiles
from feature_platform.errors import RepoError, SourceError, WindowError
from feature_platform.statistics import Thresholds, profile

if TYPE_CHECKING:
    from worlds.samples import Sample

RIDING = VIEWS + "view = riding({'fare': Float64})\n"


def profiles(number: int, values: Any) -> WindowProfiles:
    return WindowProfiles(day(number), len(values), {"fare": profile(values)})


def fares(number: int, rows: int = 300) -> pa.Array:
    return pa.array(np.random.default_rng(number).lognormal(size=rows))


@pytest.fixture(params=["folder", "url"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "folder":
        return Files(str(tmp_path / "drift"))
    return Files(f"memory://{tmp_path.name}-drift")


def test_profiles_are_read_as_they_were_written_on_disk_and_behind_a_url(files: Files):
    store = ProfileStore(files, "riding/v2 ../x")
    assert store.read(day(0), ["fare"]) is None
    store.write(profiles(0, fares(0)))
    found = store.read(day(0), ["fare"])
    assert found is not None
    assert found.window == day(0)
    assert found.features["fare"].exact_part() == profile(fares(0)).exact_part()
    # A feature that the view has got since is not known of this window: it is profiled again.
    assert store.read(day(0), ["fare", "tip"]) is None


def test_a_reference_is_frozen_and_its_older_versions_are_kept(files: Files):
    store = ReferenceStore(files, "riding")
    assert store.current("launch") is None
    made = [
        reference_of_each(
            {"fare": [profiles(number, fares(number)) for number in range(first, first + 8)]},
            source="named",
            label="launch",
            name="launch",
        )
        for first in (0, 8)
    ]
    for each in made:
        store.set(each)
        current = store.current("launch")
        assert current is not None
        assert current.version == each.version
        assert current.features["fare"].version == each.features["fare"].version
    assert made[0].version != made[1].version
    kept = set(files.names("references", "riding", "launch"))
    assert kept == {"CURRENT", made[0].version, made[1].version}
    assert store.names() == ["launch"]


def test_the_same_windows_make_the_same_version():
    def made() -> str:
        windows = [profiles(number, fares(number)) for number in range(5)]
        return reference_of_each({"fare": windows}, source="trailing", label="x").version

    assert made() == made()


def test_a_type_that_changed_among_the_windows_gives_way_to_the_one_most_of_them_have():
    windows = [profiles(number, fares(number)) for number in range(5)]
    windows.append(profiles(5, pa.array(["a", "b"])))
    found = reference_of_each({"fare": windows}, source="trailing", label="x")
    assert found.features["fare"].profile.kind == "number"
    assert found.features["fare"].windows == 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe no gzip",
        gzip.compress(b"[1]"),
        gzip.compress(b'{"schema_version": 1}'),
        gzip.compress(b"x" * 99)[:-20],
        # Whole at both ends, and broken between.
        gzip.compress(bytes(range(256)))[:20] + b"\xff" * 99,
    ],
    ids=["empty", "no gzip", "another object", "lacks all", "cut off", "flipped"],
)
def test_a_damaged_reference_is_an_error_and_not_a_missing_one(content: bytes, tmp_path: Path):
    store = ReferenceStore(Files(str(tmp_path)), "riding")
    windows = [profiles(number, fares(number)) for number in range(2)]
    store.set(reference_of_each({"fare": windows}, source="named", label="x", name="spring"))
    (path,) = tmp_path.rglob("*.json.gz")
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"json\.gz': is damaged .*; remove it"):
        store.current("spring")
    path.unlink()
    with pytest.raises(SourceError, match=r"CURRENT': is damaged \(version '\w+' is not there"):
        store.current("spring")
    (current,) = tmp_path.rglob("CURRENT")
    current.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match=r"CURRENT': is damaged"):
        store.current("spring")


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path):
    files = Files(str(tmp_path))
    store = ProfileStore(files, "riding")
    store.write(profiles(0, fares(0)))
    (path,) = tmp_path.rglob("*.json.gz")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SourceError, match=r"is damaged .*; remove it"):
        store.read(day(0), ["fare"])
    assert not list(tmp_path.rglob(".*"))


def test_trailing_windows_keep_their_distance_and_weekdays_are_the_same():
    trailing = Trailing(days=3, gap=7).before(day(20))
    assert trailing == [day(10), day(11), day(12)]
    assert SameWeekday(weeks=2).before(day(20)) == [day(6), day(13)]
    hour = Window(MONDAY + timedelta(hours=5), MONDAY + timedelta(hours=6))
    (before,) = Trailing(days=1, gap=0).before(hour)
    assert before.start == MONDAY - timedelta(hours=19)


@pytest.fixture(scope="module")
def riding(make_repo: Callable[..., "Sample"]) -> "Sample":
    return make_repo({"views.py": RIDING})


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("trailing", Trailing()),
        ({"trailing": {"days": 28, "gap": 0}}, Trailing(days=28, gap=0)),
        ({"same_weekday": {"weeks": 4}}, SameWeekday(weeks=4)),
        ({"fixed": {"start": "2026-01-01", "end": "2026-02-01"}}, None),
        ({"named": "launch"}, Named("launch")),
        ({"training_set": "fraud"}, TrainingSetReference("fraud")),
    ],
)
def test_every_kind_of_reference_can_be_written(said: Any, meant: Any, riding: "Sample"):
    found = DriftSettings.parse({"views": {"riding": {"reference": said}}}, riding.project)
    assert found.of("riding").reference == (meant or FixedWindow("2026-01-01", "2026-02-01"))
    assert found.of("another") == ViewDrift()


def test_thresholds_and_consecutive_windows_can_be_written(riding: "Sample"):
    said = {"default": {"consecutive": 2, "thresholds": {"psi": 0.1, "ks": None}}}
    found = DriftSettings.parse(said, riding.project).of("riding")
    assert found.consecutive == 2
    assert found.thresholds == Thresholds(psi=0.1, ks=None)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"defaults": {}}, "did you mean 'default'?"),
        ({"views": {"ridin": {}}}, "choose one of: riding"),
        ({"default": {"reference": "trailling"}}, "did you mean 'trailing'?"),
        ({"default": {"reference": {"trailing": {"day": 3}}}}, "did you mean 'days'?"),
        ({"default": {"reference": {"trailing": {"days": 0}}}}, "days is 0; use 1 or more"),
        ({"default": {"reference": "named"}}, "named: NAME"),
        ({"default": {"reference": {"named": {}}}}, "named lacks 'name'"),
        ({"default": {"reference": {"fixed": {"start": "May", "end": "June"}}}}, "YYYY-MM-DD"),
        ({"default": {"consecutive": True}}, "use a whole number"),
        ({"default": {"thresholds": {"psy": 1}}}, "did you mean 'psi'?"),
        ({"default": {"thresholds": {"psi": "much"}}}, "use a number, or null"),
        (["default"], "use some of default, views"),
        ({"default": []}, "use some of reference"),
        ({"views": ["riding"]}, "views is not a mapping; write NAME: VALUE"),
        ({"views": {1: {}}}, "choose one of: riding"),
        ({"folder": 3}, "folder is 3; name a folder"),
        ({"folder": " "}, "name a folder"),
        ({"training_sets_dir": None}, "name a folder"),
        ({"default": {"thresholds": {"psi": math.nan}}}, "psi is nan"),
        ({"default": {"thresholds": {"ks": -1}}}, "ks is -1"),
        ({"default": {"thresholds": {"alpha": None}}}, "use a number between 0 and 1"),
        ({"default": {"thresholds": {"alpha": 2}}}, "use a number between 0 and 1"),
        ({"default": {"thresholds": {"min_rows": None}}}, "use a whole number"),
        ({"default": {"reference": {"named": ""}}}, "default.reference.named is empty"),
        ({"default": {"reference": {"trailing": {"days": 10**9}}}}, "use 36500 at most"),
        ({"default": {"reference": {"trailing": {"days": 5}}}}, "has no more than 5"),
        ({"default": {"reference": {"same_weekday": {"weeks": 3}}}}, "has no more than 3"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_a_remedy(said: Any, problem: str, riding: "Sample"):
    with pytest.raises(RepoError) as caught:
        DriftSettings.parse(said, riding.project)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("default:\n  thresholds:\n    psi: 0.1\n    ks: -1\n", 4, "default.thresholds.ks is -1"),
        ("folder: x\ndefault:\n  reference: {trailing: {day: 3}}\n", 3, "did you mean 'days'?"),
        ("views:\n  riding: {}\n  ridin: {}\n", 3, "choose one of: riding"),
        ("folder: x\ndefault: {consecutive: 2, accept_after: 1}\n", 2, "accept_after is 1"),
        ("folder: x\nfolder: y\n", 2, "'folder' stands twice"),
        ("# nothing\n", 1, "the file is empty; use some of default, views"),
        ("default: [\n", 2, "is not plain YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(
    text: str, line: int, problem: str, make_repo: Callable[..., "Sample"]
):
    sample = make_repo({"views.py": RIDING, "drift.yaml": text})
    with pytest.raises(RepoError) as caught:
        DriftSettings.load(sample.project)
    assert str(caught.value).startswith(f"{sample.repo / 'drift.yaml'}:{line}: ")
    assert problem in str(caught.value)


def test_settings_of_a_view_can_start_from_others_by_a_merge_key(
    make_repo: Callable[..., "Sample"],
):
    text = "default: &all {consecutive: 2, reference: same_weekday}\nviews:\n  riding:\n    "
    text += "<<: *all\n    reference: {fixed: {start: 2026-01-01, end: 2026-02-01}}\n"
    found = DriftSettings.load(make_repo({"views.py": RIDING, "drift.yaml": text}).project)
    assert found.default == ViewDrift(SameWeekday(), consecutive=2)
    assert found.of("riding").reference == FixedWindow("2026-01-01", "2026-02-01")
    assert found.of("riding").consecutive == 2


def test_a_fixed_reference_that_ends_before_it_starts_is_refused(riding: "Sample"):
    said = {"default": {"reference": {"fixed": {"start": "2026-02-01", "end": "2026-01-01"}}}}
    with pytest.raises(WindowError, match="its end is not after its start"):
        DriftSettings.parse(said, riding.project)


def test_a_training_set_that_is_no_parquet_is_an_error_that_names_it(riding: "Sample"):
    judge = DriftJudge(riding.project, "riding", DriftSettings())
    with pytest.raises(SourceError, match=r"views\.py': cannot be read"):
        training_reference(judge, TrainingSetReference("fraud", "views.py"))
