"""Our profiles and Feast's own metrics, of the same window, side by side."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feast import FeatureStore
from feast.monitoring.monitoring_service import MonitoringService
from feast.repo_config import DataQualityMonitoringConfig
from worlds.sample_repos import SampleRepo, row
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.drift.feast_monitoring import write_metrics
from feature_platform.sources.window_digests import read_window_table
from feature_platform.statistics import profile

DAY = Window(day(2), day(3))
FEATURES = ("amount", "visits", "city")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Two days of a thousand rows each, a tenth of them without an amount."""
    repo = SampleRepo(tmp_path / "repo")
    random = np.random.default_rng(4)
    repo.write(
        row(
            *(i, day(1 + i % 2, hour=float(random.uniform(0, 23.9)))),
            None if i % 10 == 1 else float(random.lognormal(3)),
            visits=int(random.integers(0, 50)),
            city=str(random.choice(["SEL", "TYO", "NYC", "SFO"], p=[0.5, 0.3, 0.15, 0.05])),
        )
        for i in range(2000)
    )
    repo.applied()
    config = repo.config()
    config.data_quality_monitoring_config = DataQualityMonitoringConfig()
    return FeatureStore(config=config)


def profiles(store: FeatureStore) -> dict[str, Any]:
    table = read_window_table(store, store.get_data_source("stats"), DAY, FEATURES)
    return {name: profile(table.column(name), name=name) for name in FEATURES}


def kept(store: FeatureStore) -> dict[str, dict[str, Any]]:
    found = MonitoringService(store).get_feature_metrics(
        store.project, feature_view_name="user_stats", granularity="daily"
    )
    return {each["feature_name"]: each for each in found}


def by_feast(store: FeatureStore) -> dict[str, dict[str, Any]]:
    # Feast takes the last day as a whole: this is the one day.
    MonitoringService(store).compute_metrics(
        store.project, "user_stats", start_date=DAY.start.date(), end_date=DAY.start.date()
    )
    return kept(store)


def test_feast_reads_our_metrics_as_it_reads_its_own_and_they_agree(store: FeatureStore):
    theirs = by_feast(store)
    assert write_metrics(store, "user_stats", DAY, profiles(store)) == 3
    ours = kept(store)
    assert set(ours) == set(theirs) == set(FEATURES)
    for name, feasts in theirs.items():
        mine = ours[name]
        assert mine["computed_at"] > feasts["computed_at"]
        for same in ("feature_type", "row_count", "null_count", "metric_date", "granularity"):
            assert mine[same] == feasts[same], (name, same)
        for close in ("null_rate", "mean", "stddev", "min_val", "max_val"):
            assert mine[close] == pytest.approx(feasts[close]), (name, close)
    assert theirs["amount"]["null_count"] == 200
    amount, feasts = ours["amount"]["histogram"], theirs["amount"]["histogram"]
    assert amount["counts"] == feasts["counts"]
    assert amount["bins"] == pytest.approx(feasts["bins"])
    city, feasts = ours["city"]["histogram"], theirs["city"]["histogram"]
    assert city == feasts


def test_quantiles_are_those_of_feast_up_to_its_interpolation(store: FeatureStore):
    theirs = by_feast(store)
    write_metrics(store, "user_stats", DAY, profiles(store))
    ours = kept(store)
    values = np.sort(
        np.array(
            read_window_table(store, store.get_data_source("stats"), DAY)
            .column("amount")
            .drop_null()
        )
    )
    for name, share in (("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        # Feast's lies between two neighbouring values, ours is one of the two.
        place = share * (len(values) - 1)
        low, high = values[int(np.floor(place))], values[int(np.ceil(place))]
        assert low <= theirs["amount"][name] <= high
        assert low <= ours["amount"][name] <= high


def test_the_views_own_metrics_are_the_sum_of_its_features(store: FeatureStore):
    def of_the_view() -> dict[str, Any]:
        (found,) = MonitoringService(store).get_feature_view_metrics(
            store.project, feature_view_name="user_stats", granularity="daily"
        )
        return found

    by_feast(store)
    theirs = of_the_view()
    write_metrics(store, "user_stats", DAY, profiles(store))
    ours = of_the_view()
    own = ("total_row_count", "total_features", "features_with_nulls", "max_null_rate")
    assert {name: ours[name] for name in own} == {name: theirs[name] for name in own}


def test_nothing_is_written_where_feast_monitors_nothing(tmp_path: Path, store: FeatureStore):
    found = profiles(store)
    store.config.data_quality_monitoring_config = None
    assert write_metrics(store, "user_stats", DAY, found) == 0
    assert not (tmp_path / "repo" / "feast_monitoring").exists()


def test_an_hour_is_no_window_of_feasts(store: FeatureStore):
    hour = Window(day(2), day(2) + timedelta(hours=1))
    assert write_metrics(store, "user_stats", hour, profiles(store)) == 0
