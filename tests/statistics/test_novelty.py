"""Texts that are new every day: ids, sessions, free text, sets of values that grow."""

import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from feature_platform.statistics import Profile, Reference, SeasonWindow, compare, profile
from feature_platform.statistics.seasons import WEEKDAYS

GAP, REFERENCE, DAYS, ROWS = 7, 56, 100, 200
Draw = Callable[[int, int, np.random.Generator], list[str]]
SIZES = np.random.default_rng(5).lognormal(size=2000)


def tokens(rows: int, random: np.random.Generator) -> list[str]:
    return [f"{each:016x}" for each in random.integers(2**62, size=rows)]


def ids(_: int, rows: int, random: np.random.Generator) -> list[str]:
    return tokens(rows, random)


def repeated_ids(_: int, rows: int, random: np.random.Generator) -> list[str]:
    new = tokens(rows // 2, random)
    return [*new, *random.choice(new, rows - len(new))]


def returning_ids(_: int, rows: int, random: np.random.Generator) -> list[str]:
    return [
        *tokens(rows // 2, random),
        *(f"user {n}" for n in random.integers(300, size=rows // 2)),
    ]


def growing(day: int, rows: int, random: np.random.Generator) -> list[str]:
    """Two merchants more a day, of all sizes."""
    known = SIZES[: 500 + 2 * day]
    return [f"shop {n}" for n in random.choice(len(known), rows, p=known / known.sum())]


def zipf(_: int, rows: int, random: np.random.Generator) -> list[str]:
    return [f"term {n}" for n in np.minimum(random.zipf(1.1, size=rows), 10**9)]


def two_hundred(_: int, rows: int, random: np.random.Generator) -> list[str]:
    shares = 1 / np.arange(1, 201) ** 1.1
    return [f"kind {n}" for n in random.choice(200, rows, p=shares / shares.sum())]


def texts(_: int, rows: int, random: np.random.Generator) -> list[str]:
    return [" ".join(tokens(1 + n, random)) for n in random.poisson(5, size=rows)]


KINDS = (ids, repeated_ids, returning_ids, growing, zipf, two_hundred, texts)


def days_of(draw: Draw, count: int, rows: int, random: np.random.Generator) -> list[Profile]:
    return [profile(pa.array(draw(day, rows, random))).compress() for day in range(count)]


def before(day: int, days: list[Profile]) -> Reference:
    windows = range(day - GAP - REFERENCE, day - GAP)
    return Reference.of_windows(
        [SeasonWindow(WEEKDAYS[each % 7], days[each]) for each in windows], "f"
    )


@pytest.mark.parametrize("draw", KINDS)
def test_new_values_alarm_on_no_more_than_one_day_in_a_hundred(
    draw: Draw, random: np.random.Generator
):
    first = GAP + REFERENCE
    days = days_of(draw, first + DAYS, ROWS, random)
    alarms = []
    for day in range(first, first + DAYS):
        if (day - first) % 10 == 0:
            reference = before(day, days)
        found = compare(reference, days[day], season=WEEKDAYS[day % 7])
        alarms += [found.sentence] if found.verdict == "drift" else []
    assert len(alarms) <= 1, alarms


@pytest.mark.parametrize("draw", KINDS)
def test_a_value_that_is_new_and_in_one_row_of_twenty_is_found_all_the_same(
    draw: Draw, random: np.random.Generator
):
    days = days_of(draw, GAP + REFERENCE, 2000, random)
    reference = before(GAP + REFERENCE, days)
    for _ in range(5):
        values = np.array(draw(GAP + REFERENCE, 2000, random), dtype=object)
        values[random.random(2000) < 0.05] = "never seen"
        found = compare(reference, pa.array(values), season="Monday")
        assert found.verdict == "drift", found.sentence
        assert "share of" in found.sentence


@pytest.mark.parametrize("draw", [repeated_ids, returning_ids, growing, zipf, two_hundred])
def test_many_values_that_are_new_at_once_are_found_though_each_is_rare(
    draw: Draw, random: np.random.Generator
):
    days = days_of(draw, GAP + REFERENCE, 2000, random)
    reference = before(GAP + REFERENCE, days)
    for _ in range(5):
        values = np.array(draw(GAP + REFERENCE, 2000, random), dtype=object)
        rare = np.flatnonzero(random.random(2000) < 0.3)
        values[rare] = [f"shop {n}" for n in random.integers(10**6, 10**9, size=len(rare))]
        found = compare(reference, pa.array(values), season="Monday")
        assert found.verdict == "drift", found.sentence
        # Of a closed set, and of repeats, others say it as well.
        if draw in (returning_ids, growing, zipf):
            assert found.measure("new_share_rise").severity > 1


def test_a_set_that_grows_faster_than_its_reference_is_recent_is_no_drift(
    random: np.random.Generator,
):
    def fast(day: int, rows: int, random: np.random.Generator) -> list[str]:
        return [f"shop {n}" for n in random.integers(500 + 10 * day, size=rows)]

    days = days_of(fast, 30 + REFERENCE + 7, 1000, random)
    for day in range(30 + REFERENCE, 30 + REFERENCE + 7):
        windows = range(day - 30 - REFERENCE, day - 30)
        found = compare(
            Reference.of_windows([SeasonWindow(WEEKDAYS[n % 7], days[n]) for n in windows], "f"),
            days[day],
            season=WEEKDAYS[day % 7],
        )
        assert found.measure("new_share_rise").severity < 1, found.sentence


def test_the_sentence_says_what_a_feature_of_ids_is_judged_by(random: np.random.Generator):
    reference = before(63, days_of(ids, 63, 100, random))
    found = compare(reference, pa.array(ids(0, 100, random)), season="Monday")
    assert found.sentence.endswith(
        "; like ids, 100% of its rows are new in an ordinary window, so it is judged by nulls, "
        "length, repeats and frequent single values."
    )
    shown = {each.label: (each.reference, each.current) for each in found.bins if not each.part}
    assert shown == {"other or new": (1.0, 1.0), "null": (0.0, 0.0)}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda values: values[: len(values) // 2] * 2, "change of the distinct values over all"),
        (
            lambda values: [each[:12] for each in values],
            "Kolmogorov-Smirnov distance of the length",
        ),
        (lambda values: [*values[:180], *[None] * 20], "null"),
        (lambda values: ["unknown"] * 40 + values[40:], "share of the most frequent new value"),
    ],
    ids=["joined twice", "cut off", "missing", "one stands for many"],
)
def test_what_ids_can_still_show_is_found(
    spoil: Callable[[list[str]], list[str | None]], said: str, random: np.random.Generator
):
    reference = before(63, days_of(ids, 63, 200, random))
    found = compare(reference, pa.array(spoil(ids(0, 200, random))), season="Monday")
    assert found.verdict == "drift", found.sentence
    assert said in found.sentence


def test_a_column_of_ids_needs_no_windows_to_be_known_as_one(random: np.random.Generator):
    one, other = (pa.array(tokens(3000, random)) for _ in range(2))
    found = compare(one, other, feature="session")
    assert (found.verdict, "like ids" in found.sentence) == ("ok", True)


def test_more_ids_than_a_profile_lists_are_no_drift_either(random: np.random.Generator):
    days = days_of(ids, 16, 6000, random)
    reference = Reference.of_windows([SeasonWindow(None, each) for each in days[:-1]], "f")
    found = compare(reference, days[-1])
    assert found.verdict == "ok"
    # How many are new is an estimate here: it comes from sketches.
    assert "; like ids, " in found.sentence


def test_lists_of_ids_are_no_drift_and_what_is_new_in_many_of_them_is(random: np.random.Generator):
    def baskets() -> list[list[str]]:
        return [tokens(int(n), random) for n in random.integers(1, 5, size=1000)]

    reference = Reference.of(pa.array(baskets()), "baskets")
    assert compare(reference, pa.array(baskets())).verdict == "ok"
    found = compare(reference, pa.array([[*each, "bag"] for each in baskets()]))
    assert found.measure("elements.largest_unseen_share").severity > 1


def test_a_closed_set_is_judged_as_ever(random: np.random.Generator):
    reference = before(63, days_of(lambda _, n, r: list(r.choice(["a", "b"], n)), 63, 200, random))
    found = compare(reference, pa.array(["a", "b"] * 90 + ["c"] * 20), season="Monday")
    assert "share of unseen categories 0.1 " in found.sentence
    assert found.basis == ""


def test_a_reference_keeps_what_it_knows_of_novelty(random: np.random.Generator):
    days = days_of(growing, 63, 200, random)
    reference = before(63, days)
    stored = json.loads(json.dumps(reference.to_json(), allow_nan=False))
    again = Reference.from_json(stored)
    assert again.novelty == reference.novelty
    assert again.version == reference.version
    assert reference.novelty.share > 0
    # One of before growth was looked for keeps its hash, and is not judged by it.
    older = json.loads(json.dumps(stored))
    del older["novelty"]["most"], older["novelty"]["variance"]
    read = Reference.from_json(older)
    assert read.to_json() == older
    found = compare(read, days[-1])
    assert "new_share_rise" not in {each.statistic for each in found.measures}
    # One that was stored before novelty was known still reads, and is what it was.
    del stored["novelty"]
    assert Reference.from_json(stored).novelty.windows == 0
