"""``feature-platform drift`` as people and scripts use it."""

import html
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from worlds.repos import write_table
from worlds.rides import VIEWS
from worlds.times import MARCH, key, march, window

from feature_platform.cli import main
from feature_platform.registry.windows_on_record import record_window

if TYPE_CHECKING:
    from worlds.samples import Sample

REPO = VIEWS + "view = riding({'fare': Float64, 'km': Float64})"
DAYS, ROWS = 12, 300


@pytest.fixture(scope="module")
def riding(make_repo: Callable[..., "Sample"]) -> "Sample":
    """Twelve days of trips, the last with larger fares; nothing is online."""
    sample = make_repo({"views.py": REPO})
    random = np.random.default_rng(3)
    fare = random.lognormal(2, 1, DAYS * ROWS)
    fare[-ROWS:] *= 1.8
    columns = {
        "user_id": list(range(ROWS)) * DAYS,
        "fare": fare,
        "km": random.normal(5, 1, DAYS * ROWS),
        "at": [march(number, 9) for number in range(DAYS) for _ in range(ROWS)],
    }
    write_table(sample.repo / "data" / "trips.parquet", columns)
    assert sample.run("registry").success
    result = drift(sample, "--set-reference", "spring", "--start", "2026-03-01", "--end", DAY[10])
    assert result.exit_code == 0, result.output
    assert "reference 'spring' is set, version" in result.output
    return sample


DAY = [key(march(number)) for number in range(DAYS + 1)]


def drift(sample: "Sample", *arguments: str) -> Result:
    return CliRunner().invoke(
        main,
        [
            *("drift", "--repo", str(sample.repo), "--view", "riding", "--start-date", DAY[0]),
            *arguments,
        ],
    )


def test_a_calm_window_is_exit_code_0(riding: "Sample"):
    result = drift(riding, "--date", DAY[10], "--reference", "spring")
    assert result.exit_code == 0, result.output
    assert re.search(r"ok +fare +has not drifted: ", result.output)


def test_drift_is_exit_code_1_worst_feature_first(riding: "Sample", tmp_path: Path):
    page = tmp_path / "pages" / "out.html"
    result = drift(riding, "--date", DAY[11], "--reference", "spring", "--html", str(page))
    assert result.exit_code == 1
    told = re.findall(r"(?m)^  (\w+) +(fare|km) ", result.output)
    assert told == [("drift", "fare"), ("ok", "km")]
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "fare has drifted" in text
    # It opens offline.
    assert not re.findall(r"(?:src|href)=\"(?!#)", text)


def test_machines_get_json(riding: "Sample"):
    result = drift(riding, "--date", DAY[11], "--reference", "spring", "--json")
    assert result.exit_code == 1
    found: dict[str, Any] = json.loads(result.output)
    assert found["verdict"] == "drift"
    assert found["window"] == [f"{DAY[11]}T00:00:00+00:00", f"{DAY[12]}T00:00:00+00:00"]
    assert {each["feature"]: each["verdict"] for each in found["features"]} == {
        "fare": "drift",
        "km": "ok",
    }


def test_without_history_it_is_exit_code_1_and_says_what_to_do(riding: "Sample"):
    result = drift(riding, "--date", DAY[10])
    assert result.exit_code == 1
    assert "insufficient" in result.output
    assert "0 of the 56 windows before it are online" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--date", "2026-03-01T05:00"], "is not where a partition begins"),
        (["--date", "yesterday"], "is not a moment"),
        (["--date", "2999-01-01"], "is not over yet"),
        (["--reference", "autumn"], "is not set (set are: spring)"),
        (["--set-reference", "x"], "needs the days that the reference is made of"),
        (["--start", "2026-03-01"], "say what --set-reference is made of"),
        (
            ["--set-reference", "x", "--start", "2025-01-01", "--end", "2025-01-08"],
            "holds no row",
        ),
    ],
)
def test_what_cannot_be_done_is_exit_code_2_and_one_line(
    arguments: list[str], said: str, riding: "Sample"
):
    result = drift(riding, *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_window_without_rows_is_not_well(riding: "Sample"):
    result = drift(riding, "--date", "2026-02-01", "--reference", "spring")
    assert result.exit_code == 1
    assert "the window holds no rows" in result.output


def test_a_trend_needs_no_more_than_the_results_of_earlier_windows(riding: "Sample"):
    shutil.rmtree(riding.repo / "data/drift/weather/default/results", ignore_errors=True)
    (riding.repo / "drift.yaml").write_text("default: {reference: {named: spring}}\n")
    for number in (8, 9):
        assert drift(riding, "--date", DAY[number]).exit_code == 0
    page = riding.repo / "trend.html"
    assert drift(riding, "--date", DAY[11], "--html", str(page)).exit_code == 1
    assert f"3 windows from {DAY[8]} to {DAY[11]}: 2 ok, 1 drift" in page.read_text()
    (riding.repo / "drift.yaml").unlink()


def test_a_change_is_accepted_with_the_command_that_the_page_shows(
    make_repo: Callable[..., "Sample"], tmp_path: Path
):
    sample = make_repo({"views.py": REPO})
    random = np.random.default_rng(4)
    fare = random.lognormal(2, 1, DAYS * ROWS)
    fare[-2 * ROWS :] *= 2
    at = [march(number, 9) for number in range(DAYS) for _ in range(ROWS)]
    table = {"user_id": list(range(ROWS)) * DAYS, "fare": fare, "km": fare * 0, "at": at}
    write_table(sample.repo / "data" / "trips.parquet", table)
    (sample.repo / "drift.yaml").write_text(
        "default: {reference: {trailing: {days: 9, gap: 0, at_least: 5}}}\n"
    )
    assert sample.run("registry").success
    record_window(sample.project.store(), "riding", window(MARCH, DAYS))

    def command(*arguments: str) -> Result:
        repo = ("--repo", str(sample.repo), "--start-date", DAY[0])
        return CliRunner().invoke(main, [*arguments, *repo])

    page = tmp_path / "page.html"
    for number in (10, 11):
        asked = ("drift", "--view", "riding", "--date", DAY[number], "--html", str(page))
        assert command(*asked).exit_code == 1
    (shown,) = re.findall(r"<pre>(.*?)</pre>", page.read_text())
    program, *typed = shlex.split(html.unescape(shown))
    assert program == "feature-platform"
    done = command(*typed)
    assert done.exit_code == 0, done.output
    assert done.output == (f"riding: fare as it is in {DAY[10]}..{DAY[12]} is its new normal\n")
    calm = command("drift", "--view", "riding", "--date", DAY[11])
    assert calm.exit_code == 0, calm.output
    assert f"the change since {DAY[10]} is accepted (by hand)" in calm.output
    told = command(*typed, "--json", "--feature", "km", "--start", DAY[9])
    (accepted,) = json.loads(told.output)["accepted"]
    assert accepted["feature"] == "km"
    assert accepted["span"] == [f"{DAY[9]}T00:00:00+00:00", f"{DAY[12]}T00:00:00+00:00"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--feature", "fare"], "says what --accept accepts; add --accept"),
        (["--accept", "--reference", "spring"], "goes with --date, --feature and --start alone"),
        (["--accept", "--date", "2026-03-05"], "shows no drift to accept"),
    ],
)
def test_what_cannot_be_accepted_is_exit_code_2_and_one_line(
    arguments: list[str], said: str, riding: "Sample"
):
    result = drift(riding, *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1
