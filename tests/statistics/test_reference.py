import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from feature_platform.errors import StatisticsError
from feature_platform.statistics import (
    Profile,
    Reference,
    SeasonWindow,
    compare,
    profile,
    season_of,
)
from feature_platform.statistics.bins import Bins

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def weekly(random: np.random.Generator, day: int, rows: int = 1000):
    """A feature that is two standard deviations higher at the weekend."""
    return profile(pa.array(random.normal(2.0 * (day % 7 > 4), size=rows)))


def eight_weeks(random: np.random.Generator, make: Callable[..., Profile] = weekly):
    return Reference.of_windows(
        [SeasonWindow(WEEKDAYS[day % 7], make(random, day)) for day in range(56)], "visits"
    )


def test_bins_of_numbers_are_quantiles_with_open_ends_and_one_for_null(random: np.random.Generator):
    values = random.normal(size=10_000)
    bins, found = Bins.of(profile(pa.array(values))), profile(pa.array([-1e9, 1e9, None]))
    assert len(bins.labels) == 11
    assert bins.edges == pytest.approx(np.quantile(values, np.arange(1, 10) / 10), abs=0.01)
    assert bins.counts(found, found).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]


def test_a_frequent_value_has_a_bin_of_its_own(random: np.random.Generator):
    values = np.where(random.random(10_000) < 0.7, 0.0, random.lognormal(size=10_000))
    found = profile(pa.array(values))
    shares = dict(zip(Bins.of(found).labels, Bins.of(found).counts(found, found), strict=True))
    assert shares["0"] == (values == 0).sum()
    assert len(set(Bins.of(found).edges)) == len(Bins.of(found).edges)


def test_a_constant_has_bins_below_at_and_above_it():
    found, other = profile(pa.array([5.0] * 100)), profile(pa.array([4.0, 5.0, 5.1]))
    assert Bins.of(found).labels == ("< 5", "5", "> 5", "null")
    assert Bins.of(found).counts(other, found).tolist() == [1, 1, 1, 0]


def test_rare_categories_share_a_bin_and_unseen_ones_have_another():
    names = ["a"] * 600 + ["b"] * 396 + ["c"] * 4
    found, other = profile(pa.array(names)), profile(pa.array(["a", "c", "d", "d", None]))
    bins = Bins.of(found)
    assert bins.labels == ("a", "b", "other", "unseen", "null")
    assert bins.counts(found, found).tolist() == [600, 396, 4, 0, 0]
    assert bins.counts(other, found).tolist() == [1, 0, 1, 2, 1]


def test_a_new_category_is_found_among_more_than_can_be_counted(random: np.random.Generator):
    known = profile(pa.array([f"id-{i}" for i in range(30_000)]))
    current = [f"id-{i}" for i in random.integers(30_000, size=1900)] + ["new"] * 100
    assert not known.categories.complete
    found = compare(known, pa.array(current))
    assert found.verdict == "drift"
    assert found.measure("unseen_share").value == pytest.approx(0.05)
    calm = compare(known, pa.array([f"id-{i}" for i in random.integers(30_000, size=2000)]))
    assert calm.verdict == "ok"


@pytest.mark.parametrize(
    "column", [[1.0, 2.0, None], ["a", "b", None], [None, None], [[1], [2, 3]], [True, False]]
)
def test_a_reference_survives_json_with_its_version(column: object):
    reference = Reference.of(pa.array(column), "f", source="named", label="launch")
    stored = json.loads(json.dumps(reference.to_json(), allow_nan=False))
    again = Reference.from_json(stored)
    assert again.version == reference.version
    assert again.to_json() == stored
    with pytest.raises(StatisticsError, match="schema version 0"):
        Reference.from_json({**stored, "schema_version": 0})


def test_another_content_is_another_version():
    versions = {
        Reference.of(pa.array(values), "f").version for values in ([1, 2], [1, 3], [1, 2, 2])
    }
    assert len(versions) == 3


def test_a_reference_cannot_be_changed():
    reference = Reference.of(pa.array([1.0]), "f")
    with pytest.raises(AttributeError):
        reference.label = "other"


def test_a_weekly_season_does_not_alarm_where_the_reference_knows_it(random: np.random.Generator):
    reference = eight_weeks(random)
    saturday = weekly(random, 5)
    assert compare(reference, saturday, season="Saturday").verdict == "ok"
    assert compare(reference, saturday).verdict == "drift"
    assert compare(reference, weekly(random, 1), season="Saturday").verdict == "drift"


def test_a_holiday_is_compared_with_the_same_holiday(random: np.random.Generator):
    holidays = {date(2025, 11, 27): "Thanksgiving", date(2026, 11, 26): "Thanksgiving"}
    feast = profile(pa.array(random.normal(4.0, size=1000)))
    days = [SeasonWindow(WEEKDAYS[day % 7], weekly(random, day)) for day in range(56)]
    season = season_of(datetime(2025, 11, 27, tzinfo=UTC), holidays)
    reference = Reference.of_windows([*days, SeasonWindow(season, feast)], "visits")
    today = profile(pa.array(random.normal(4.0, size=1000)))
    knowing = compare(reference, today, season=season_of(date(2026, 11, 26), holidays))
    assert (knowing.verdict, knowing.season) == ("ok", "Thanksgiving")
    assert compare(reference, today, season=season_of(date(2026, 11, 26))).verdict == "drift"


def test_a_season_that_the_reference_lacks_is_said(random: np.random.Generator):
    reference = Reference.of_windows(
        [SeasonWindow("Monday", weekly(random, day)) for day in (0, 7, 14)], "visits"
    )
    found = compare(reference, weekly(random, 1), season="Tuesday")
    assert found.season is None
    assert found.notes == ("the reference has no Tuesday windows, so all of it was compared with",)


def test_windows_that_differ_anyway_count_for_fewer_rows(random: np.random.Generator):
    def moody(random: np.random.Generator, _day: int) -> Profile:
        return profile(pa.array(random.normal(random.normal(0, 0.2), size=2000)))

    reference = eight_weeks(random, moody)
    assert reference.spread.ranks > 5 / 2000
    calm = Reference.of_windows([SeasonWindow(None, weekly(random, 0)) for _ in range(28)], "calm")
    assert calm.spread.ranks < 1 / 1000
    verdicts = [compare(reference, moody(random, 0), season="Monday").verdict for _ in range(60)]
    assert verdicts.count("drift") <= 1
    naive = Reference.of(reference.profile, "visits")
    assert [compare(naive, moody(random, 0)).verdict for _ in range(60)].count("drift") > 10
    assert compare(reference, profile(pa.array(random.normal(2, size=2000)))).verdict == "drift"


def test_a_type_that_changes_within_the_reference_is_an_error():
    windows = [SeasonWindow(None, profile(pa.array(values))) for values in ([1.0], ["a"])]
    with pytest.raises(StatisticsError, match=r"reference of 'f': a number cannot be merged"):
        Reference.of_windows(windows, "f")


def test_seasons_are_weekdays_and_holidays():
    assert season_of(date(2026, 3, 1)) == "Sunday"
    assert season_of(datetime(2026, 3, 2, tzinfo=UTC)) == "Monday"
    assert season_of(date(2026, 3, 2), {date(2026, 3, 2): "Carnival"}) == "Carnival"


def test_a_reference_of_infinite_values_alone_has_usable_bins():
    bins = Bins.of(profile(pa.array([math.inf] * 50)))
    assert all(math.isfinite(edge) for edge in bins.edges)
