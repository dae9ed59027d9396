"""``feature-platform rebuild-online`` after a loss: what can be served again is, and read back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from click.testing import CliRunner
from worlds.repos import write_table
from worlds.times import march

from feature_platform.cli import main
from feature_platform.orchestration.runs.rebuild_view import ViewRebuilds
from feature_platform.orchestration.validation.check_declarations import ONLINE

if TYPE_CHECKING:
    from worlds.samples import Sample

VIEWS = """
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Int64

shop = Entity(name="shop", value_type=ValueType.INT64)


def view(name):
    return FeatureView(
        name=name, entities=[shop],
        schema=[Field(name="shop", dtype=Int64), Field(name="sales", dtype=Int64)],
        source=FileSource(name=f"{name}_rows", path=f"data/{name}.parquet", timestamp_field="at"),
    )


broken, sound = view("broken"), view("sound")
"""


def test_a_view_that_cannot_be_rebuilt_keeps_no_other_from_it(
    make_repo: Callable[..., "Sample"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sample = make_repo({"views.py": VIEWS})
    rows = {"shop": [1, 2], "sales": [10, 20], "at": [march(0, 12)] * 2}
    for name in ("broken", "sound"):
        write_table(sample.repo / f"data/{name}.parquet", rows)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        sample.instance = instance
        names = ("registry", "feature_views/broken", "feature_views/sound")
        assert sample.run(*names, partition="2026-03-01").success
        (sample.repo / "data/online_store.db").unlink()
        (sample.repo / "data/broken.parquet").unlink()
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        arguments = ["rebuild-online", "--repo", str(sample.repo), "--start-date", "2026-03-01"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        assert "error: " in result.output
        assert "broken" in result.output
        assert "sound: 2 keys in " in result.output
        assert "read back: 2 of 2 keys compared, all equal" in result.output
        assert sample.online(["sound:sales"], [{"shop": 2}])["sales"] == [20]
        # It is on record: whoever was told of the loss is told of its end.
        key = dg.AssetCheckKey(sample.key("feature_views/sound"), ONLINE.name)
        latest = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert not latest.run_id
        assert latest.evaluation
        assert latest.evaluation.passed  # type: ignore[union-attr]
        # For machines.
        plain = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
        assert [(each["view"], "error" in each) for each in plain] == [
            ("broken", True),
            ("sound", False),
        ]


def test_not_even_an_error_that_nobody_expected_keeps_another_view_from_it(
    make_repo: Callable[..., "Sample"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sample = make_repo({"views.py": VIEWS})
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    rebuilt: list[str] = []

    def rebuild(_self: ViewRebuilds, name: str, _progress: object) -> None:
        rebuilt.append(name)
        raise OSError("redis://me:pa55word@store is down")

    monkeypatch.setattr(ViewRebuilds, "rebuild", rebuild)
    result = CliRunner().invoke(main, ["rebuild-online", "--repo", str(sample.repo)])
    assert result.exit_code == 2
    assert rebuilt == ["broken", "sound"]
    assert "feature view 'sound': it was not rebuilt (OSError)" in result.output
    assert "pa55word" not in result.output
