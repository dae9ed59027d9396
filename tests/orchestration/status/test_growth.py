"""Growth is what a series of counts shows, whatever else happened on some of its days."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from feature_platform.online.online_size import WHOLE_STORE, OnlineSize
from feature_platform.orchestration.graph.size_metadata import (
    ONLINE_BYTES,
    ONLINE_KEYS,
    STORE_BYTES,
    STORE_KEYS,
    size_metadata,
)
from feature_platform.orchestration.status.growth import GrowthReader, Held, growth_of

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def series(keys: Sequence[int], every: timedelta = DAY) -> list[Held]:
    return [Held(START + number * every, count, 50 * count) for number, count in enumerate(keys)]


def test_a_steady_series_grows_by_its_step():
    found = growth_of(series([100, 110, 120, 130]))
    assert found is not None
    assert (found.newest.keys, found.keys_a_day, found.bytes_a_day) == (130, 10, 500)


def test_the_day_of_a_backfill_does_not_bend_it():
    found = growth_of(series([0, *range(100_000, 100_200, 10)]))
    assert found is not None
    assert found.keys_a_day == 10


def test_a_store_that_shrinks_grows_by_less_than_nothing():
    found = growth_of(series([130, 120, 110]))
    assert found is not None
    assert found.keys_a_day == -10


def test_what_was_counted_last_counts_for_a_day():
    found = growth_of(series([1, 5, 9, 100, 104, 200], every=timedelta(hours=8)))
    assert found is not None
    # At 22 o'clock of the first day there were nine, of the second 104 at 14 and 200 at 22.
    assert (found.newest.keys, found.keys_a_day) == (200, 191)


def test_only_the_last_month_counts():
    found = growth_of(series([*range(0, 4000, 100), *range(4000, 4060, 2)]))
    assert found is not None
    assert found.keys_a_day == 2


def test_one_day_shows_no_growth_and_none_shows_nothing():
    found = growth_of(series([7]))
    assert found is not None
    assert (found.newest.keys, found.keys_a_day, found.bytes_a_day) == (7, None, None)
    assert growth_of([]) is None


@pytest.mark.parametrize(
    ("found", "recorded"),
    [
        (OnlineSize({"v": 3}, 900, {"v": 300}), {ONLINE_KEYS: 3, ONLINE_BYTES: 300}),
        (
            OnlineSize({WHOLE_STORE: 8}, 800, {WHOLE_STORE: 800}),
            {STORE_KEYS: 8, STORE_BYTES: 800},
        ),
    ],
)
def test_a_run_records_its_view_where_the_store_keeps_views_apart(
    found: OnlineSize, recorded: dict[str, int]
):
    assert size_metadata(found, "v") == recorded


def test_runs_of_all_views_tell_of_a_store_that_keeps_them_together():
    instance = dg.DagsterInstance.ephemeral()
    keys = {name: dg.AssetKey(["p", name]) for name in ("a", "b", "never")}
    for name, count in (("a", 5), ("b", 6)):
        metadata = {STORE_KEYS: count, STORE_BYTES: 100 * count}
        instance.report_runless_asset_event(dg.AssetMaterialization(keys[name], metadata=metadata))
    found = GrowthReader(instance).read(keys)
    assert list(found) == [WHOLE_STORE]
    assert (found[WHOLE_STORE].newest.keys, found[WHOLE_STORE].newest.size) == (6, 600)


def test_only_views_that_were_materialized_since_are_read_again(monkeypatch: pytest.MonkeyPatch):
    instance = dg.DagsterInstance.ephemeral()
    keys = {name: dg.AssetKey(["p", name]) for name in ("a", "b")}
    metadata = {ONLINE_KEYS: 1, ONLINE_BYTES: 2}
    for key in keys.values():
        instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))
    read: list[dg.AssetKey] = []
    fetch = instance.fetch_materializations

    def noted(key: dg.AssetKey, limit: int) -> dg.EventRecordsResult:
        read.append(key)
        return fetch(key, limit=limit)

    monkeypatch.setattr(instance, "fetch_materializations", noted)
    reader = GrowthReader(instance)
    assert set(reader.read(keys)) == set(reader.read(keys)) == {"a", "b"}
    assert len(read) == 2
    instance.report_runless_asset_event(dg.AssetMaterialization(keys["b"], metadata=metadata))
    reader.read(keys)
    assert read[2:] == [keys["b"]]
