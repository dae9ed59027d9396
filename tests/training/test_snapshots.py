"""Snapshots: whole versions only, whatever stops a process and whoever else writes."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from feature_platform.training import snapshots
from feature_platform.training.snapshots import latest_snapshot, publish_snapshot

TABLE = pa.table({"n": [1, None, 3]})


def test_writers_of_one_version_wait_for_each_other_and_keep_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[int] = []
    together: list[int] = []
    write = snapshots.write_parquet

    def watched(table: pa.Table, path: Path) -> None:
        inside.append(1)
        together.append(len(inside))
        write(table, path)
        inside.pop()

    monkeypatch.setattr(snapshots, "write_parquet", watched)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(publish_snapshot(tmp_path, TABLE, {"a": 1})))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({each.version for each in found}) == 1
    assert together == [1] * 8
    assert found[0].read().equals(TABLE)


def test_a_version_that_is_there_is_not_touched(tmp_path: Path) -> None:
    first = publish_snapshot(tmp_path, TABLE, {"a": 1})
    inode = first.data.stat().st_ino
    assert publish_snapshot(tmp_path, TABLE, {"a": 1}).version == first.version
    assert first.data.stat().st_ino == inode


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".unfinished-0123"
    left.mkdir()
    (left / "data.parquet").write_bytes(b"PAR1")
    made = publish_snapshot(tmp_path, TABLE, {})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted([".lock", "LATEST", made.version])


@pytest.mark.parametrize("lost", ["data.parquet", "manifest.json", "all"])
def test_a_version_that_lost_a_file_is_made_again(lost: str, tmp_path: Path) -> None:
    made = publish_snapshot(tmp_path, TABLE, {})
    if lost == "all":
        shutil.rmtree(made.folder)
    else:
        (made.folder / lost).unlink()
    assert publish_snapshot(tmp_path, TABLE, {}).read().equals(TABLE)


def test_a_manifest_that_a_crash_left_empty_is_no_version(tmp_path: Path) -> None:
    made = publish_snapshot(tmp_path, TABLE, {})
    (made.folder / "manifest.json").write_text("")
    assert latest_snapshot(tmp_path) is None
