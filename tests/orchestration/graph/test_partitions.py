"""Windows, ranges, and what is recorded of them."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from worlds.times import utc

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.content_hashes import combined_hash
from feature_platform.orchestration.graph.partitions import (
    partitions_within,
    run_windows,
    window_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from worlds.samples import Sample

VIEW, SOURCE = "feature_views/stock", "sources/voorraad"
DAILY = dg.DailyPartitionsDefinition("2026-03-01")
HOURLY = dg.HourlyPartitionsDefinition("2026-03-01-00:00")
ROWS, HASH = "dagster/partition_row_count", "feature_platform/content_hash"


def day(number: int, hour: float = 0) -> datetime:
    return utc(2026, 3, number) + timedelta(hours=hour)


def write_rows(repo: "Path", rows: Sequence[tuple[str, int, datetime]]) -> None:
    """Replace the table by (article, amount, time)."""
    path = repo / "data/voorraad.parquet"
    schema = pq.read_schema(path)
    columns = {
        "artikel": [row[0] for row in rows],
        "aantal": [row[1] for row in rows],
        "locatie": ["rek"] * len(rows),
        "reserved": [0] * len(rows),
        "tijdstip": [row[2] for row in rows],
    }
    pq.write_table(pa.table(columns, schema=schema), path)


def metadata(sample: "Sample", name: str, partition: str, entry: str) -> Any:
    return sample.materializations(name, partition)[0].metadata[entry].value


@pytest.fixture(scope="module")
def ranged(make_sample: Callable[..., "Sample"]) -> "tuple[Sample, dg.ExecuteInProcessResult]":
    """Three days materialized in one run; read only."""
    sample = make_sample("field_mappings")
    result = sample.run("registry", SOURCE, VIEW, span=("2026-03-01", "2026-03-03"))
    assert result.success
    return sample, result


def test_a_range_is_one_pass_over_the_data(
    make_sample: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.materialize import materialize_window as materialize

    calls, real = [], materialize.materialize_window

    def counted(store: Any, view: str, start: datetime, end: datetime, **named: Any) -> Any:
        calls.append((view, start, end))
        return real(store, view, start, end, **named)

    monkeypatch.setattr(materialize, "materialize_window", counted)
    sample = make_sample("field_mappings")
    assert sample.run(VIEW, span=("2026-03-01", "2026-03-03")).success
    assert calls == [("stock", day(1), day(4))]


def test_a_range_is_one_run_with_a_row_count_and_a_hash_for_each_partition(
    ranged: "tuple[Sample, dg.ExecuteInProcessResult]",
):
    sample, result = ranged
    for name in (SOURCE, VIEW):
        hashes = set()
        for number in (1, 2, 3):
            [found] = sample.materializations(name, f"2026-03-0{number}")
            assert found.metadata[ROWS].value == 4
            hashes.add(found.metadata[HASH].value)
        assert len(hashes) == 3
    assert len(sample.instance.get_runs()) == 1
    assert result.success


def test_the_view_carries_the_hashes_of_what_it_was_made_from(
    ranged: "tuple[Sample, dg.ExecuteInProcessResult]",
):
    sample, _ = ranged
    for key in ("2026-03-01", "2026-03-02", "2026-03-03"):
        assert metadata(sample, VIEW, key, HASH) == metadata(sample, SOURCE, key, HASH)


def test_the_run_says_its_window_rows_keys_and_lineage(
    ranged: "tuple[Sample, dg.ExecuteInProcessResult]",
):
    sample, _ = ranged
    assert metadata(sample, VIEW, "2026-03-02", "feature_platform/window") == (
        "2026-03-01..2026-03-04"
    )
    assert metadata(sample, VIEW, "2026-03-02", "feature_platform/rows_read") == 12
    assert metadata(sample, VIEW, "2026-03-02", "feature_platform/keys_written") == 4
    lineage = metadata(sample, VIEW, "2026-03-02", "dagster/column_lineage")
    assert lineage.deps_by_column["on_hand"][0].column_name == "aantal"
    assert metadata(sample, SOURCE, "2026-03-02", "feature_platform/rows_in_run") == 12


def test_the_data_version_of_one_partition_is_its_content_hash(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("field_mappings")
    result = sample.run(SOURCE, partition="2026-03-02")
    [event] = result.asset_materializations_for_node("warehouse_stock__sources__voorraad")
    assert event.tags["dagster/data_version"] == event.metadata[HASH].value


def test_a_late_row_gives_its_old_partition_another_data_version_and_no_other(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("field_mappings")
    rows = [("sku-1", number, day(number, 7)) for number in (1, 2)]
    write_rows(sample.repo, rows)

    def versions() -> dict[str, str]:
        found = {}
        for key in ("2026-03-01", "2026-03-02"):
            assert sample.run(SOURCE, partition=key).success
            found[key] = sample.materializations(SOURCE, key)[0].tags["dagster/data_version"]
        return found

    before = versions()
    assert versions() == before
    # The order of rows is none of its content.
    write_rows(sample.repo, rows[::-1])
    assert versions() == before
    write_rows(sample.repo, [*rows, ("sku-2", 5, day(1, 9))])
    after = versions()
    assert after["2026-03-01"] != before["2026-03-01"]
    assert after["2026-03-02"] == before["2026-03-02"]


def test_a_row_at_midnight_belongs_to_the_day_that_begins(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    write_rows(sample.repo, [("sku-1", 1, day(1, 7)), ("sku-1", 2, day(2))])
    assert sample.run("registry", SOURCE, VIEW, partition="2026-03-01").success
    assert sample.online(["stock:on_hand"], [{"sku": "sku-1"}])["on_hand"] == [1]
    assert sample.run(SOURCE, VIEW, partition="2026-03-02").success
    assert sample.online(["stock:on_hand"], [{"sku": "sku-1"}])["on_hand"] == [2]


def test_order_does_not_matter_to_what_is_online(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    first = [("a", 10, day(1, 7)), ("b", 11, day(1, 8)), ("c", 12, day(1, 9))]
    second = [("a", 20, day(2, 7)), ("d", 23, day(2, 8))]
    write_rows(sample.repo, [*first, *second])
    assert sample.run("registry", SOURCE, VIEW, partition="2026-03-02").success
    assert sample.run(SOURCE, VIEW, partition="2026-03-01").success
    # A correction of the first day: another amount, and a row that came late.
    corrected = [("a", 15, day(1, 7)), ("b", 99, day(1, 8)), *first[2:], ("d", 3, day(1, 23))]
    write_rows(sample.repo, [*corrected, *second])
    assert sample.run(SOURCE, VIEW, partition="2026-03-01").success
    rows = [{"sku": name} for name in "abcd"]
    assert sample.online(["stock:on_hand"], rows)["on_hand"] == [20, 99, 12, 23]


def test_any_order_of_days_ranges_and_corrections_ends_in_the_newest_rows(
    make_sample: Callable[..., "Sample"],
):
    generator = random.Random(20260301)  # noqa: S311  data, not a secret
    sample = make_sample("field_mappings")
    skus = [f"sku-{number}" for number in range(6)]

    def draw(number: int) -> list[tuple[str, int, datetime]]:
        chosen = generator.sample(skus, generator.randint(1, 5))
        return [
            (sku, generator.randrange(1000), day(number, generator.randrange(24))) for sku in chosen
        ]

    table = {number: draw(number) for number in (1, 2, 3, 4)}
    online: set[int] = set()
    for _ in range(6):
        number = generator.choice((1, 2, 3, 4))
        if number in online:
            # Corrected: amounts change, keys and times stay.
            table[number] = [
                (sku, generator.randrange(1000), moment) for sku, _, moment in table[number]
            ]
        write_rows(sample.repo, [row for rows in table.values() for row in rows])
        last = min(4, number + generator.choice((0, 0, 1)))
        span = (f"2026-03-0{number}", f"2026-03-0{last}")
        assert sample.run(SOURCE, VIEW, span=span).success
        online |= {number, last}
    newest: dict[str, tuple[datetime, int]] = {}
    for number in online:
        for sku, amount, moment in table[number]:
            newest[sku] = max(newest.get(sku, (day(1), -1)), (moment, amount))
    rows = [{"sku": sku} for sku in skus]
    expected = [newest[sku][1] if sku in newest else None for sku in skus]
    assert sample.online(["stock:on_hand"], rows)["on_hand"] == expected


def test_a_gap_stays_visible(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    assert sample.run("registry", SOURCE, VIEW, partition="2026-03-01").success
    assert sample.run(SOURCE, VIEW, partition="2026-03-03").success
    assert sample.windows("stock") == ["2026-03-01..2026-03-02", "2026-03-03..2026-03-04"]
    assert sample.run(SOURCE, VIEW, partition="2026-03-02").success
    assert sample.windows("stock") == ["2026-03-01..2026-03-04"]


def test_a_day_is_the_window_from_midnight_to_midnight_in_utc():
    assert window_of(DAILY, "2026-03-29") == Window(day(29), day(30))
    assert window_of(HOURLY, "2026-03-29-02:00") == Window(day(29, 2), day(29, 3))


def test_a_day_holds_its_twenty_four_hours():
    hours = partitions_within(HOURLY, Window(day(2), day(3)))
    assert len(hours) == 24
    assert next(iter(hours)) == "2026-03-02-00:00"
    assert sorted(hours.values()) == list(hours.values())


def test_an_hour_lies_within_its_day():
    assert list(partitions_within(DAILY, Window(day(2, 5), day(2, 6)))) == ["2026-03-02"]


def test_there_are_no_partitions_before_the_first():
    assert partitions_within(DAILY, Window(datetime(2026, 2, 1, tzinfo=UTC), day(1))) == {}


def test_a_run_is_about_its_partition_or_about_its_range():
    assert run_windows({"dagster/partition": "2026-03-02"}, DAILY) == {
        "2026-03-02": Window(day(2), day(3))
    }
    tags = {
        "dagster/asset_partition_range_start": "2026-03-02",
        "dagster/asset_partition_range_end": "2026-03-04",
    }
    assert list(run_windows(tags, DAILY)) == ["2026-03-02", "2026-03-03", "2026-03-04"]


def test_the_hash_of_one_window_is_its_own_and_of_several_depends_on_their_order():
    assert combined_hash(["a" * 32]) == "a" * 32
    assert combined_hash(["a", "b"]) != combined_hash(["b", "a"])
