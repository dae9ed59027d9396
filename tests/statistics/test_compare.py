import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feature_platform.errors import FeaturePlatformError, StatisticsError
from feature_platform.statistics import (
    Comparison,
    Reference,
    Thresholds,
    compare,
    compare_many,
    compare_windows,
    correct,
    guide_rules,
    profile,
)

N, M = 2000, 20_000


def draw(kind: str, rows: int, random: np.random.Generator):
    if kind == "lognormal":
        return random.lognormal(size=rows)
    if kind == "zero_inflated":
        return np.where(random.random(rows) < 0.7, 0.0, random.lognormal(size=rows))
    if kind == "heavy_tailed":
        return random.standard_cauchy(size=rows)
    if kind == "category":
        return random.choice(["a", "b", "c", "d"], size=rows, p=[0.4, 0.3, 0.2, 0.1])
    if kind == "boolean":
        return random.random(rows) < 0.3
    return random.normal(size=rows)


def spoil(change: str, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same values after a change."""
    draws = random.random(len(values))
    numbers = values if values.dtype.kind == "f" else np.zeros(len(values))
    changed = {
        "shift": numbers + 0.25,
        "scale": numbers * 1.3,
        "nulls": np.where(draws < 0.05, np.nan, numbers),
        "infinite": np.where(draws < 0.05, math.inf, numbers),
        "stretched": numbers * math.exp(0.25),
        "beyond": np.where(draws < 0.2, 6.0 + numbers**2, numbers),
        "zeros": np.where(
            (numbers == 0) & (draws < 1 / 7), random.lognormal(size=len(values)), numbers
        ),
    }
    if change == "new":
        return np.where(draws < 0.05, "new", values)
    return values | (draws < 0.15) if change == "more true" else changed[change]


@pytest.mark.parametrize(
    "kind", ["normal", "lognormal", "zero_inflated", "heavy_tailed", "category", "boolean"]
)
@pytest.mark.parametrize("rows", [100, 2000])
def test_what_does_not_change_does_not_alarm(random: np.random.Generator, kind: str, rows: int):
    reference = Reference.of(pa.array(draw(kind, M, random)), kind)
    found = [compare(reference, pa.array(draw(kind, rows, random))) for _ in range(30)]
    assert [each.sentence for each in found if each.verdict != "ok"] == []


@pytest.mark.parametrize(
    ("kind", "change", "statistic"),
    [
        ("normal", "shift", "psi"),
        ("normal", "scale", "psi"),
        ("normal", "nulls", "null_rate_change"),
        ("normal", "infinite", "infinite_share_change"),
        ("normal", "beyond", "psi"),
        ("lognormal", "stretched", "psi"),
        ("zero_inflated", "zeros", "ks"),
        ("category", "new", "unseen_share"),
        ("boolean", "more true", "share_change"),
    ],
)
def test_what_changes_is_found_among_fifty_features_and_says_by_what(
    random: np.random.Generator, kind: str, change: str, statistic: str
):
    calm = {f"calm_{i}": draw("normal", N, random) for i in range(49)}
    references = {name: pa.array(draw("normal", M, random)) for name in calm}
    references["changed"] = pa.array(draw(kind, M, random))
    changed = spoil(change, draw(kind, N, random), random)
    currents = {name: pa.array(values) for name, values in calm.items()}
    found = compare_many(references, {**currents, "changed": pa.array(changed)})
    assert {each.feature for each in found if each.verdict != "ok"} == {"changed"}
    last = found[-1]
    assert last.verdict == "drift"
    assert last.measure(statistic).value > last.measure(statistic).threshold
    for part in (f"{N:,} rows against {M:,}", f"{last.worst.value:.3g} > "):
        assert part in last.sentence


def test_a_million_rows_do_not_make_a_trifle_a_drift(random: np.random.Generator):
    reference = Reference.of(pa.array(random.normal(size=300_000)), "f")
    found = compare(reference, pa.array(random.normal(0.02, size=300_000)))
    assert found.verdict == "ok"
    assert found.measure("chi_square").p_value < 1e-6


def test_between_a_trifle_and_a_drift_there_is_a_warning(random: np.random.Generator):
    reference = Reference.of(pa.array(random.normal(size=100_000)), "f")
    found = compare(reference, pa.array(random.normal(0.12, size=50_000)))
    assert found.verdict == "warn"
    assert "may be drifting" in found.sentence


def test_few_rows_need_a_larger_effect(random: np.random.Generator):
    reference = Reference.of(pa.array(random.normal(size=M)), "f")
    few = compare(reference, pa.array(random.normal(size=100))).measure("ks")
    many = compare(reference, pa.array(random.normal(size=5000))).measure("ks")
    assert (few.limited_by, many.limited_by) == ("chance", "effect")
    assert few.threshold > 3 * many.threshold


@pytest.mark.parametrize(
    ("reference", "current", "verdict", "said"),
    [
        ([1.0] * 500, [1.0] * 500, "ok", "has not drifted"),
        ([1.0] * 500, [1.1] * 500, "drift", "Kolmogorov-Smirnov distance 1"),
        ([None] * 500, [None] * 500, "ok", "has not drifted"),
        ([None] * 500, [1.0] * 500, "drift", "change of the null rate 1 "),
        ([1.0] * 500, [None] * 500, "drift", "change of the null rate 1 "),
        ([1.0, 2.0] * 250, [1.0], "insufficient", "30 rows are needed on both sides (1 rows"),
        ([1.0], [1.0, 2.0] * 250, "insufficient", "30 rows are needed"),
        ([1.0, 2.0] * 250, [], "insufficient", "the window holds no rows"),
        ([], [1.0], "insufficient", "its reference holds no rows"),
        ([1.0] * 500, ["1"] * 500, "drift", "changed its type from number to string"),
        ([True] * 500, [1.0] * 500, "drift", "changed its type from boolean to number"),
        ([math.inf] * 500, [math.inf] * 500, "ok", "has not drifted"),
        ([1.0] * 500, [math.inf] * 500, "drift", "change of the share of infinities"),
        ([[]] * 500, [[]] * 500, "ok", "has not drifted"),
        ([[1.0]] * 500, [[]] * 500, "drift", "of the length"),
        ([[1.0, 2.0]] * 500, [[8.0, 9.0]] * 500, "drift", "of the elements"),
        ([[1.0]] * 500, [None] * 500, "drift", "change of the null rate 1 >"),
        ([0.0] * 499 + [1e308], [0.0] * 499 + [-1e308], "ok", "has not drifted"),
    ],
)
def test_edge_cases_have_a_clear_verdict(
    reference: list[object], current: list[object], verdict: str, said: str
):
    found = compare(pa.array(reference), pa.array(current), feature="f")
    assert (found.verdict, said in found.sentence) == (verdict, True), found.sentence
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert Comparison.from_json(stored).to_json() == stored


def test_integers_that_become_floats_have_not_changed_their_type(random: np.random.Generator):
    values = random.integers(0, 9, size=1000)
    assert compare(pa.array(values), pd.Series(values, dtype="float64")).verdict == "ok"


def test_timestamps_do_not_drift_because_time_goes_by(random: np.random.Generator):
    def day(end: datetime) -> pa.Array:
        ages = random.exponential(3600, size=1000)
        return pa.array([end - timedelta(seconds=age) for age in ages])

    before, now = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    reference = Reference.of(day(before), "last_login", as_of=before)
    assert compare(reference, day(now), as_of=now).verdict == "ok"
    assert compare(day(before), day(now)).verdict == "drift"
    assert "has changed its meaning" in compare(reference, day(now)).sentence


def test_a_missing_reference_is_an_error():
    with pytest.raises(StatisticsError, match=r"feature 'f': there is no reference.*set a"):
        compare(None, pa.array([1.0]), feature="f")


def test_nothing_passes_silently_in_a_window(random: np.random.Generator):
    references = {name: pa.array(random.normal(size=500)) for name in ("calm", "gone", "odd")}
    currents = {
        "calm": pa.array(random.normal(size=500)),
        "odd": pa.array([{"a": 1}] * 500),
        "new": pa.array([1.0] * 500),
    }
    found = {
        each.feature: (each.verdict, each.reason) for each in compare_many(references, currents)
    }
    assert found == {
        "calm": ("ok", "measured"),
        "gone": ("drift", "feature_gone"),
        "odd": ("insufficient", "unreadable"),
        "new": ("insufficient", "no_reference"),
    }


def test_a_table_is_compared_column_by_column_in_any_number_of_threads(random: np.random.Generator):
    table = pa.table({"x": random.normal(size=500), "y": random.choice(["a", "b"], size=500)})
    references = {name: Reference.of(table[name], name) for name in table.column_names}
    one, two = (compare_many(references, table, threads=threads) for threads in (1, 2))
    assert [each.to_json() for each in one] == [each.to_json() for each in two]
    assert {each.verdict for each in one} == {"ok"}


def test_windows_are_corrected_together(random: np.random.Generator):
    reference = {"f": pa.array(random.normal(size=M))}
    windows = {f"day {i}": {"f": pa.array(random.normal(size=300))} for i in range(20)}
    windows["day 20"] = {"f": pa.array(random.normal(1.0, size=300))}
    found = compare_windows(reference, windows)
    assert {each.family for group in found.values() for each in group} == {21}
    assert [name for name, (each,) in found.items() if each.verdict != "ok"] == ["day 20"]
    alone = compare_many(reference, windows["day 0"])[0]
    together = found["day 0"][0]
    assert alone.measure("ks").threshold < together.measure("ks").threshold
    assert together.adjusted_p >= together.p_value


def test_what_was_stored_cannot_be_corrected_again():
    found = compare(pa.array([1.0] * 50), pa.array([1.0] * 50), feature="f")
    stored = Comparison.from_json(found.to_json())
    with pytest.raises(FeaturePlatformError, match="cannot be corrected again"):
        correct([stored])


def test_thresholds_are_the_users(random: np.random.Generator):
    reference, current = random.normal(size=5000), random.normal(0.5, size=5000)
    lax = Thresholds(psi=1.0, ks=0.5, mean_change=None)
    assert compare(pa.array(reference), pa.array(current)).verdict == "drift"
    assert compare(pa.array(reference), pa.array(current), thresholds=lax).verdict == "ok"
    silent = Thresholds(psi=None, ks=None, mean_change=None)
    found = compare(pa.array(reference), pa.array(current), thresholds=silent)
    assert found.verdict == "ok"
    assert found.measure("ks").value > 0.15


def test_the_guides_rules_are_the_guides():
    reference = profile(pa.array([10.0, 10, 10, 10]))
    current = profile(pa.array([14.0, 14, 22, None]))
    rules = {each.name: each for each in guide_rules(reference, current)}
    assert rules["mean_change"].value == pytest.approx((50 / 3 - 10) / 10)
    assert rules["null_rate_change"].value == 0.25
    assert rules["max_multiplier"].value == 2.2
    assert {name: rule.threshold for name, rule in rules.items()} == {
        "mean_change": 0.3,
        "null_rate_change": 0.05,
        "max_multiplier": 2.0,
    }
    assert all(rule.broken for rule in rules.values())


def test_a_lucky_maximum_is_no_drift_and_a_change_of_unit_is(random: np.random.Generator):
    values = random.lognormal(size=M)
    reference = Reference.of(pa.array(values), "amount")
    lucky = random.lognormal(size=N)
    lucky[0] = 3 * values.max()
    assert compare(reference, pa.array(lucky)).verdict == "ok"
    cents = random.lognormal(size=N)
    cents[:10] = 10 * values.max()
    found = compare(reference, pa.array(cents))
    assert found.verdict == "drift"
    assert found.measure("max_multiplier").value > found.measure("max_multiplier").threshold


def test_an_unknown_statistic_is_named_with_those_there_are():
    found = compare(pa.array([1.0] * 50), pa.array([1.0] * 50), feature="f")
    with pytest.raises(StatisticsError, match=r"no statistic 'pis'; choose one of: .*psi"):
        found.measure("pis")


def test_elements_of_lists_are_compared_and_those_of_nested_lists_too(random: np.random.Generator):
    def rows(scale: float, inner: int) -> pa.Array:
        return pa.array(
            [
                [list(random.normal(scale, size=inner)) for _ in range(random.integers(1, 4))]
                for _ in range(500)
            ]
        )

    reference = Reference.of(rows(0, 3), "paths")
    calm = compare(reference, rows(0, 3))
    assert calm.verdict == "ok"
    assert calm.sentence.endswith(
        "; nested lists are compared by length, and so are the lists in them and their elements."
    )
    moved, longer = compare(reference, rows(2, 3)), compare(reference, rows(0, 5))
    assert (moved.verdict, longer.verdict) == ("drift", "drift")
    assert "of the elements of the elements" in moved.sentence
    assert "of the length of the elements" in longer.sentence
    flat = compare(pa.array([["a", "b"]] * 300), pa.array([["a", "c"]] * 300), feature="tags")
    assert "of the elements" in flat.sentence
