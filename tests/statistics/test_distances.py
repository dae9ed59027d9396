import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from feature_platform.statistics.distances import (
    chi_square,
    cramers_v,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    wasserstein,
)
from feature_platform.statistics.profiles.quantile_sketch import QuantileSketch
from feature_platform.statistics.verdicts import benjamini_hochberg

counts = st.lists(st.integers(0, 500), min_size=4, max_size=4).map(lambda c: np.array(c, float))
samples = st.lists(st.floats(-100, 100).map(lambda x: round(x, 1)), min_size=1, max_size=40).map(
    np.array
)


def sketch(values: object):
    return QuantileSketch.of(np.asarray(values, dtype=np.float64))


def test_psi_of_a_worked_example():
    # (0.5-0.6) ln(0.5/0.6) + (0.3-0.3) ln 1 + (0.2-0.1) ln(0.2/0.1)
    by_hand = -0.1 * math.log(0.5 / 0.6) + 0.1 * math.log(2)
    assert psi(np.array([60.0, 30, 10]), np.array([50.0, 30, 20])) == pytest.approx(by_hand)


@given(
    st.lists(st.integers(1, 500), min_size=4, max_size=4),
    st.lists(st.integers(1, 500), min_size=4, max_size=4),
)
def test_psi_is_the_relative_entropy_of_scipy_both_ways(reference: list[int], current: list[int]):
    both = stats.entropy(current, reference) + stats.entropy(reference, current)
    found = psi(np.array(reference, float), np.array(current, float))
    assert found == pytest.approx(both, abs=1e-12)


def test_psi_counts_an_empty_bin_as_half_a_row():
    by_hand = (0.05 - 0.005) * math.log(0.05 / 0.005) + (0.95 - 1) * math.log(0.95 / 1)
    assert psi(np.array([100.0, 0]), np.array([95.0, 5])) == pytest.approx(by_hand)


def test_psi_does_not_see_a_bin_that_is_empty_on_both_sides():
    with_empty = psi(np.array([60.0, 40, 0]), np.array([50.0, 50, 0]))
    assert with_empty == psi(np.array([60.0, 40]), np.array([50.0, 50]))


def test_distances_without_rows_on_one_side_are_not_numbers():
    none, some = np.zeros(3), np.ones(3)
    assert math.isnan(psi(none, some))
    assert math.isnan(jensen_shannon(some, none))
    assert math.isnan(cramers_v(none, some))
    assert math.isnan(kolmogorov_smirnov(sketch([]), sketch([1])))
    assert math.isnan(wasserstein(sketch([]), sketch([1]), 1.0))
    assert chi_square(none, some)[2] == 1.0


@given(counts, counts)
def test_jensen_shannon_is_that_of_scipy(reference: np.ndarray, current: np.ndarray):
    if reference.sum() and current.sum():
        assert jensen_shannon(reference, current) == pytest.approx(
            distance.jensenshannon(reference, current, base=2), abs=1e-7
        )


@given(counts, counts)
def test_chi_square_is_that_of_scipy(reference: np.ndarray, current: np.ndarray):
    table = np.array([reference, current])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] > 1 and table.sum(axis=1).all():
        expected = stats.chi2_contingency(table, correction=False)
        found = chi_square(reference, current)
        assert found == pytest.approx((expected.statistic, expected.dof, expected.pvalue))


@given(counts)
def test_cramers_v_of_windows_of_one_size_is_that_of_scipy(reference: np.ndarray):
    current = np.roll(reference, 1)
    table = np.array([reference, current])
    table = table[:, table.sum(axis=0) > 0].astype(int)
    if table.shape[1] > 1:
        expected = stats.contingency.association(table, method="cramer")
        assert cramers_v(reference, current) == pytest.approx(expected)


def test_cramers_v_does_not_shrink_when_the_reference_grows():
    current = np.array([50.0, 30, 20])
    small = cramers_v(np.array([60.0, 30, 10]), current)
    assert cramers_v(np.array([60.0, 30, 10]) * 1000, current) == pytest.approx(small)


@given(samples, samples)
def test_kolmogorov_smirnov_is_that_of_scipy(reference: np.ndarray, current: np.ndarray):
    expected = stats.ks_2samp(reference, current, method="asymp").statistic
    assert kolmogorov_smirnov(sketch(reference), sketch(current)) == pytest.approx(expected)


@given(samples, samples)
def test_wasserstein_is_that_of_scipy_over_the_scale(reference: np.ndarray, current: np.ndarray):
    expected = stats.wasserstein_distance(reference, current) / 2.5
    found = wasserstein(sketch(reference), sketch(current), 2.5)
    assert found == pytest.approx(expected, abs=1e-9)


def test_wasserstein_of_large_samples_stays_close_to_scipy(random: np.random.Generator):
    reference, current = random.lognormal(size=40_000), random.lognormal(0.2, size=30_000)
    expected = stats.wasserstein_distance(reference, current)
    assert wasserstein(sketch(reference), sketch(current), 1.0) == pytest.approx(expected, rel=0.02)


def test_infinities_reach_kolmogorov_smirnov_and_leave_wasserstein_finite():
    reference, current = sketch([1.0, 2, 3, 4]), sketch([1.0, 2, 3, math.inf])
    assert kolmogorov_smirnov(reference, current) == pytest.approx(0.25)
    assert math.isfinite(wasserstein(reference, current, 1.0))


def test_benjamini_hochberg_of_the_example_in_the_paper():
    """Table 1 of Benjamini and Hochberg (1995): four of fifteen hypotheses at 5%."""
    p_values = [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
        *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
    ]
    assert int((benjamini_hochberg(p_values) <= 0.05).sum()) == 4


def test_benjamini_hochberg_is_that_of_scipy(random: np.random.Generator):
    p_values = random.random(50) ** 3
    expected = stats.false_discovery_control(p_values, method="bh")
    assert benjamini_hochberg(p_values) == pytest.approx(expected)
