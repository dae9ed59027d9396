"""`feature-platform training-set`: what it prints, and what it refuses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from feature_platform.cli import main

if TYPE_CHECKING:
    from worlds.samples import Sample

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
        {"view": "rider_in_city", "rows": 4, "found": 3, "leaks": 0, "others": 0, "known_later": 0}
    ]
    assert pd.read_parquet(again["data"])["trips"].notna().tolist() == [True, True, True, False]


def test_what_does_not_fit_is_one_line_and_writes_nothing(
    sample: "Sample", labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rows = pq.read_table(labels)
    twice, texts = tmp_path / "twice.parquet", tmp_path / "texts.parquet"
    pq.write_table(rows.append_column("rider_id", rows["rider_id"]), twice)
    pq.write_table(rows.set_column(0, "rider_id", pa.array(list("abcd"))), texts)
    for arguments, problem in (
        (("--service", "prices"), "choose one of: pricing"),
        (("--entities", str(tmp_path / "none.parquet")), "there is no Parquet file at"),
        (("--timestamp", "when"), "have no column 'when'"),
        (("--label", "churn"), "have no label column 'churn' (they have rider"),
        (("--entities", str(twice)), "have more than one column 'rider_id'; give each column a"),
        (("--entities", str(texts)), "rider_id"),
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


def test_a_computed_view_whose_table_was_never_written_is_named_with_what_writes_it(
    make_sample: Callable[..., "Sample"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    sample = make_sample("transformed")
    views = sample.repo / "views.py"
    services = (
        "\nfrom feast import FeatureService\n"
        "own = FeatureService(name='own', features=[last_sale])\n"
        "derived = FeatureService(name='derived', features=[overview])\n"
    )
    views.write_text(views.read_text() + services)
    rows = tmp_path / "rows.parquet"
    times = [DAY + timedelta(days=1)] * 2
    pd.DataFrame({"shop_id": [1, 99], "event_timestamp": times}).to_parquet(rows)

    def refused(service: str) -> str:
        result = command(sample, rows, tmp_path / "out", "--service", service)
        assert result.exit_code == 2
        [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")

    assert refused("own") == (
        "feature view 'last_sale' of service 'own': has no history to join (source 'sales': it has "
        "no column 'cents' (it has booked_at, euros, shop_id, sold_at)); it is computed while it "
        "is materialized and only stored online: derive a view from it (source=[last_sale], with a "
        "sink_source and offline=True) for the service, or leave it out"
    )
    writes = "feature-platform materialize --view overview --start DAY --end DAY"
    line = refused("derived")
    assert line.startswith("feature view 'overview' of service 'derived': has no history to join (")
    assert "there is no Parquet file at 'data/overviews.parquet'" in line
    assert line.endswith(f"; define the view with offline=True, and {writes} writes it")
    text = views.read_text()
    old = 'timestamp_field="sold_at"\n    ),\n    online=True,\n)\nper_visit'
    assert old in text
    views.write_text(text.replace(old, old.replace("online=True", "online=True, offline=True")))
    window = ["--start", "2026-03-01", "--end", "2026-03-02", "--start-date", "2026-03-01"]
    arguments = ["materialize", "--repo", str(sample.repo), "--view", "overview", *window]
    assert "differs from the repo" in refused("derived")
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result = command(sample, rows, tmp_path / "out", "--service", "derived", "--json")
    assert result.exit_code == 0, result.output
    made = pd.read_parquet(json.loads(result.stdout)["data"])
    assert made["visitors"].notna().tolist() == [True, False]
    (sample.repo / "data/overviews.parquet").unlink()
    assert refused("derived").endswith(f"; write it: {writes}")


def test_no_entity_rows_are_an_empty_set_with_the_types_of_a_full_one(
    sample: "Sample", labels: Path, tmp_path: Path
) -> None:
    none = tmp_path / "none.parquet"
    # As pandas writes an empty frame: it has no type for text.
    rows = pq.read_table(labels).slice(0, 0)
    place = rows.column_names.index("city_code")
    pq.write_table(rows.set_column(place, "city_code", pa.nulls(0)), none)
    found = []
    for entities in (labels, none):
        out = tmp_path / entities.stem
        result = command(sample, entities, out, "--json")
        assert result.exit_code == 0, result.output
        found.append(pq.read_table(json.loads(result.stdout)["data"]))
    full, empty = found
    assert (full.num_rows, empty.num_rows) == (4, 0)
    assert empty.schema == full.schema


def test_what_an_on_demand_view_takes_from_the_request_is_asked_for(
    make_sample: Callable[..., "Sample"], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    pd.DataFrame({"place_id": [1], "event_timestamp": [DAY]}).to_parquet(rows)
    sample = make_sample("on_demand")
    result = command(sample, rows, tmp_path / "out", "--service", "by_reference")
    assert result.exit_code == 2
    assert (
        "have no column 'distance_km', which on-demand feature view 'attraction' of service "
        "'by_reference' takes from the request" in result.stderr
    )


@pytest.mark.parametrize("place", ["file", "refused"])
def test_a_folder_that_takes_nothing_is_named_and_left_as_it_was(
    sample: "Sample", labels: Path, tmp_path: Path, place: str
) -> None:
    out = tmp_path / "out"
    if place == "file":
        out.write_text("something else")
    else:
        out = Path("/proc/nothing/here")
    result = command(sample, labels, out)
    assert result.exit_code == 2
    assert f"error: snapshots in '{out}/pricing'" in result.stderr
    assert "; choose another folder, or make room and give permission" in result.stderr
    assert not out.is_dir()
