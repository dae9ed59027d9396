"""The asset of a training set: its snapshots, its checks, and what the repo says of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest
from worlds.samples import Sample, checks

from feature_platform.errors import RepoError
from feature_platform.training.entity_rows import EntityRows
from feature_platform.training.snapshots import latest_snapshot

DAY = datetime(2026, 3, 1, tzinfo=UTC)
ASSET = "training_sets/pricing"
SETTINGS = "path: labels\nlabel: churned\npartitions: daily\n"


@pytest.fixture
def sample(make_sample: Callable[..., "Sample"]) -> "Sample":
    """Riders in cities, with labels of three days in two files, and their training set."""
    found = make_sample("composite_entities")
    (found.repo / "labels").mkdir()
    (found.repo / "training_sets").mkdir()
    (found.repo / "training_sets/pricing.yaml").write_text(SETTINGS)
    rows = [
        {
            "rider_id": rider,
            "city_code": city,
            "event_timestamp": DAY + timedelta(days=day, hours=hour),
            "churned": (rider + hour) % 2 == 0,
        }
        for day in range(3)
        for hour in (5, 21)
        for rider in (1, 2, 3)
        for city in ("SEL", "TYO")
    ]
    frame = pd.DataFrame(rows)
    frame.iloc[:20].to_parquet(found.repo / "labels/first.parquet", index=False)
    frame.iloc[20:].to_parquet(found.repo / "labels/second.parquet", index=False)
    assert found.run("registry").success
    return found


def metadata(result: dg.ExecuteInProcessResult) -> dict[str | None, dict[str, Any]]:
    """What each partition of the training set says of itself."""
    return {
        event.partition: {k: v.value for k, v in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


def snapshots(sample: "Sample") -> Path:
    return sample.repo / "data/training_sets/pricing"


def test_a_partition_is_a_snapshot_of_its_entity_rows(sample: "Sample") -> None:
    result = sample.run(ASSET, partition="2026-03-02")
    assert result.success
    assert {name: each.passed for name, each in checks(result).items()} == dict.fromkeys(
        ("no_leak", "rows_kept", "null_rates", "ages", "label"), True
    )
    said = metadata(result)["2026-03-02"]
    latest = latest_snapshot(snapshots(sample) / "2026-03-02")
    assert latest is not None
    assert said["feature_platform/version"] == latest.version
    assert said["dagster/partition_row_count"] == latest.read().num_rows == 12
    assert Path(said["feature_platform/snapshot"]) == latest.folder
    store = sample.project.store()
    assert store.get_saved_dataset("pricing@2026-03-02").tags["version"] == latest.version


def test_a_range_is_one_run_with_a_snapshot_a_partition(sample: "Sample") -> None:
    result = sample.run(ASSET, span=("2026-03-01", "2026-03-03"))
    assert result.success
    found = metadata(result)
    assert set(found) == {"2026-03-01", "2026-03-02", "2026-03-03"}
    assert len({each["feature_platform/version"] for each in found.values()}) == 3
    assert checks(result)["rows_kept"].description == "36 rows, one for each entity row"


def test_a_rerun_is_the_same_version_until_late_data_comes(sample: "Sample") -> None:
    first = metadata(sample.run(ASSET, partition="2026-03-02"))["2026-03-02"]
    again = metadata(sample.run(ASSET, partition="2026-03-02"))["2026-03-02"]
    assert again == first
    path = sample.repo / "data/trips.parquet"
    frame = pq.read_table(path).to_pandas()
    frame.loc[frame["event_timestamp"] == DAY + timedelta(days=1, hours=2), "trips"] += 7
    frame.to_parquet(path, index=False)
    late = metadata(sample.run(ASSET, partition="2026-03-02"))["2026-03-02"]
    assert late["feature_platform/version"] != first["feature_platform/version"]
    assert "source rider_in_city changed" in late["feature_platform/changes"]
    assert "trips: 6 of 12 values differ" in late["feature_platform/changes"]


def test_labels_that_are_missing_or_always_the_same_fail(sample: "Sample") -> None:
    for path in (sample.repo / "labels").iterdir():
        frame = pd.read_parquet(path)
        frame["churned"] = True
        frame.to_parquet(path, index=False)
    label = checks(sample.run(ASSET, partition="2026-03-01"))["label"]
    assert not label.passed
    assert label.description == "label 'churned' is the same in all 12 rows"
    for path in (sample.repo / "labels").iterdir():
        frame = pd.read_parquet(path)
        frame["churned"] = pd.array([True, None] * (len(frame) // 2), dtype="boolean")
        frame.to_parquet(path, index=False)
    label = checks(sample.run(ASSET, partition="2026-03-01"))["label"]
    assert label.description == "6 of 12 rows have no label 'churned'"


def test_a_feature_without_a_value_and_a_view_without_a_row_in_time_warn(sample: "Sample") -> None:
    path = sample.repo / "data/trips.parquet"
    frame = pq.read_table(path).to_pandas()
    frame["event_timestamp"] += timedelta(days=100)
    frame.to_parquet(path, index=False)
    result = sample.run(ASSET, partition="2026-03-01")
    assert result.success
    found = checks(result)
    assert found["no_leak"].passed
    for name, said in (
        ("null_rates", "trips has no value at all"),
        ("ages", "no row has a value of rider_in_city in time"),
    ):
        assert not found[name].passed
        assert found[name].severity == dg.AssetCheckSeverity.WARN
        assert said in str(found[name].description)


def test_a_window_without_entity_rows_is_an_empty_snapshot(sample: "Sample") -> None:
    result = sample.run(ASSET, partition="2026-03-09")
    assert result.success
    assert metadata(result)["2026-03-09"]["dagster/partition_row_count"] == 0
    assert all(each.passed for each in checks(result).values())


def test_it_hangs_on_the_views_of_its_service(sample: "Sample") -> None:
    spec = sample.specs()[ASSET]
    assert [dep.asset_key for dep in spec.deps] == [sample.key("feature_views/rider_in_city")]
    assert spec.partitions_def is not None


def test_the_builder_takes_entity_rows_too(make_sample: Callable[..., "Sample"]) -> None:
    sample = make_sample("composite_entities")
    assert ASSET not in sample.specs()
    rows = EntityRows(path="labels")
    assert sample.specs(training_sets={"pricing": rows})[ASSET].partitions_def is None
    with pytest.raises(RepoError, match="choose one of: pricing"):
        sample.specs(training_sets={"prices": rows})


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("prices.yaml", SETTINGS, "has no feature service 'prices'; name it after one of: pricing"),
        (
            "pricing.yaml",
            "labl: churned\npath: labels",
            ".yaml:1: the file has the unknown field 'labl'",
        ),
        ("pricing.yaml", "path: labels\nsql: labels.sql\npartitions: daily", "path and sql"),
        ("pricing.yaml", "sql: labels.sql", "partitions is not set"),
        ("pricing.yaml", "path: labels\nlookahead: soon", ".yaml:2: lookahead is 'soon'"),
        (
            "pricing.yaml",
            "path: labels\npartitions: weekly",
            ".yaml:2: partitions is 'weekly'",
        ),
        ("pricing.yaml", "path: 7", "path is 7; make it text"),
        ("pricing.yaml", "- path", "the file is not a mapping; use some of path, sql"),
        ("pricing.yaml", "path: [", "pricing.yaml:1: is not plain YAML"),
    ],
)
def test_settings_that_are_wrong_are_refused(
    sample: "Sample", name: str, text: str, problem: str
) -> None:
    (sample.repo / "training_sets/pricing.yaml").unlink()
    (sample.repo / "training_sets" / name).write_text(text)
    with pytest.raises(RepoError) as error:
        sample.definitions()
    assert problem in str(error.value)
