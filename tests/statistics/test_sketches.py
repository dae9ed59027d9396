import json
import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_platform.statistics.profiles.categories import CAPACITY, Categories
from feature_platform.statistics.profiles.distinct_sketch import DistinctSketch, K
from feature_platform.statistics.profiles.quantile_sketch import QuantileSketch
from feature_platform.statistics.profiles.scan import scan

SHARES = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=True), min_size=1, max_size=200))
def test_a_short_stream_has_exact_quantiles(values: list[float]):
    found = QuantileSketch.of(np.array(values)).quantiles(SHARES)
    assert list(found) == list(np.quantile(values, SHARES, method="inverted_cdf"))


@pytest.mark.parametrize("days", [1, 30])
def test_ranks_are_off_by_no_more_than_the_stated_error(random: np.random.Generator, days: int):
    values = random.lognormal(size=300_000)
    merged = None
    for day in np.array_split(values, days):
        sketch = QuantileSketch.of(day).compress()
        merged = sketch if merged is None else merged.merge(sketch)
    assert merged.count == len(values)
    assert sum(weight for weight in merged.weighted[1]) == len(values)
    assert sum(map(len, merged.levels)) < 4000
    assert 0 < merged.rank_error < 0.006
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, merged.quantiles(SHARES)) / len(values)
    assert np.abs(ranks - SHARES).max() < 4 * merged.rank_error


def test_the_stated_error_is_neither_too_small_nor_far_too_large(random: np.random.Generator):
    errors, stated = [], []
    for _ in range(60):
        values = random.random(20_000)
        sketch = None
        for part in np.split(values, 10):
            each = QuantileSketch.of(part).compress(128)
            sketch = each if sketch is None else sketch.merge(each, 128)
        errors.append(np.searchsorted(np.sort(values), sketch.quantiles(np.array([0.5]))[0]))
        stated.append(sketch.rank_error)
    spread = float(np.std(np.array(errors) / 20_000 - 0.5))
    assert spread < np.mean(stated) * 1.2
    assert spread > np.mean(stated) / 4


def test_bins_of_a_sketch_hold_every_value_once(random: np.random.Generator):
    values = random.normal(size=200_000)
    sketch = QuantileSketch.of(values)
    edges = np.array([-1.0, 0.0, 1.0])
    exact = np.histogram(values, [-np.inf, *edges, np.inf])[0]
    assert sketch.counts(edges).sum() == len(values)
    assert np.abs(sketch.counts(edges) - exact).max() < 6 * sketch.rank_error * len(values)


def test_a_sketch_survives_json_bit_for_bit(random: np.random.Generator):
    sketch = QuantileSketch.of(random.normal(size=100_000)).compress()
    again = QuantileSketch.from_json(json.loads(json.dumps(sketch.to_json())))
    assert again.count == sketch.count
    assert again.rank_variance == sketch.rank_variance
    assert all(np.array_equal(a, b) for a, b in zip(again.levels, sketch.levels, strict=True))


@pytest.mark.parametrize("step", [1.0, 0.1, 1e6])
def test_distinct_values_of_a_sequence_are_counted_within_four_errors(step: float):
    sketch = scan(np.arange(200_000) * step).distinct
    assert sketch.error == pytest.approx(1 / math.sqrt(K - 2))
    assert abs(sketch.estimate / 200_000 - 1) < 4 * sketch.error


def test_distinct_estimates_are_unbiased(random: np.random.Generator):
    ratios = [scan(random.random(5000)).distinct.estimate / 5000 for _ in range(100)]
    assert abs(np.mean(ratios) - 1) < 4 / math.sqrt(K - 2) / 10
    assert np.std(ratios) < 1.3 / math.sqrt(K - 2)


def test_few_distinct_values_are_counted_exactly_however_often_they_come(
    random: np.random.Generator,
):
    values = random.integers(0, 700, size=300_000).astype(float)
    assert scan(values).distinct.estimate == 700


@pytest.mark.parametrize("distinct", [2, 1000, 1023, 1025, 1500, 20_000])
@pytest.mark.parametrize("zeros", [0, 0.7])
def test_repeats_and_zeros_change_nothing_of_a_sketch(
    distinct: int, zeros: float, random: np.random.Generator
):
    values = random.normal(size=distinct)[random.integers(distinct, size=200_000)]
    values[random.random(len(values)) < zeros] = 0.0
    once = np.split(np.unique(values), range(500, distinct, 500))
    merged = DistinctSketch.empty()
    for few in once:
        merged = merged.merge(scan(few).distinct)
    assert np.array_equal(scan(values).distinct.hashes, merged.hashes)


def test_zero_is_one_value_whatever_its_sign():
    assert scan(np.array([0.0, -0.0])).distinct.estimate == 1


def test_merged_distinct_sketches_are_the_sketch_of_the_union(random: np.random.Generator):
    one, other = random.random(5000), random.random(5000)
    merged = scan(one).distinct.merge(scan(other).distinct)
    whole = scan(np.concatenate([one, other])).distinct
    assert np.array_equal(merged.hashes, whole.hashes)


def test_texts_are_told_apart_also_the_empty_one_and_one_within_another():
    texts = pa.array(["", "a", "b", "ab", "ba", "a\0", "aa", ""], pa.large_string())
    assert DistinctSketch.of_texts(texts).estimate == 7
    assert DistinctSketch.of_texts(texts.slice(1, 3)).estimate == 3


def test_many_texts_are_counted_within_four_errors():
    texts = pa.array([f"user-{i:07d}" for i in range(50_000)], pa.large_string())
    sketch = DistinctSketch.of_texts(texts)
    assert abs(sketch.estimate / 50_000 - 1) < 4 * sketch.error


def test_frequent_categories_of_a_long_tail_are_within_the_stated_undercount(
    random: np.random.Generator,
):
    merged, exact = Categories(), Counter()
    for _ in range(5):
        names = [str(each) for each in random.zipf(1.3, size=20_000)]
        exact.update(names)
        merged = merged.merge(Categories.of(Counter(names)))
    assert not merged.complete
    assert len(merged.counts) <= CAPACITY
    assert merged.undercount <= 100_000 / (CAPACITY + 1) * 5
    for name, count in exact.most_common(50):
        assert count - merged.undercount <= merged.counts[name] <= count
