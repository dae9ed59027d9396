"""Source checks as Dagster shows them, and what is kept of their verdicts."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from worlds.repos import change_column, change_rows

from feature_platform.core.windows import Window
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.graph.content_hashes import ROW_COUNT
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.repo.view_sources import source_columns
from feature_platform.sources.opened_window import open_window

if TYPE_CHECKING:
    from worlds.samples import Sample

SOURCE, VIEW = "sources/voorraad", "feature_views/stock"
DEFAULTS = ["schema", "keys", "event_time", "numbers", "row_count"]


@pytest.fixture
def sample(make_sample: Callable[..., "Sample"]) -> "Sample":
    """Three days of stock, four articles a day."""
    return make_sample("field_mappings")


def checks_of(sample: "Sample") -> SourceChecks:
    data = sample.graph.sources["voorraad"]
    return SourceChecks(data, DagsterFeastTranslator().key_of(data))


def suite(sample: "Sample", **kwargs: Any) -> None:
    """Expect of ``aantal`` to lie between two numbers."""
    severity = {"severity": kwargs.pop("severity")} if "severity" in kwargs else {}
    entry = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "aantal", **kwargs},
        **severity,
    }
    path = sample.repo / "expectations/voorraad.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"name": "voorraad", "expectations": [entry]}))


def write_days(sample: "Sample", rows_of_day: dict[int, int]) -> None:
    """So many articles on each of these days of March."""
    rows = [
        {
            "artikel": f"sku-{number}",
            "aantal": number,
            "locatie": "rek",
            "reserved": 0,
            "tijdstip": datetime(2026, 3, day, tzinfo=UTC) + timedelta(seconds=number),
        }
        for day, count in rows_of_day.items()
        for number in range(count)
    ]
    change_rows(sample.repo / "data/voorraad.parquet", lambda _: rows)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {
        each.check_name: each
        for each in result.get_asset_check_evaluations()
        if each.asset_key.path[1] == "sources"
    }


def test_every_source_has_the_default_checks_all_blocking(sample: "Sample"):
    specs = checks_of(sample).specs
    assert [spec.name for spec in specs] == DEFAULTS
    assert all(spec.blocking and spec.description for spec in specs)


def test_a_source_with_a_suite_of_its_own_has_one_more(sample: "Sample"):
    suite(sample, min_value=0)
    assert [spec.name for spec in checks_of(sample).specs] == [*DEFAULTS, "suite"]


def test_a_key_that_no_schema_declares_is_checked_all_the_same(
    make_sample: Callable[..., "Sample"],
):
    # Feast's own examples leave the join key out of the schema.
    sample = make_sample("shared_source")
    path = sample.repo / "data/clicks/part-00001.parquet"
    change_column(path, "visitor_id", pa.array([1, 2, None], pa.int64()))
    found = evaluations(sample.run("sources/clicks", partition="2026-03-02"))
    assert not found["keys"].passed
    assert "visitor_id" in found["keys"].description
    assert found["schema"].passed


def test_keys_that_change_places_change_the_content(make_sample: Callable[..., "Sample"]):
    sample = make_sample("shared_source")
    path = sample.repo / "data/clicks/part-00001.parquet"

    def content() -> str:
        assert sample.run("sources/clicks", partition="2026-03-02").success
        newest = sample.materializations("sources/clicks", "2026-03-02")[0]
        return newest.metadata["feature_platform/content_hash"].value

    before = content()
    change_column(path, "visitor_id", pa.array([2, 1, 3]))
    assert content() != before


def test_a_run_of_one_window_shows_every_expectation_it_checked(sample: "Sample"):
    found = evaluations(sample.run(SOURCE, partition="2026-03-02"))
    assert [found[name].passed for name in DEFAULTS] == [True] * 5
    assert found["keys"].description == "passed on 2026-03-02..2026-03-03"
    table = found["keys"].metadata["results"]
    assert len(table.records) == 2
    assert [column.name for column in table.schema.columns] == [
        "expectation",
        "passed",
        "expected",
        "observed",
    ]


def test_a_run_of_many_windows_names_those_that_failed(sample: "Sample"):
    write_days(sample, {1: 4, 2: 0, 3: 4, 4: 0})
    found = evaluations(sample.run(SOURCE, span=("2026-03-01", "2026-03-04")))
    assert found["keys"].description == "passed on 2026-03-01..2026-03-05 (4 windows)"
    assert not found["row_count"].passed
    assert [line.split(":")[0] for line in found["row_count"].description.splitlines()] == [
        "2026-03-02..2026-03-03",
        "2026-03-04..2026-03-05",
    ]
    failed = found["row_count"].metadata["results"]
    assert [record.data["window"] for record in failed.records] == [
        "2026-03-02..2026-03-03",
        "2026-03-04..2026-03-05",
    ]


def test_more_than_five_failed_windows_are_counted(sample: "Sample"):
    write_days(sample, dict.fromkeys(range(1, 9), 0) | {9: 1})
    found = evaluations(sample.run(SOURCE, span=("2026-03-01", "2026-03-08")))
    lines = found["row_count"].description.splitlines()
    assert len(lines) == 6
    assert lines[-1] == "and 3 more windows"


def test_offending_rows_are_shown(sample: "Sample"):
    suite(sample, max_value=102)
    found = evaluations(sample.run(SOURCE, partition="2026-03-02"))
    [offending] = found["suite"].metadata["offending_rows"].data
    assert offending["column"] == "aantal"
    assert [row["aantal"] for row in offending["rows"]] == [103]


def test_verdicts_are_kept_for_each_partition_with_what_they_saw(sample: "Sample"):
    found = evaluations(sample.run(SOURCE, span=("2026-03-01", "2026-03-03")))
    said = found["keys"].metadata[VERDICTS].data
    assert list(said) == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert [each["blocks"] for each in said.values()] == [""] * 3
    for partition, verdict in said.items():
        newest = sample.materializations(SOURCE, partition)[0]
        assert verdict["content_hash"] == newest.metadata["feature_platform/content_hash"].value


DAYS = dict(zip(range(1, 9), (40, 40, 44, 36, 40, 41, 38, 3), strict=True))


def test_the_row_count_is_held_against_the_windows_that_were_materialized_before(
    sample: "Sample",
):
    write_days(sample, DAYS)
    assert sample.run(SOURCE, span=("2026-03-01", "2026-03-07")).success
    found = evaluations(sample.run(SOURCE, partition="2026-03-08"))
    assert not found["row_count"].passed
    assert found["row_count"].severity == dg.AssetCheckSeverity.ERROR
    assert "found 3, expected at least 9 rows (usual: 36 to 44, as in the 7 days before it)" in (
        found["row_count"].description
    )


def test_however_often_those_were_materialized_since(sample: "Sample"):
    write_days(sample, DAYS)
    assert sample.run(SOURCE, span=("2026-03-01", "2026-03-07"), checks=False).success
    again = dg.AssetMaterialization(
        sample.key(SOURCE), partition="2026-03-07", metadata={ROW_COUNT: 42}
    )
    for _ in range(130):
        sample.instance.report_runless_asset_event(again)
    found = evaluations(sample.run(SOURCE, partition="2026-03-08"))
    assert "as in the 7 days before it" in found["row_count"].description


def test_so_it_is_within_a_range(sample: "Sample"):
    write_days(sample, DAYS)
    found = evaluations(sample.run(SOURCE, span=("2026-03-01", "2026-03-08")))
    assert found["row_count"].description.startswith("2026-03-08..2026-03-09: ")


def test_what_is_known_of_windows_before_costs_one_query(
    sample: "Sample", monkeypatch: pytest.MonkeyPatch
):
    write_days(sample, DAYS)
    assert sample.run(SOURCE, span=("2026-03-01", "2026-03-07"), checks=False).success
    checks, windows = checks_of(sample), {}
    for day in (8, 20, 30):
        start = datetime(2026, 3, day, tzinfo=UTC)
        windows[f"2026-03-{day:02}"] = Window(start, start + timedelta(days=1))
    asked: list[Any] = []
    fetch = sample.instance.fetch_materializations

    def counted(*given: Any, **named: Any) -> Any:
        asked.append(given)
        return fetch(*given, **named)

    monkeypatch.setattr(sample.instance, "fetch_materializations", counted)
    store = sample.project.store()
    runner = checks.runner(sample.instance, store, windows)
    assert len(asked) == 1
    with open_window(store.config, checks.data.obj, list(windows.values())) as opened:
        (digest, *_) = opened.digests(list(windows.values()))
        first = runner.check(opened, "2026-03-08", digest)
    assert len(asked) == 1
    assert [each.name for each in first.outcomes if each.blocks] == ["row_count"]


def test_rows_without_an_event_time_are_found_told_once_and_the_windows_served(sample: "Sample"):
    path = sample.repo / "data/voorraad.parquet"
    table = pq.read_table(path)
    lost = table.slice(0, 2).set_column(
        table.column_names.index("tijdstip"),
        table.schema.field("tijdstip"),
        pa.nulls(2, table.schema.field("tijdstip").type),
    )
    pq.write_table(pa.concat_tables([table, lost]), path)
    result = sample.run("registry", SOURCE, VIEW, span=("2026-03-01", "2026-03-03"))
    assert result.success
    found = evaluations(result)["event_time"]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.description == (
        "2026-03-03..2026-03-04: tijdstip: expect_column_values_to_not_be_null failed: found 2 "
        "rows of the source without an event time, expected none in the whole source"
    )
    assert sample.windows("stock") == ["2026-03-01..2026-03-04"]


def test_a_warning_is_shown_and_does_not_keep_a_window_from_being_served(sample: "Sample"):
    suite(sample, max_value=102, severity="warning")
    result = sample.run("registry", SOURCE, VIEW, partition="2026-03-02")
    assert result.success
    found = evaluations(result)["suite"]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert sample.windows("stock") == ["2026-03-02..2026-03-03"]


def test_the_repos_own_suite_blocks(sample: "Sample"):
    suite(sample, max_value=102)
    result = sample.run(VIEW, partition="2026-03-02")
    assert not result.success
    assert sample.windows("stock") == []


def test_a_stricter_suite_asks_again_for_what_passed_before(sample: "Sample"):
    suite(sample, min_value=0)
    assert sample.run("registry", SOURCE, VIEW, partition="2026-03-01").success
    assert sample.run(SOURCE, partition="2026-03-02").success
    suite(sample, max_value=102)
    assert not sample.run(VIEW, partition="2026-03-02").success
    assert sample.windows("stock") == ["2026-03-01..2026-03-02"]


def test_so_does_another_schema(sample: "Sample"):
    assert sample.run("registry", SOURCE, partition="2026-03-02").success
    path = sample.repo / "stock.py"
    text = path.read_text()
    assert 'Field(name="shelf", dtype=String)' in text
    path.write_text(text.replace('name="shelf", dtype=String', 'name="shelf", dtype=Int64'))
    assert not sample.run(VIEW, partition="2026-03-02").success
    assert sample.windows("stock") == []


def test_a_step_that_cannot_read_its_source_fails_in_one_line(sample: "Sample"):
    path = sample.repo / "data/voorraad.parquet"
    path.write_bytes(b"PAR1 no more")
    result = sample.run(
        selection=dg.AssetSelection.checks_for_assets(sample.key(SOURCE)), partition="2026-03-02"
    )
    [event] = [event for event in result.all_events if event.is_step_failure]
    said = event.step_failure_data.user_failure_data.description
    assert said.startswith("source 'voorraad': it cannot be read (")
    assert "\n" not in said


@pytest.mark.parametrize("order", [1, -1])
def test_a_column_that_views_declare_in_two_widths_has_to_fit_the_narrower(
    sample: "Sample", order: int
):
    from feast import FeatureView, Field
    from feast.types import Array, Float32, Float64, Int32, Int64

    source = sample.project.sources["voorraad"]
    widths = [(Int32, Array(Float64)), (Int64, Array(Float32))][::order]
    views = [
        FeatureView(
            name=f"view_{place}",
            source=source,
            schema=[Field(name="reserved", dtype=whole), Field(name="sizes", dtype=numbers)],
        )
        for place, (whole, numbers) in enumerate(widths)
    ]
    found = source_columns(views, source)
    assert found["reserved"] == "Int32"
    assert found["sizes"] == "Array(Float32)"
