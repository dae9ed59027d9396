"""Which time says when a row of a source was known: its event time, or its created time."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds.repos import TIME
from worlds.samples import checks
from worlds.times import day

from feature_platform.errors import RepoError
from feature_platform.plugins import PointInTimeOfflineStore
from feature_platform.registry.registry_apply import apply
from feature_platform.training.leak_probe import probe_training_set
from feature_platform.training.training_set import build_training_set

if TYPE_CHECKING:
    from worlds.samples import Sample

VIEWS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Int64

shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
sales = FileSource(
    name="sales", path="data/sales.parquet", timestamp_field="at", created_timestamp_column="made"
)
view = FeatureView(
    name="v", entities=[shop], ttl=timedelta(days=9000), source=sales,
    schema=[Field(name="n", dtype=Int64)],
)
service = FeatureService(name="service", features=[view])
"""
CONFIG = """
project: shop
provider: local
registry: registry.db
offline_store: {type: feature_platform.plugins.PointInTimeOfflineStore}
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""
Row = tuple[int, datetime, datetime | None]
"""Shop, event time, created time; the value is the row's number."""


def write(sample: "Sample", rows: list[Row]) -> None:
    (sample.repo / "data").mkdir(exist_ok=True)
    shops, at, made = ([each[place] for each in rows] for place in range(3))
    table = pa.table(
        {
            "shop_id": pa.array(shops, pa.int64()),
            "n": pa.array(range(len(rows)), pa.int64()),
            "at": pa.array(at, TIME),
            "made": pa.array(made, TIME),
        }
    )
    pq.write_table(table, sample.repo / "data" / "sales.parquet")


def opened(make_repo: Callable[..., "Sample"]) -> "Sample":
    sample = make_repo({"views.py": VIEWS, "feature_store.yaml": CONFIG})
    apply(sample.project.store(), sample.project.contents)
    return sample


@pytest.fixture(scope="module")
def sample(make_repo: Callable[..., "Sample"]) -> "Sample":
    return opened(make_repo)


CORRECTED = [(1, day(1, 1), day(1, 1)), (1, day(1, 1), day(6, 1))]
LABELS = pa.table({"shop_id": [1, 1], "event_timestamp": pa.array([day(2), day(7)], TIME)})


def built(sample: "Sample", out: Path, known_by: Any, labels: pa.Table = LABELS) -> Any:
    return build_training_set(sample.project, "service", labels, out, known_by=known_by)


def test_a_correction_counts_from_its_event_or_once_it_was_written(
    sample: "Sample", tmp_path: Path
) -> None:
    write(sample, CORRECTED)
    by_event, by_created = (built(sample, tmp_path, each) for each in ("event", "created"))
    assert by_event.to_arrow()["n"].to_pylist() == [1, 1]
    assert by_created.to_arrow()["n"].to_pylist() == [0, 1]
    assert by_event.snapshot.manifest["known_by"] == "event"
    assert by_created.snapshot.manifest["known_by"] == "created"
    assert by_event.version != by_created.version


times = st.integers(0, 40).map(lambda hours: day(1, 6 * hours))
rows = st.lists(st.tuples(st.integers(1, 2), times, st.none() | times), min_size=1, max_size=8)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    source=rows,
    moments=st.lists(st.tuples(st.integers(1, 2), times), min_size=1, max_size=5),
    known_by=st.sampled_from([None, "event", "created"]),
)
def test_a_set_holds_what_was_known_and_the_probe_counts_what_was_not(
    source: list[Row],
    moments: list[tuple[int, datetime]],
    known_by: Any,
    sample: "Sample",
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # A row's two times together are its own: equal ones are another test's.
    source = list({(shop, at): (shop, at, made) for shop, at, made in source}.values())
    write(sample, source)
    labels = pa.table(
        {
            "shop_id": [shop for shop, _ in moments],
            "event_timestamp": pa.array([moment for _, moment in moments], TIME),
        }
    )
    expected, later = [], 0
    for shop, moment in moments:
        known = [
            (at, number, made)
            for number, (each, at, made) in enumerate(source)
            if each == shop
            and at <= moment
            and (known_by != "created" or (made is not None and made <= moment))
        ]
        best = max(known, default=None)
        expected.append(best[1] if best else None)
        later += bool(best and best[2] is not None and best[2] > moment)
    made_set = built(sample, tmp_path_factory.mktemp("sets"), known_by, labels)
    assert made_set.to_arrow()["n"].to_pylist() == expected
    store = sample.project.store()
    (found,) = probe_training_set(
        store,
        store.get_feature_service("service"),
        made_set.to_arrow(),
        "event_timestamp",
        known_by=known_by,
    )
    assert found.well, found
    assert found.known_later == later
    assert known_by != "created" or later == 0


def test_the_probe_finds_what_was_not_written_yet_in_a_set_by_created_time(
    sample: "Sample", tmp_path: Path
) -> None:
    write(sample, CORRECTED)
    wrong = built(sample, tmp_path, "event").to_arrow()
    store = sample.project.store()
    service = store.get_feature_service("service")
    (found,) = probe_training_set(store, service, wrong, "event_timestamp", known_by="created")
    assert (found.leaks, found.others) == (1, 0)


@pytest.mark.parametrize(
    ("said", "passed", "words"),
    [
        ("", False, "1 of 2 rows hold values of v that were written after their time"),
        ("known_by: event\n", True, "1 of 2 rows hold values of v that were written after"),
        ("known_by: created\n", True, "and had been written by then"),
    ],
)
def test_the_check_says_how_many_rows_were_known_only_later(
    said: str,
    passed: bool,  # noqa: FBT001 - of the parameters
    words: str,
    sample: "Sample",
) -> None:
    write(sample, CORRECTED)
    pq.write_table(LABELS, sample.repo / "data" / "labels.parquet")
    file = sample.repo / "training_sets" / "service.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"path: data/labels.parquet\n{said}")
    found = checks(sample.run("training_sets/service"))["no_leak"]
    assert (found.passed, found.severity.name) == (passed, "WARN")
    assert words in found.description
    assert found.metadata["feature_platform/rows_known_later"].value == (
        0 if "created" in said else 1
    )


def test_a_store_that_knows_no_created_times_is_refused(
    sample: "Sample", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sample, CORRECTED)
    monkeypatch.setattr(PointInTimeOfflineStore, "supports_filter_by_created_timestamp", False)
    with pytest.raises(RepoError, match=r"known_by is 'created', and the offline store 'feature_"):
        built(sample, tmp_path, "created")


def test_another_word_is_refused(sample: "Sample") -> None:
    file = sample.repo / "training_sets" / "service.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("path: data/labels.parquet\nknown_by: ingestion\n")
    with pytest.raises(RepoError, match="known_by"):
        sample.definitions()
    file.unlink()
