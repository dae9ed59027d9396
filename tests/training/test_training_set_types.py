"""Training sets of odd types, names and times: the same values, and no alarm without a leak."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_platform.errors import SourceError
from feature_platform.registry.registry_apply import apply
from feature_platform.training.entity_rows import (
    EntityRows,
    entity_hash,
    entity_table,
    read_entity_rows,
    read_parquet,
)
from feature_platform.training.leak_probe import ProbedView, probe_training_set
from feature_platform.training.training_set import TrainingSet, build_training_set

if TYPE_CHECKING:
    from worlds.samples import Sample

OURS = "feature_platform.plugins.PointInTimeOfflineStore"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BIG = 2**53 + 1
VIEWS = """
from datetime import timedelta
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource
from feast.labeling import ConflictPolicy, LabelView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int32, Int64, String
from feast.value_type import ValueType

shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
source = FileSource(name="shops", path="data/shops.parquet", timestamp_field="ts")
shops = FeatureView(
    name="shops",
    entities=[shop],
    schema=[Field(name="sales", dtype=Int64), Field(name="open", dtype=Bool)],
    ttl=timedelta(0),
    source=source,
)
small = FeatureView(
    name="small", entities=[shop], schema=[Field(name="share", dtype=Int32)], source=source
)
endless = FeatureView(
    name="endless",
    entities=[shop],
    schema=[Field(name="sales", dtype=Int64)],
    ttl=timedelta(days=3_000_000),
    source=source,
)


@on_demand_feature_view(sources=[shops], schema=[Field(name="doubled", dtype=Float64)])
def twice(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"doubled": inputs["sales"] * 2.0})


plain = FeatureService(name="plain", features=[shops])
computed = FeatureService(name="computed", features=[twice])
part_and_computed = FeatureService(name="part_and_computed", features=[shops[["open"]], twice])
unfit = FeatureService(name="unfit", features=[small])
old = FeatureService(name="old", features=[endless])

labels = FileSource(
    name="verdicts",
    path="data/verdicts.parquet",
    timestamp_field="said_at",
    created_timestamp_column="written",
    field_mapping={"good": "is_good", "id": "shop_id"},
)
schema = [
    Field(name="shop_id", dtype=Int64),
    Field(name="is_good", dtype=Int64),
    Field(name="who", dtype=String),
]
for policy in ConflictPolicy:
    globals()[policy.name] = LabelView(
        name=policy.name.lower(), entities=[shop], schema=schema, source=labels,
        labeler_field="who", conflict_policy=policy,
    )
"""


def _shops(kind: pa.DataType) -> pa.Table:
    times = [NOON - timedelta(days=40_000), NOON, NOON + timedelta(hours=1)]
    return pa.table(
        {
            "shop_id": [1, BIG, BIG],
            "sales": pa.array([5, BIG, None], pa.int64()),
            "open": pa.array([0, 1, 0], pa.int8()),
            "share": [0.5, 1.0, 2.0],
            "ts": pa.array(times, pa.timestamp("us", "UTC")).cast(kind),
        }
    )


def _verdicts() -> pa.Table:
    hours = [timedelta(hours=hour) for hour in (0, 1, 1, 2)]
    time = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "id": [1, 1, 1, BIG],
            "good": pa.array([1, 0, 1, None], pa.int64()),
            "who": ["a", "b", "c", "a"],
            "said_at": pa.array([NOON + hour for hour in hours], time),
            "written": pa.array([NOON + timedelta(days=day) for day in (1, 3, 2, 1)], time),
        }
    )


@pytest.fixture(scope="module", params=["duckdb", OURS])
def sample(request: pytest.FixtureRequest, make_repo: Callable[..., "Sample"]) -> "Sample":
    found = make_repo({"views.py": VIEWS})
    config = found.repo / "feature_store.yaml"
    lines = [line for line in config.read_text().splitlines() if "type: duckdb" not in line]
    assert "offline_store:" in lines
    place = lines.index("offline_store:")
    lines.insert(place + 1, f"  type: {request.param}")
    config.write_text("\n".join(lines) + "\n")
    (found.repo / "data").mkdir(exist_ok=True)
    pq.write_table(_shops(pa.timestamp("us", "UTC")), found.repo / "data/shops.parquet")
    pq.write_table(_verdicts(), found.repo / "data/verdicts.parquet")
    apply(found.project.store(), found.project.contents)
    return found


def _built(
    sample: "Sample", service: str, out: Path, columns: Mapping[str, Any] | None = None
) -> tuple[TrainingSet, list[ProbedView]]:
    entities = pa.table(
        {
            "shop_id": pa.array([BIG, None, 1, BIG], pa.int64()),
            "event_timestamp": pa.array(
                [NOON, NOON, NOON, NOON - timedelta(seconds=1)], pa.timestamp("us", "UTC")
            ),
            **(columns or {}),
        }
    )
    made = build_training_set(sample.project, service, entities, out)
    store = sample.project.store()
    wanted = store.get_feature_service(service)
    return made, probe_training_set(store, wanted, made.to_arrow(), "event_timestamp")


def test_keys_beyond_the_whole_numbers_of_a_double_keep_their_values_beside_a_null(
    sample: "Sample", tmp_path: Path
) -> None:
    made, [probed] = _built(sample, "plain", tmp_path)
    rows = made.to_arrow()
    assert rows.column("sales").to_pylist() == [BIG, None, 5, None]
    assert rows.column("open").to_pylist() == [True, None, False, None]
    assert probed.well
    assert probed.found == 2


def test_a_ttl_longer_than_the_calendar(sample: "Sample", tmp_path: Path) -> None:
    made, [probed] = _built(sample, "old", tmp_path)
    assert made.to_arrow().column("sales").to_pylist() == [BIG, None, 5, None]
    assert probed.well


def test_what_an_on_demand_view_reads_comes_along_in_its_type_and_is_probed(
    sample: "Sample", tmp_path: Path
) -> None:
    made, [probed] = _built(sample, "computed", tmp_path)
    rows = made.to_arrow()
    assert rows.column("doubled").to_pylist()[2] == 10.0
    assert rows.column("open").to_pylist() == [True, None, False, None]
    assert rows.column("sales").to_pylist() == [BIG, None, 5, None]
    assert probed.well
    with pytest.raises(SourceError, match="has a feature 'sales', and so have the entity rows"):
        _built(sample, "computed", tmp_path, {"sales": [7, 7, 7, 7]})


def test_what_an_on_demand_view_reads_counts_among_the_sources(
    sample: "Sample", tmp_path: Path
) -> None:
    made, probed = _built(sample, "part_and_computed", tmp_path)
    assert all(view.well for view in probed)
    before = made.snapshot.manifest["sources"]["shops"]
    path = sample.repo / "data/shops.parquet"
    table = pq.read_table(path)
    try:
        place = table.column_names.index("sales")
        changed = pa.array([6, BIG, None], pa.int64())
        pq.write_table(table.set_column(place, "sales", changed), path)
        after, _ = _built(sample, "part_and_computed", tmp_path)
    finally:
        pq.write_table(table, path)
    assert after.snapshot.manifest["sources"]["shops"] != before
    assert "source shops changed (content_hash)" in after.changes


def test_a_source_that_holds_other_values_than_declared_is_told_by_name(
    sample: "Sample", tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"feature 'share' .* does not fit the declared int32"):
        _built(sample, "unfit", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_before_that_is_gone_does_not_stop_the_next(
    sample: "Sample", tmp_path: Path
) -> None:
    made, _ = _built(sample, "plain", tmp_path)
    made.snapshot.data.unlink()
    path = sample.repo / "data/shops.parquet"
    table = pq.read_table(path)
    try:
        pq.write_table(table.slice(1), path)
        after, _ = _built(sample, "plain", tmp_path)
    finally:
        pq.write_table(table, path)
    assert after.version != made.version
    assert "values cannot be compared" in after.changes[-1]


@pytest.mark.parametrize(
    ("policy", "good"),
    [("last_write_wins", 0), ("labeler_priority", 0), ("majority_vote", 1)],
)
def test_label_views_map_fields_and_keep_integers(policy: str, good: int, sample: "Sample") -> None:
    found = read_entity_rows(sample.project, EntityRows(label_view=policy))
    assert found.column("shop_id").to_pylist() == [1, BIG]
    assert found.column("is_good").to_pylist() == [good, None]
    assert found.schema.field("is_good").type == pa.int64()


def test_a_label_view_without_a_row_has_the_types_of_its_source(sample: "Sample") -> None:
    from feature_platform.core.windows import Window

    window = Window(NOON - timedelta(days=2), NOON - timedelta(days=1))
    found = read_entity_rows(sample.project, EntityRows(label_view="majority_vote"), window)
    assert found.num_rows == 0
    assert [found.schema.field(name).type for name in ("shop_id", "who")] == [
        pa.int64(),
        pa.string(),
    ]


@pytest.mark.parametrize("kind", [pa.timestamp("ns", "UTC"), pa.timestamp("ns")])
def test_the_probe_reads_files_of_nanoseconds(
    kind: pa.DataType, make_repo: Callable[..., "Sample"], tmp_path: Path
) -> None:
    found = make_repo({"views.py": VIEWS})
    config = found.repo / "feature_store.yaml"
    config.write_text(config.read_text().replace("type: duckdb", f"type: {OURS}"))
    (found.repo / "data").mkdir(exist_ok=True)
    pq.write_table(_shops(kind), found.repo / "data/shops.parquet")
    apply(found.project.store(), found.project.contents)
    _, [probed] = _built(found, "plain", tmp_path)
    assert probed.well
    assert probed.found == 2


def test_the_hash_of_entity_rows_is_that_of_their_values() -> None:
    frame = pd.DataFrame(
        {
            "event_timestamp": pd.to_datetime(["2026-03-01", "2026-03-02"]),
            "label": pd.array([1, 2], dtype="Int64"),
            "flag": pd.array([True, True], dtype="boolean"),
            "place": pd.Categorical(["a", None]),
        }
    )
    frame.loc[1, ["label", "flag"]] = pd.NA  # the 2 and the True stay below, in memory
    time = pa.timestamp("ns")
    columns = {
        "event_timestamp": pa.array(frame["event_timestamp"], time),
        "label": pa.array([1, None], pa.int64()),
        "flag": [True, None],
        "place": pa.array(["a", None], pa.large_string()),
    }
    hashes = {
        entity_hash(entity_table(rows, "event_timestamp", "a test"))
        for rows in (frame, pa.table(columns))
    }
    assert len(hashes) == 1
    other = pa.table({**columns, "flag": [True, False]})
    assert entity_hash(entity_table(other, "event_timestamp", "a test")) not in hashes


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "are not a table"),
        (pd.DataFrame({"event_timestamp": [NOON], "a": [object()]}), "are not a table"),
        (
            pa.table({"event_timestamp": pa.array([2**60], pa.timestamp("s"))}),
            "times out of range",
        ),
    ],
)
def test_entity_rows_that_are_no_table(rows: Any, problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        entity_table(rows, "event_timestamp", "a test")


def test_a_pattern_may_be_of_folders(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"labels/{day}").mkdir(parents=True)
        pq.write_table(pa.table({"n": [day]}), tmp_path / f"labels/{day}/rows.parquet")
    assert read_parquet(tmp_path, "labels/*/rows.parquet").column("n").to_pylist() == [1, 2]
