"""Features that are left out of drift, and the first days of a repo."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from worlds.repos import TIME, write_table
from worlds.samples import Sample, checks

from feature_platform.errors import RepoError

if TYPE_CHECKING:
    import dagster as dg

VIEWS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Int64, Map, String, Struct

shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
source = FileSource(name="sales", path="data/sales.parquet", timestamp_field="at")
view = FeatureView(
    name="v", entities=[shop], ttl=timedelta(0), source=source,
    schema=[
        Field(name="n", dtype=Int64),
        Field(name="note", dtype=String, tags={"dagster/drift": "%s"}),
        Field(name="quiet", dtype=Int64),
        Field(name="place", dtype=Struct({"a": Int64})),
    ],
)
"""
SETTINGS = "views:\n  v: {leave_out: [%s]}\n"
START = datetime(2026, 3, 1, tzinfo=UTC)


def written(make_repo: Callable[..., Sample], tag: str = "off", leave_out: str = "quiet") -> Sample:
    sample = make_repo({"views.py": VIEWS % tag, "drift.yaml": SETTINGS % leave_out})
    count = 40
    columns = {
        "shop_id": list(range(count)),
        "n": list(range(count)),
        "note": ["x"] * count,
        "quiet": [1] * count,
        "place": [{"a": 1}] * count,
        "at": [START + timedelta(hours=1)] * count,
    }
    place = pa.struct([("a", pa.int64())])
    write_table(sample.repo / "data/sales.parquet", columns, {"at": TIME, "place": place})
    return sample


def drift_checks(specs: "dg.Definitions", sample: Sample) -> set[str]:
    graph = specs.get_repository_def().asset_graph
    return {key.name for key in graph.asset_check_keys if key.asset_key == sample.key("drift/v")}


def test_a_tag_the_settings_and_a_type_leave_features_out(make_repo: Callable[..., Sample]) -> None:
    sample = written(make_repo)
    assert drift_checks(sample.definitions(), sample) == {"drift", "n"}
    day = "2026-03-01"
    # A struct cannot be put online by every store; the window is compared all the same.
    assert sample.run("registry").success
    result = sample.run("drift/v", partition=day)
    found = checks(result)
    assert result.success
    assert {name: each.passed for name, each in found.items()} == {"drift": True, "n": True}
    said = found["drift"].metadata["feature_platform/left_out"].text
    assert said == (
        "note: its tag dagster/drift is off; quiet: leave_out of the drift settings names it; "
        "place: its type Struct({a: Int64}) has no statistics"
    )


@pytest.mark.parametrize(
    ("tag", "leave_out", "said"),
    [
        ("warn", "quiet", "tag 'dagster/drift' is 'warn'; use off"),
        (
            "off",
            "quite",
            "leave_out names 'quite', which is no feature of it; choose one of: quiet",
        ),
    ],
)
def test_a_misspelt_setting_is_refused(
    tag: str, leave_out: str, said: str, make_repo: Callable[..., Sample]
) -> None:
    with pytest.raises(RepoError, match=said):
        written(make_repo, tag, leave_out).definitions()


def test_a_view_of_which_all_is_left_out_passes(make_repo: Callable[..., Sample]) -> None:
    sample = written(make_repo, leave_out="quiet, n")
    assert sample.run("registry").success
    found = checks(sample.run("drift/v", partition="2026-03-01"))
    assert {name: each.passed for name, each in found.items()} == {"drift": True}
    assert found["drift"].description == "'v' has no feature to compare."


def test_the_first_run_on_what_feast_init_writes_has_no_failed_check(
    feast_init: Callable[[], Path],
) -> None:
    # Its TTL of a day is over for most rows of a whole day, and other checks are about that.
    repo = feast_init()
    (file,) = [each for each in repo.rglob("*.py") if "ttl=timedelta(days=1)" in each.read_text()]
    file.write_text(file.read_text().replace("ttl=timedelta(days=1)", "ttl=timedelta(days=9)"))
    before = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
    sample = Sample(repo, start_date=before)
    names = [
        name
        for name, spec in sample.specs().items()
        if name.startswith(("registry", "sources", "feature_views/driver", "drift"))
        and sample.definitions().resolve_asset_graph().get(spec.key).is_executable
    ]
    result = sample.run(*names, partition=before)
    assert result.success
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) > 10
    assert [each.description for each in evaluations if not each.passed] == []
