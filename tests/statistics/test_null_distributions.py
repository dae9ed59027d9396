import math

import numpy as np
import pytest
from scipy import stats

from feature_platform.statistics.bins import Bins
from feature_platform.statistics.distances import psi
from feature_platform.statistics.drift_statistics import STATISTICS
from feature_platform.statistics.novelty import Novelty
from feature_platform.statistics.null_distributions import (
    exceedance_null,
    kolmogorov_null,
    psi_null,
    share_null,
    student_null,
    unseen_null,
)
from feature_platform.statistics.parts import Part
from feature_platform.statistics.profiles.profile import Profile
from feature_platform.statistics.reference import Baseline
from feature_platform.statistics.spread import Spread
from feature_platform.statistics.thresholds import Thresholds


def test_kolmogorov_law_is_that_of_scipy():
    null = kolmogorov_null(size=400.0)
    assert null.p(0.08) == pytest.approx(stats.kstwobign.sf(0.08 * 20))
    assert null.quantile(1e-5) == pytest.approx(stats.kstwobign.isf(1e-5) / 20)


def test_student_law_is_welchs_test_of_scipy(random: np.random.Generator):
    reference, current = random.normal(size=50), random.normal(0.4, size=40)
    error = math.sqrt(reference.var(ddof=1) / 50 + current.var(ddof=1) / 40)
    expected = stats.ttest_ind(reference, current, equal_var=False)
    null = student_null(error, expected.df)
    assert null.p(abs(current.mean() - reference.mean())) == pytest.approx(expected.pvalue)
    assert null.p(null.quantile(0.01)) == pytest.approx(0.01)


def test_psi_of_many_rows_is_scaled_chi_square():
    null = psi_null(np.full(10, 1e5), np.full(10, 1e4))
    rate = 1 / 1e6 + 1 / 1e5
    for alpha in (0.5, 0.01, 1e-5):
        assert null.quantile(alpha) == pytest.approx(stats.chi2.isf(alpha, 9) * rate)
        assert null.p(null.quantile(alpha)) == pytest.approx(alpha)


@pytest.mark.parametrize("shares", [(0.1,) * 10, (0.7, 0.1, 0.1, 0.08, 0.02)])
def test_psi_of_few_rows_passes_its_quantile_as_seldom_as_promised(
    random: np.random.Generator, shares: tuple[float, ...]
):
    n_reference, n_current, draws = 800, 100, 10_000
    references = random.multinomial(n_reference, shares, size=draws).astype(float)
    currents = random.multinomial(n_current, shares, size=draws).astype(float)
    null = psi_null(n_reference * np.array(shares), n_current * np.array(shares))
    values = np.array([psi(*each) for each in zip(references, currents, strict=True)])
    assert null.mean == pytest.approx(values.mean(), rel=0.05)
    for alpha in (0.1, 0.01, 0.001):
        expected, error = draws * alpha, math.sqrt(draws * alpha)
        exceeded = int((values > null.quantile(alpha)).sum())
        # Four standard errors, and a quarter for the null's own.
        assert abs(exceeded - expected) < 4 * error + expected / 4


def test_psi_has_no_law_where_nothing_can_vary():
    assert psi_null(np.array([100.0, 0]), np.array([50.0, 0])) is None


@pytest.mark.parametrize(("share", "rows"), [(0.02, 100), (0.3, 100), (0.001, 2000)])
def test_a_share_passes_its_quantile_no_more_often_than_a_binomial_may(share: float, rows: int):
    null = share_null(np.array([share]), np.array([float(rows)]), 1 / rows)
    for alpha in (0.05, 1e-3, 1e-5):
        bound = null.quantile(alpha)
        exact = stats.binom(rows, share)
        above = exact.sf(math.floor(rows * (share + bound) + 1e-9))
        below = exact.cdf(math.ceil(rows * (share - bound) - 1e-9) - 1)
        assert above + below <= alpha * 1.6
        assert bound <= 12 * math.sqrt(share / rows)  # and is no wild overestimate


@pytest.mark.parametrize(
    ("nulls", "rows"), [(20, 200), (28, 400), (80, 1000), (5, 300), (140, 2000)]
)
def test_the_null_rate_test_is_a_two_proportion_test_of_scipy(nulls: int, rows: int):
    """Near Yates' chi-square and Fisher's exact test."""
    reference, reference_rows = round(0.05 * 5 * rows), 5 * rows
    before, now = (
        Profile("empty", reference_rows, reference),
        Profile("empty", rows, nulls),
    )
    part = Part("", Baseline(before, None, 1), now, Bins(), Spread(), Novelty())
    found = STATISTICS["null_rate_change"].measure(part, Thresholds())
    table = [[nulls, rows - nulls], [reference, reference_rows - reference]]
    exact = stats.fisher_exact(table).pvalue
    yates = stats.chi2_contingency(table, correction=True).pvalue
    assert found.value == pytest.approx(abs(nulls / rows - reference / reference_rows))
    for expected in (exact, yates):
        assert math.log10(found.p_value) == pytest.approx(math.log10(expected), rel=0.15, abs=0.15)


def test_the_greatest_rows_fall_into_the_window_as_seldom_as_hypergeometric_draws_do():
    rows, n, m = 3, 40, 400
    exact = stats.hypergeom(n + m, rows, n).sf(rows - 1)
    bound = exceedance_null(rows, share=n / (n + m), bound=2.0).p(2.5)
    assert exact <= bound <= 1.3 * exact


def test_no_values_beyond_a_bound_mean_nothing_and_many_mean_much():
    assert exceedance_null(1, share=1 / 31, bound=2.0).p(2.5) == pytest.approx(1 / 31)
    assert exceedance_null(4, share=1 / 31, bound=2.0).p(2.5) == pytest.approx(31.0**-4)
    assert exceedance_null(0, share=1 / 31, bound=2.0).p(1.5) == 1.0
    assert exceedance_null(1, share=1 / 31, bound=2.0).quantile(1e-5) == math.inf


def test_as_many_unseen_categories_as_good_and_turing_expect_do_not_alarm(
    random: np.random.Generator,
):
    ranks = np.arange(1, 20_001)
    shares = 1 / ranks / (1 / ranks).sum()
    passed = 0
    for _ in range(100):
        reference, current = (
            random.choice(ranks, 20_000, p=shares),
            random.choice(ranks, 1000, p=shares),
        )
        names, counts = np.unique(reference, return_counts=True)
        null = unseen_null((counts == 1).sum() / 20_000, 1000, 1 / 21, len(names))
        passed += np.isin(current, names, invert=True).mean() > null.quantile(0.01)
    assert passed <= 4
    assert null.p(null.quantile(1e-4)) == pytest.approx(1e-4, rel=0.01)
