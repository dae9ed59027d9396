"""What windows are compared with after a change: until it is accepted, after it, after a blip."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from worlds.repos import write_table
from worlds.rides import MONDAY, VIEWS

from feature_platform.core.windows import Window
from feature_platform.drift.acceptance import accept, accept_window
from feature_platform.drift.drift_judge import DriftJudge
from feature_platform.drift.drift_results import WindowDrift
from feature_platform.drift.drift_settings import (
    DriftSettings,
    FixedWindow,
    Named,
    ReferenceKind,
    SameWeekday,
    Trailing,
    TrainingSetReference,
    ViewDrift,
)
from feature_platform.errors import RepoError
from feature_platform.registry.windows_on_record import record_window
from feature_platform.statistics import Verdict

if TYPE_CHECKING:
    from worlds.samples import Sample

ROWS = 150
REPO = VIEWS + "view = riding({'fare': Float64, 'paid_by': String}, partitions='PARTITIONS')"
REFERENCE = Trailing(days=21, gap=3, at_least=7)
Shift = Callable[[int], float]


@dataclasses.dataclass
class Ride:
    """A view whose fares rise by a number of standard deviations, window by window."""

    sample: "Sample"
    step: timedelta = timedelta(days=1)
    settings: DriftSettings = dataclasses.field(
        default_factory=lambda: DriftSettings(default=ViewDrift(reference=REFERENCE))
    )

    def __post_init__(self) -> None:
        self.project = self.sample.project
        self.store = self.project.store()

    def window(self, number: int) -> Window:
        return Window(MONDAY + number * self.step, MONDAY + (number + 1) * self.step)

    @property
    def judge(self) -> DriftJudge:
        """A new one each time, as every run and every command has its own."""
        return DriftJudge(self.project, "riding", self.settings)

    def one(self, number: int) -> WindowDrift:
        return self.judge.judge(self.store, [self.window(number)])[0]

    def each(self, first: int, last: int) -> dict[int, Verdict]:
        """Day after day, as a schedule does; the verdicts on the fare."""
        return {number: self.fare(self.one(number)) for number in range(first, last + 1)}

    def notes(self, number: int) -> list[str]:
        """What is noted of the reference of the fare, its weekdays apart."""
        return [
            note
            for each in self.one(number).comparisons
            for note in each.notes
            if each.feature == "fare" and not note.startswith("the reference has ")
        ]

    @staticmethod
    def fare(found: WindowDrift) -> Verdict:
        return next(each.verdict for each in found.comparisons if each.feature == "fare")


@pytest.fixture
def make_ride(make_repo: Callable[[Mapping[str, str]], "Sample"]) -> Callable[..., Ride]:
    def make(count: int, shift: Shift, *, hourly: bool = False, **settings: Any) -> Ride:
        partitions = "hourly" if hourly else "daily"
        sample = make_repo({"views.py": REPO.replace("PARTITIONS", partitions)})
        ride = Ride(sample, timedelta(hours=1) if hourly else timedelta(days=1))
        random = np.random.default_rng(11)
        at = [ride.window(number).start + ride.step / 2 for number in range(count)]
        columns = {
            "user_id": list(range(ROWS)) * count,
            "fare": np.concatenate([random.normal(shift(n), 1, ROWS) for n in range(count)]),
            "paid_by": random.choice(["card", "cash"], ROWS * count),
            "at": np.repeat(at, ROWS),
        }
        write_table(sample.repo / "data" / "trips.parquet", columns)
        assert sample.run("registry").success
        record_window(ride.store, "riding", Window(MONDAY, ride.window(count - 1).end))
        if settings:
            default = ViewDrift(**{"reference": REFERENCE, **settings})
            ride.settings = DriftSettings(default=default)
        return ride

    return make


def test_a_change_alarms_every_day_until_it_is_accepted_and_then_no_more(
    make_ride: Callable[..., Ride],
):
    ride = make_ride(105, lambda number: 0 if number < 30 else 2 if number < 100 else 4)
    assert set(ride.each(20, 29).values()) <= {"ok", "warn"}
    # Sixty days are far more than the reference is long, and the change is still one.
    assert set(ride.each(30, 89).values()) == {"drift"}
    last = ride.one(89)
    assert last.streaks == {"fare": 60}
    (note,) = ride.notes(89)
    assert note == "21 drifted windows left out of the reference, replaced by 21 older"
    (accepted,) = accept_window(ride.judge, last)
    assert accepted.span == Window(MONDAY + timedelta(days=30), MONDAY + timedelta(days=90))
    assert set(ride.each(90, 99).values()) <= {"ok", "warn"}
    # What was accepted is judged as what it is, and the days before as ever.
    assert ride.each(60, 61) == {60: "ok", 61: "ok"}
    assert ride.each(28, 29) == {28: "ok", 29: "ok"}
    # The next change is one again.
    assert set(ride.each(100, 104).values()) == {"drift"}


def test_a_change_accepted_on_its_first_day_is_normal_from_the_next(
    make_ride: Callable[..., Ride],
):
    ride = make_ride(60, lambda number: 0 if number < 30 else 2 if number < 55 else 4)
    ride.each(24, 29)
    first = ride.one(30)
    assert first.verdict == "drift"
    accept_window(ride.judge, first)
    assert ride.fare(ride.one(30)) == "ok"
    found = ride.each(31, 54)
    assert set(found.values()) <= {"ok", "warn"}
    (note,) = ride.notes(31)
    assert note == "the change since 2026-04-01 is accepted (by hand)"
    assert set(ride.each(55, 59).values()) == {"drift"}


@pytest.mark.parametrize("together", [False, True], ids=["day by day", "in one range"])
def test_a_blip_makes_no_later_day_alarm_and_hides_no_later_change(
    together: bool,  # noqa: FBT001
    make_ride: Callable[..., Ride],
):
    ride = make_ride(
        62, lambda number: {60: 1.0, 61: 1.0}.get(number, 6 if 30 <= number < 36 else 0)
    )
    if together:
        windows = [ride.window(number) for number in range(25, 62)]
        judged = ride.judge.judge(ride.store, windows)
        found = {25 + place: ride.fare(each) for place, each in enumerate(judged)}
    else:
        found = ride.each(25, 61)
    alarms = [number for number, verdict in found.items() if verdict == "drift"]
    assert alarms == [30, 31, 32, 33, 34, 35, 60, 61]


def test_the_settings_may_let_a_change_be_accepted_after_so_many_windows(
    make_ride: Callable[..., Ride],
):
    ride = make_ride(55, lambda number: 0 if number < 30 else 2, accept_after=5)
    found = ride.each(25, 54)
    assert [n for n, verdict in found.items() if verdict == "drift"] == [30, 31, 32, 33, 34]
    assert ride.notes(40) == ["the change since 2026-04-01 is accepted (after 5 windows in a row)"]


def test_where_nothing_without_drift_is_left_it_cannot_be_judged_and_says_how_to_accept(
    make_ride: Callable[..., Ride],
):
    ride = make_ride(60, lambda number: 0 if number < 10 else 2)
    found = ride.each(10, 59)
    assert set(found.values()) == {"drift"}
    # The profiles of the time before the change are gone, as where somebody tidied up.
    for path in (ride.sample.repo / "data" / "drift").rglob("profiles/riding/*"):
        if path.name < MONDAY.date().isoformat() or path.name < "2026-03-12":
            path.unlink()
    last = ride.one(59)
    (fare,) = (each for each in last.comparisons if each.feature == "fare")
    assert fare.verdict == "insufficient"
    assert fare.sentence == (
        "fare cannot be judged, it has no reference: 0 of the 21 windows before it are online, "
        "hold rows, and have not drifted, 7 are needed; if the change is meant: feature-platform "
        "drift --view riding --date 2026-04-30 --accept --feature fare."
    )
    # The other feature goes on as before.
    assert {each.feature: each.verdict for each in last.comparisons}["paid_by"] == "ok"
    accept(ride.judge, "fare", Window(MONDAY + timedelta(days=10), last.window.end), "by hand")
    assert ride.fare(ride.one(59)) == "ok"


def test_a_restless_feature_keeps_its_drifted_windows_or_it_would_alarm_for_ever(
    make_ride: Callable[..., Ride],
):
    ride = make_ride(90, lambda number: 0 if number < 30 else float(3 * (number % 2)))
    found = ride.each(25, 89)
    assert found[31] == "drift"
    assert set(list(found.values())[-20:]) <= {"ok", "warn"}
    noted = [note for number in range(46, 60) for note in ride.notes(number)]
    assert any("times, so none is left out of the reference" in note for note in noted), noted


def test_the_weekdays_before_leave_out_what_drifted_and_take_what_is_accepted(
    make_ride: Callable[..., Ride],
):
    ride = make_ride(
        140,
        lambda number: number % 7 + (0 if number < 70 else 3),
        reference=SameWeekday(weeks=8),
    )
    assert set(ride.each(63, 69).values()) <= {"ok", "warn"}
    assert set(ride.each(70, 132).values()) == {"drift"}
    accept_window(ride.judge, ride.one(132))
    assert set(ride.each(133, 139).values()) <= {"ok", "warn"}


def test_hours_are_compared_with_the_hour_and_so_are_those_that_were_accepted(
    make_ride: Callable[..., Ride],
):
    change = 24 * 12
    ride = make_ride(
        24 * 14,
        lambda number: number % 24 + (0 if number < change else 3),
        hourly=True,
        reference=Trailing(days=8, gap=1, at_least=4),
    )
    assert set(ride.each(change - 3, change - 1).values()) <= {"ok", "warn"}
    assert set(ride.each(change, change + 24).values()) == {"drift"}
    last = ride.one(change + 24)
    assert last.streaks == {"fare": 25}
    (accepted,) = accept_window(ride.judge, last)
    assert accepted.span == Window(ride.window(change).start, last.window.end)
    assert set(ride.each(change + 25, change + 30).values()) <= {"ok", "warn"}


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (Named("usual"), "--set-reference usual --start 2026-03-07 --end 2026-03-08"),
        (FixedWindow("2026-03-01", "2026-04-01"), "write later days into drift.yaml"),
        (TrainingSetReference("fraud"), "feature-platform training-set --service fraud"),
    ],
)
def test_a_reference_of_another_kind_says_how_it_is_moved(
    kind: ReferenceKind, remedy: str, make_ride: Callable[..., Ride]
):
    ride = make_ride(8, lambda _: 0.0, reference=kind)
    span = Window(MONDAY + timedelta(days=5), MONDAY + timedelta(days=6))
    with pytest.raises(RepoError) as caught:
        accept(ride.judge, "fare", span, "by hand")
    assert remedy in str(caught.value)


def test_what_cannot_be_accepted_is_an_error_in_a_line(make_ride: Callable[..., Ride]):
    ride = make_ride(32, lambda _: 0.0)
    calm = ride.one(31)
    with pytest.raises(RepoError, match="shows no drift to accept; choose another with --date"):
        accept_window(ride.judge, calm)
    with pytest.raises(
        RepoError, match=r"'fair': is not one of view 'riding'; choose one of: fare"
    ):
        accept_window(ride.judge, calm, ["fair"])
    with pytest.raises(RepoError, match="is after window"):
        accept_window(ride.judge, calm, ["fare"], calm.window.end)


def test_a_change_is_not_accepted_before_it_is_an_error():
    with pytest.raises(RepoError, match="accept_after is 2, consecutive 3"):
        ViewDrift(consecutive=3, accept_after=2)
    with pytest.raises(RepoError, match="accept_after is for references of the windows before"):
        ViewDrift(reference=Named("usual"), accept_after=9)
