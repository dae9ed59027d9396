import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feature_platform.errors import FeaturePlatformError, StatisticsError
from feature_platform.statistics import Profile, merge_profiles, profile, profile_batches


def close(one: Profile, other: Profile) -> None:
    """All that is exact agrees exactly, moments up to rounding."""
    for name in ("kind", "rows", "nulls", "zeros", "negative_infinities", "positive_infinities"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("mean", "std", "minimum", "maximum"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True), name


def test_a_profile_has_the_numbers_that_pandas_has(random: np.random.Generator):
    series = pd.Series(random.lognormal(size=5000)).where(random.random(5000) > 0.1)
    found = profile(series)
    assert found.rows == 5000
    assert found.null_rate == pytest.approx(series.isna().mean())
    assert found.mean == pytest.approx(series.mean())
    assert found.std == pytest.approx(series.std())
    assert (found.minimum, found.maximum) == (series.min(), series.max())
    assert found.distinct_count == pytest.approx(series.nunique(), rel=0.13)
    assert found.quantiles(0.5)[0] == pytest.approx(series.median(), rel=1e-2)
    assert found.histogram(np.array([1.0])).tolist() == [(series < 1).sum(), (series >= 1).sum()]


def test_thirty_days_make_the_month(random: np.random.Generator):
    month = random.lognormal(size=60_000)
    month[random.random(60_000) < 0.05] = np.nan
    days = [profile(pa.array(day, from_pandas=True)) for day in np.array_split(month, 30)]
    merged, exact = merge_profiles(days), profile(pa.array(month, from_pandas=True))
    close(merged, exact)
    assert merged.distinct_count == exact.distinct_count
    found = merged.quantiles(0.05, 0.5, 0.95)
    ordered = np.sort(month[~np.isnan(month)])
    ranks = np.searchsorted(ordered, found) / len(ordered)
    assert np.abs(ranks - [0.05, 0.5, 0.95]).max() < 4 * merged.ranks.rank_error


def test_thirty_days_of_categories_make_the_month(random: np.random.Generator):
    month = random.choice(["card", "cash", "transfer", None], size=9000, p=[0.5, 0.3, 0.15, 0.05])
    merged = merge_profiles(profile(pa.array(day)) for day in np.split(month, 30))
    exact = pd.Series(month).value_counts()
    assert dict(merged.categories.counts) == exact.to_dict()
    assert merged.null_rate == pytest.approx(pd.Series(month).isna().mean())
    assert merged.distinct_count == 3


def test_moments_do_not_cancel_far_from_zero():
    values = 1e9 + np.tile([0.0, 1.0], 100_000)
    found = merge_profiles([profile(pa.array(values)), profile(pa.array(values))])
    assert found.std == pytest.approx(0.5, rel=1e-5)


def test_a_stream_is_profiled_batch_by_batch(random: np.random.Generator):
    table = pa.table({"x": random.normal(size=10_000), "name": ["a", "b"] * 5000})
    streamed = profile_batches(table.to_batches(max_chunksize=700))
    close(streamed["x"], profile(table["x"]))
    assert dict(streamed["name"].categories.counts) == {"a": 5000, "b": 5000}
    with pytest.raises(StatisticsError, match=r"'gone'.*not among the columns x, name"):
        profile_batches(table.to_batches(), ["gone"])


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1, 2, None]), "number"),
        (pa.array([1.5, math.nan, math.inf]), "number"),
        (pa.array([Decimal("1.50"), None]), "number"),
        (pa.array([timedelta(seconds=5)]), "number"),
        (pa.array([True, False, None]), "boolean"),
        (pd.Series([True, None, False]), "boolean"),
        (pa.array(["a", None]), "string"),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "string"),
        (pd.Series(["a", "b"], dtype="category"), "string"),
        (pa.array([b"\x00\xff", None]), "string"),
        (pa.array([datetime(2026, 3, 1, tzinfo=UTC), None]), "timestamp"),
        (pa.array([date(2026, 3, 1)]), "timestamp"),
        (pd.Series(pd.to_datetime(["2026-03-01", None])), "timestamp"),
        (pa.array([[1.0, 2.0], [], None]), "list"),
        (pa.array([["a"], ["b", None]]), "list"),
        (pa.array([None, None]), "empty"),
        (pa.chunked_array([], pa.float64()), "number"),
        (pa.chunked_array([[1.0], [2.0]]), "number"),
        (pa.array([7.0]), "number"),
        (pa.array([3, 3, 3]), "number"),
        (pa.array([math.inf, -math.inf]), "number"),
        (pa.array([1e308, -1e308, 5e-324]), "number"),
    ],
)
def test_every_type_survives_json_and_merging_with_itself(column: object, kind: str):
    found = profile(column)
    assert found.kind == kind
    again = Profile.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again.to_json() == found.to_json()
    twice = found.merge(again)
    assert (twice.rows, twice.nulls) == (2 * found.rows, 2 * found.nulls)
    assert twice.distinct_count == found.distinct_count


def test_nan_is_null_in_pandas_and_in_arrow():
    assert profile(pd.Series([1.0, None])).nulls == 1
    assert profile(pa.array([1.0, math.nan])).nulls == 1


def test_infinities_are_counted_and_left_out_of_the_moments():
    found = profile(pa.array([1.0, 3.0, math.inf, -math.inf, math.inf]))
    assert (found.positive_infinities, found.negative_infinities) == (2, 1)
    assert (found.mean, found.minimum, found.maximum, found.nulls) == (2.0, 1.0, 3.0, 0)


def test_timestamps_are_seconds_since_1970_or_before_the_end_of_the_window():
    end = datetime(2026, 3, 2, tzinfo=UTC)
    column = pa.array([end - timedelta(hours=1), end - timedelta(hours=3)])
    assert profile(column, as_of=end).mean == pytest.approx(7200)
    assert profile(column).maximum == end.timestamp() - 3600
    with pytest.raises(StatisticsError, match="has no time zone"):
        profile(column, as_of=datetime(2026, 3, 2))  # noqa: DTZ001


def test_lists_are_lengths_and_elements():
    found = profile(pa.array([[1.0, 2.0, None], [], None, [4.0]]))
    assert (found.rows, found.nulls) == (4, 1)
    assert (found.lengths.mean, found.lengths.maximum) == (pytest.approx(4 / 3), 3)
    assert (found.elements.rows, found.elements.nulls, found.elements.maximum) == (4, 1, 4)


def test_long_texts_are_kept_short_and_apart():
    one, other = "x" * 5000 + "1", "x" * 5000 + "2"
    counts = profile(pa.array([one, other, one])).categories.counts
    assert sorted(counts.values()) == [1, 2]
    assert all(len(name) < 128 for name in counts)


def test_mixed_values_and_structs_are_refused_by_name():
    with pytest.raises(FeaturePlatformError, match=r"feature 'mixed': .*not all of one type"):
        profile(pd.Series([1, "a"]), name="mixed")
    with pytest.raises(FeaturePlatformError, match=r"feature 's': type struct"):
        profile(pa.array([{"a": 1}]), name="s")


def test_windows_of_different_types_do_not_merge():
    with pytest.raises(StatisticsError, match="a number cannot be merged with a string"):
        profile(pa.array([1])).merge(profile(pa.array(["a"])))
    with pytest.raises(StatisticsError, match="no profile to merge"):
        merge_profiles([])
    assert profile(pa.array([None])).merge(profile(pa.array([1]))).kind == "number"


def test_a_profile_of_another_schema_is_refused():
    with pytest.raises(StatisticsError, match="schema version 99"):
        Profile.from_json({"schema_version": 99})
