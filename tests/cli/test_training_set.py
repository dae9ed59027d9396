"""`feature-platform training-set`: what it prints, and what it refuses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from click.testing import CliRunner

from feature_platform.cli import main

if TYPE_CHECKING:
    from conftest import Sample

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def sample(make_sample: Callable[..., "Sample"]) -> "Sample":
    return make_sample("composite_entities")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.parquet"
    pd.DataFrame(
        {
            "rider_id": [1, 2, 3, 1],
            "city_code": ["SEL", "TYO", "SEL", "nowhere"],
            "event_timestamp": [DAY + timedelta(hours=hour) for hour in (3, 30, 60, 60)],
            "churned": [True, False, False, True],
        }
    ).to_parquet(path, index=False)
    return path


def command(sample: "Sample", labels: Path, out: Path, *more: str) -> Any:
    arguments = ["training-set", "--repo", str(sample.repo), "--service", "pricing"]
    arguments += ["--entities", str(labels), "--out", str(out), *more]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_it_says_what_was_built_and_that_nothing_is_from_the_future(
    sample: "Sample", labels: Path, tmp_path: Path
) -> None:
    result = command(sample, labels, tmp_path / "out", "--label", "churned")
    assert result.exit_code == 0, result.output
    assert "pricing: 4 rows, version " in result.stdout
    assert "store.get_saved_dataset('pricing')" in result.stdout
    assert "rider_in_city: 4 rows probed, none from the future (3 with a value" in result.stdout
    again = json.loads(command(sample, labels, tmp_path / "out", "--json").stdout)
    assert again["rows"] == 4
    assert again["probe"] == [
        {"view": "rider_in_city", "rows": 4, "found": 3, "leaks": 0, "others": 0}
    ]
    assert pd.read_parquet(again["data"])["trips"].notna().tolist() == [True, True, True, False]


def test_what_does_not_fit_is_one_line_and_writes_nothing(
    sample: "Sample", labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for arguments, problem in (
        (("--service", "prices"), "choose one of: pricing"),
        (("--entities", str(tmp_path / "none.parquet")), "there is no Parquet file at"),
        (("--timestamp", "when"), "have no column 'when'"),
    ):
        result = command(sample, labels, out, *arguments)
        assert result.exit_code == 2
        assert problem in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_a_registry_that_differs_from_the_repo_is_refused(
    make_sample: Callable[..., "Sample"], labels: Path, tmp_path: Path
) -> None:
    sample = make_sample("composite_entities")
    assert command(sample, labels, tmp_path / "out").exit_code == 0
    [views] = [path for path in sample.repo.glob("*.py") if "ttl" in path.read_text()]
    views.write_text(views.read_text().replace("timedelta(days=0)", "timedelta(hours=6)"))
    result = command(sample, labels, tmp_path / "out")
    assert result.exit_code == 2
    assert "differs from the repo (1 objects)" in result.stderr
