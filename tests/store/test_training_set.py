"""Training sets: every entity row, as of its time, in bytes that the same inputs give again."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feature_platform.core.windows import Window
from feature_platform.errors import RepoError, SourceError
from feature_platform.registry.registry_apply import apply
from feature_platform.training.entity_rows import EntityRows, entity_table, read_entity_rows
from feature_platform.training.leak_probe import probe_training_set
from feature_platform.training.saved_datasets import register
from feature_platform.training.snapshots import latest_snapshot
from feature_platform.training.training_set import TrainingSet, build_training_set

if TYPE_CHECKING:
    from conftest import Sample

DAY = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = ["trips", "mean_fare", "usual_payment"]


@pytest.fixture(scope="module")
def sample(make_sample: Callable[..., "Sample"]) -> "Sample":
    """Riders 1 to 3 in two cities, at 02:00 and 20:00 of three days, trips growing."""
    found = make_sample("composite_entities")
    apply(found.project.store(), found.project.contents)
    return found


@pytest.fixture
def entities() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    rows = 300
    hours = rng.integers(-10, 90, rows)
    return pd.DataFrame(
        {
            "city_code": rng.choice(["SEL", "TYO", "nowhere"], rows),
            "rider_id": rng.choice([1, 2, 3, 99], rows),
            "event_timestamp": [DAY + timedelta(hours=int(hour)) for hour in hours],
            "churned": pd.array(rng.choice([0, 1, None], rows), dtype="Int64"),
        }
    )


def build(sample: "Sample", entities: Any, out: Path, **arguments: Any) -> TrainingSet:
    return build_training_set(sample.project, "pricing", entities, out, **arguments)


def newest(source: pa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """By hand: the features of the newest row of the key that is not after the entity row."""
    found = [
        each
        for each in source.to_pylist()
        if (each["rider_id"], each["city_code"]) == (row["rider_id"], row["city_code"])
        and each["event_timestamp"] <= row["event_timestamp"]
    ]
    best = max(found, key=lambda each: (each["event_timestamp"], each["created"]), default={})
    return {name: best.get(name) for name in FEATURES}


def test_every_entity_row_is_kept_in_order_with_what_was_newest_at_its_time(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities, tmp_path).to_arrow()

    assert built.column_names == [*entities.columns, *FEATURES]
    for name in ("city_code", "rider_id"):
        assert built.column(name).to_pylist() == list(entities[name])
    source = pq.read_table(sample.repo / "data/trips.parquet")
    expected = [newest(source, row) for row in built.select(list(entities.columns)).to_pylist()]
    assert built.select(FEATURES).to_pylist() == expected
    assert any(row["trips"] is None for row in expected)


def test_integers_stay_integers_beside_nulls(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities, tmp_path)
    assert built.to_arrow().schema.field("trips").type == pa.int32()
    assert built.to_arrow().schema.field("churned").type == pa.int64()
    assert built.to_arrow().column("churned").to_pylist() == [
        None if pd.isna(each) else int(each) for each in entities["churned"]
    ]
    assert str(built.to_pandas()["trips"].dtype) == "Int32"


def test_the_same_inputs_give_the_same_bytes_and_the_same_version(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    first = build(sample, entities, tmp_path / "a", label="churned")
    again = build(sample, entities, tmp_path / "a", label="churned")
    elsewhere = build(
        sample,
        pa.Table.from_pandas(entities, preserve_index=False),
        tmp_path / "b",
        label="churned",
    )
    assert first.version == again.version
    assert (first.previous, again.previous, again.changes) == (None, first.version, ())
    assert elsewhere.version == first.version
    for name in ("data.parquet", "manifest.json"):
        assert (first.snapshot.folder / name).read_bytes() == (
            elsewhere.snapshot.folder / name
        ).read_bytes()


def test_the_manifest_says_what_the_rows_depend_on(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities, tmp_path, label="churned", origin="labels.parquet")
    manifest = json.loads((built.snapshot.folder / "manifest.json").read_text())
    assert manifest["version"] == built.version
    assert manifest["rows"] == built.rows == len(entities)
    rows = manifest["entity_rows"]
    assert (rows["origin"], rows["label"], rows["keys"]) == (
        "labels.parquet",
        "churned",
        ["city_code", "rider_id"],
    )
    trips = manifest["features"]["trips"]
    column = built.to_arrow().column("trips")
    assert trips["type"] == "int32"
    assert trips["null_rate"] == round(column.null_count / len(column), 6) > 0
    zeros = sum(value == 0 for value in column.to_pylist())
    assert trips["default_rate"] == round(zeros / len(column), 6)
    source = manifest["sources"]["rider_in_city"]
    assert (source["source"], len(source["content_hash"])) == ("trips", 32)
    assert set(manifest["code"]) == {"feature-platform", "feast", "pyarrow"}


def test_late_data_makes_a_new_version_that_says_what_changed(
    make_sample: Callable[..., "Sample"], entities: pd.DataFrame, tmp_path: Path
) -> None:
    sample = make_sample("composite_entities")
    apply(sample.project.store(), sample.project.contents)
    before = build(sample, entities, tmp_path)
    path = sample.repo / "data/trips.parquet"
    table = pq.read_table(path)
    late = pc.equal(table.column("event_timestamp"), pa.scalar(DAY + timedelta(hours=20)))
    place = table.column_names.index("trips")
    more = pc.if_else(late, pc.add(table.column(place), 100), table.column(place))
    pq.write_table(
        table.set_column(place, "trips", more.cast(table.schema.field("trips").type)), path
    )

    after = build(sample, entities, tmp_path)

    differing = sum(
        left != right
        for left, right in zip(
            before.to_arrow().column("trips").to_pylist(),
            after.to_arrow().column("trips").to_pylist(),
            strict=True,
        )
    )
    assert after.previous == before.version != after.version
    assert after.changes == (
        "source rider_in_city changed (content_hash)",
        f"trips: {differing} of {len(entities)} values differ",
    )
    assert differing > 0
    assert before.to_arrow().num_rows == len(entities)  # the old version is still there
    latest = latest_snapshot(tmp_path / "pricing")
    assert latest is not None
    assert latest.version == after.version


def test_other_entity_rows_make_a_new_version(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    build(sample, entities, tmp_path)
    after = build(sample, entities.iloc[1:], tmp_path)
    assert after.changes[0] == "entity rows: 300 rows before, 299 now"


def test_a_damaged_version_is_made_again(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities, tmp_path)
    whole = built.snapshot.data.read_bytes()
    built.snapshot.data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="cannot be read"):
        built.to_arrow()
    assert build(sample, entities, tmp_path).snapshot.data.read_bytes() == whole


def test_an_unfinished_version_is_never_met(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("feature_platform.training.snapshots.file_hash", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(sample, entities, tmp_path)
    assert [path.name for path in (tmp_path / "pricing").iterdir()] == [".lock"]
    assert latest_snapshot(tmp_path / "pricing") is None


def test_feast_reads_it_back_as_a_saved_dataset(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities, tmp_path, partition="2026-03-01")
    name = register(sample.project.store(), built)
    assert name == "pricing@2026-03-01"
    saved = sample.project.store().get_saved_dataset(name)
    assert saved.tags["version"] == built.version
    assert len(saved.to_df()) == len(entities)


def test_an_offline_store_that_loses_rows_is_refused(
    make_sample: Callable[..., "Sample"], entities: pd.DataFrame, tmp_path: Path
) -> None:
    sample = make_sample("composite_entities")
    config = sample.repo / "feature_store.yaml"
    config.write_text(config.read_text().replace("type: duckdb", "type: dask"))
    views = sample.repo / "riders.py"
    [views] = [path for path in sample.repo.glob("*.py") if "ttl" in path.read_text()]
    views.write_text(views.read_text().replace("timedelta(days=0)", "timedelta(hours=6)"))
    apply(sample.project.store(), sample.project.contents)
    with pytest.raises(SourceError, match=r"returned \d+ rows .* for 300 entity rows"):
        build(sample, entities, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows.drop(columns="rider_id"), "have no column 'rider_id', a key of feature"),
        (lambda rows: rows.drop(columns="event_timestamp"), "have no column 'event_timestamp'"),
        (lambda rows: rows.assign(event_timestamp=1.5), "of type double, not a time"),
        (lambda rows: rows.assign(event_timestamp="soon"), "text that is not a time"),
        (
            lambda rows: rows.assign(event_timestamp=[pd.NaT, *rows["event_timestamp"][1:]]),
            "1 of 300 have no 'event_timestamp'",
        ),
        (lambda rows: rows.assign(trips=1), "has a feature 'trips', and so have the entity rows"),
        (lambda rows: rows.assign(rider_id=rows["city_code"]), "could not join it"),
    ],
)
def test_entity_rows_that_do_not_fit(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    problem: str,
    sample: "Sample",
    entities: pd.DataFrame,
    tmp_path: Path,
) -> None:
    with pytest.raises(SourceError, match=problem):
        build(sample, change(entities), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_entity_rows_make_an_empty_set_with_all_columns(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities.iloc[:0], tmp_path)
    assert built.rows == 0
    assert built.to_arrow().column_names == [*entities.columns, *FEATURES]
    assert built.to_arrow().schema.field("trips").type == pa.int32()
    assert register(sample.project.store(), built) is None


def test_a_service_that_is_not_there(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(RepoError, match="choose one of: pricing"):
        build_training_set(sample.project, "prices", entities, tmp_path)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([0], pa.timestamp("s")), 0),
        (pa.array([1_999], pa.timestamp("ns", "Asia/Seoul")), 1),
        (pa.array([-1], pa.timestamp("ns")), -1),
        (pa.array([1], pa.date32()), 86_400_000_000),
        (pa.array(["1970-01-01T09:00:00+09:00"]), 0),
        (pa.array(["1970-01-01 00:00:01"]), 1_000_000),
    ],
)
def test_times_become_utc_microseconds_cut_never_rounded_up(times: pa.Array, expected: int) -> None:
    table = entity_table(pa.table({"t": times}), "t", "a test")
    assert table.schema.field("t").type == pa.timestamp("us", "UTC")
    assert table.column("t").cast(pa.int64()).to_pylist() == [expected]


def test_the_probe_finds_nothing_in_a_right_set_and_says_the_ages(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities, tmp_path).to_arrow()
    store = sample.project.store()
    [found] = probe_training_set(
        store, store.get_feature_service("pricing"), built, "event_timestamp"
    )
    assert found.well
    assert found.rows == 300
    assert found.found == 300 - built.column("trips").null_count
    assert found.ages[0.0] >= timedelta(0)
    assert found.ages[0.0] <= found.ages[0.5] <= found.ages[1.0]


def test_the_probe_tells_a_leak_from_another_difference(
    sample: "Sample", entities: pd.DataFrame, tmp_path: Path
) -> None:
    built = build(sample, entities, tmp_path).to_arrow()
    later = entities.assign(event_timestamp=entities["event_timestamp"] + timedelta(hours=24))
    leaked = build(sample, later, tmp_path).to_arrow()
    place = built.column_names.index("event_timestamp")
    leaked = leaked.set_column(place, "event_timestamp", built.column("event_timestamp"))
    store = sample.project.store()
    service = store.get_feature_service("pricing")

    [found] = probe_training_set(store, service, leaked, "event_timestamp")
    rows = [table.select(FEATURES).to_pylist() for table in (built, leaked)]
    differing = sum(right != wrong for right, wrong in zip(*rows, strict=True))
    assert found.leaks == differing > 0
    assert found.others == 0
    assert len(found.examples) == 5

    place = built.column_names.index("mean_fare")
    odd = built.set_column(place, "mean_fare", pc.add(built.column("mean_fare"), 0.125))
    [found] = probe_training_set(store, service, odd, "event_timestamp", limit=100, seed=3)
    assert (found.rows, found.leaks) == (100, 0)
    assert found.others == found.found > 0


def test_entity_rows_of_a_window_come_from_files_in_the_repo(
    sample: "Sample", entities: pd.DataFrame
) -> None:
    folder = sample.repo / "labels"
    folder.mkdir(exist_ok=True)
    entities.iloc[:100].to_parquet(folder / "b.parquet", index=False)
    entities.iloc[100:].to_parquet(folder / "a.parquet", index=False)
    rows = EntityRows(path="labels/*.parquet", partitions="daily")
    window = Window(DAY, DAY + timedelta(days=1))
    found = read_entity_rows(sample.project, rows, window)
    inside = entities[
        (entities["event_timestamp"] >= window.start) & (entities["event_timestamp"] < window.end)
    ]
    assert found.num_rows == len(inside) > 0
    whole = read_entity_rows(sample.project, EntityRows(path="labels"))
    assert whole.column("rider_id").to_pylist() == [
        *entities["rider_id"].iloc[100:],
        *entities["rider_id"].iloc[:100],
    ]
    with pytest.raises(SourceError, match="there is no Parquet file at"):
        read_entity_rows(sample.project, EntityRows(path="lables"))


@pytest.mark.parametrize(
    "arguments", [{}, {"path": "a", "sql": "b", "partitions": "daily"}, {"sql": "b"}]
)
def test_entity_rows_from_nowhere_or_from_two_places(arguments: dict[str, Any]) -> None:
    with pytest.raises(RepoError):
        EntityRows(**arguments)
