from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds.times import utc

from feature_platform.core.file_names import file_name
from feature_platform.core.published_files import published
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.tables.window_files import built_windows, files_inside

moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def day(first: int, last: int | None = None) -> Window:
    return Window(utc(2026, 3, first), utc(2026, 3, last or first + 1))


def test_whole_days_make_plain_names():
    assert file_name(day(1)) == "2026-03-01--2026-03-02.parquet"


def test_times_of_day_are_named_where_there_are_any():
    window = Window(
        datetime(2026, 3, 1, 23, tzinfo=UTC), datetime(2026, 3, 2, 0, 0, 0, 5, tzinfo=UTC)
    )

    assert file_name(window) == "2026-03-01T230000Z--2026-03-02T000000.000005Z.parquet"


@given(st.lists(moments, min_size=2, max_size=2, unique=True))
def test_every_window_is_read_back_from_its_name(
    tmp_path_factory: pytest.TempPathFactory, ends: list[datetime]
):
    window = Window(min(ends), max(ends))
    folder = tmp_path_factory.mktemp("table")
    path = folder / file_name(window)
    path.touch()

    assert built_windows(folder) == {path: window}


def test_other_files_are_nobodys_window(tmp_path: Path):
    for name in (
        "all.parquet",
        "2026-03-02--2026-03-01.parquet",
        "2026-03-01--later.parquet",
        ".2026-03-01--2026-03-02.parquet.abc.tmp",
    ):
        (tmp_path / name).touch()
    (tmp_path / file_name(day(2))).touch()
    (tmp_path / file_name(day(1))).touch()

    assert list(built_windows(tmp_path).values()) == [day(1), day(2)]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path):
    assert built_windows(tmp_path / "missing") == {}


def test_the_windows_inside_are_found_and_neither_itself_nor_its_neighbours(tmp_path: Path):
    for window in (day(1), day(2), day(3), day(4), day(2, 4)):
        (tmp_path / file_name(window)).touch()

    assert files_inside(tmp_path, day(2, 4)) == [
        tmp_path / file_name(day(2)),
        tmp_path / file_name(day(3)),
    ]


@pytest.mark.parametrize("other", [day(1, 3), day(3, 5), day(1, 5)])
def test_an_overlap_that_is_more_than_the_window_is_refused_by_name(tmp_path: Path, other: Window):
    (tmp_path / file_name(other)).touch()

    with pytest.raises(SourceError) as caught:
        files_inside(tmp_path, day(2, 4))

    assert file_name(other) in caught.value.problem
    assert "2026-03-02..2026-03-04" in caught.value.problem
    both = Window(min(other.start, day(2).start), max(other.end, day(3).end))
    assert f"build {both}" in caught.value.remedy


def test_publishing_replaces_the_file_and_removes_what_it_covers(tmp_path: Path):
    path = tmp_path / "all.parquet"
    path.write_text("old")
    covered = tmp_path / "part.parquet"
    covered.touch()

    with published(path, [covered, tmp_path / "already gone.parquet"]) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"

    assert [p.name for p in tmp_path.iterdir()] == ["all.parquet"]
    assert path.read_text() == "new"


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path):
    path, covered = tmp_path / "all.parquet", tmp_path / "part.parquet"
    path.write_text("old")
    covered.touch()

    def fail_half_way() -> None:
        with published(path, [covered]) as unfinished:
            unfinished.write_text("ne")
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail_half_way()

    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.parquet", "part.parquet"]
    assert path.read_text() == "old"


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path):
    path = tmp_path / "registry.db"
    path.touch(mode=0o640)

    with published(path) as unfinished:
        unfinished.write_text("new")

    assert path.stat().st_mode & 0o777 == 0o640
