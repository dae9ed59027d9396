"""Histories of a source and its materializations, against an oracle: a Hypothesis state machine."""

import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from worlds.histories.arenas import Arena
from worlds.histories.oracle import CELLS, FEATURES, MOMENTS, Fact, Key, Left, Oracle, Row, Shape
from worlds.histories.points import POINTS, Crash, crash, disturbed

from feature_platform.core.windows import Window
from feature_platform.materialize import materialization
from feature_platform.materialize import vanished_keys as vanished
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.registry.windows_on_record import materialized_windows
from feature_platform.sources import latest_rows as latest

# Few users, shops and moments, so that ties, corrections and removals meet.
USERS = (0, 1)
SHOPS = ("a", "b")
KEYS: dict[tuple[str, ...], list[Key]] = {
    (): [()],
    ("user_id",): [(user,) for user in USERS],
    ("user_id", "shop"): [(user, shop) for user in USERS for shop in SHOPS],
}

users = st.sampled_from(USERS)
moments = st.integers(0, MOMENTS - 1)
values = st.one_of(st.none(), st.integers(0, 3))
facts = st.builds(
    Fact,
    user=st.one_of(users, users, st.none()),
    shop=st.sampled_from([*SHOPS, None]),
    moment=moments,
    created=st.one_of(st.none(), st.integers(0, 2)),
    amount=values,
    visits=st.one_of(values, st.just(2**53)),
    city=st.sampled_from([None, "", "Köln", "Rome"]),
)
windows = st.tuples(st.integers(0, CELLS - 1), st.integers(1, CELLS)).map(
    lambda ends: (ends[0], min(ends[0] + ends[1], CELLS))
)
places = st.integers(0, 20)
points = st.integers(0, POINTS - 1)


class History(RuleBasedStateMachine):
    """A source that changes, and windows of it that are put online; see `play`."""

    arena: ClassVar[Arena]
    crash: ClassVar[Callable[[Shape, Window, int], bool] | None] = None
    played: ClassVar[Counter[str]] = Counter()
    """Histories played to their end, by kind of online store."""

    oracle: Oracle
    pushes = 0
    is_compared = False

    @initialize(data=st.data(), first=st.lists(facts, max_size=8))
    def begin(self, data: Any, first: list[Fact]) -> None:
        shape = data.draw(st.sampled_from(self.arena.shapes), label="view")
        arena = self.arena
        self.oracle = Oracle(
            shape=shape,
            calendar=arena.calendar,
            fresh=arena.fresh if shape.expires else None,
            stored=(lambda at: at.replace(microsecond=0)) if arena.keeps_seconds else lambda at: at,
            compares_created=arena.has_bulk,
        )
        arena.begin(shape)
        # What is done only for many keys is done for a few, in half of the histories.
        small = data.draw(st.booleans(), label="as if of many keys")
        materialization._MANY_ROWS = 0 if small else 20_000
        vanished._AT_ONCE = 1 if small else 20_000
        self.oracle.add(first)
        self._write()

    @rule(more=st.lists(facts, min_size=1, max_size=3))
    def rows_arrive(self, more: list[Fact]) -> None:
        self.oracle.add(more)
        self._write()

    @precondition(lambda self: self.oracle.facts)
    @rule(place=places, amount=values, created=st.integers(0, 2))
    def a_value_is_corrected(self, place: int, amount: int | None, created: int) -> None:
        self.oracle.correct(self._fact(place), amount=amount, created=created)
        self._write()

    @precondition(lambda self: self.oracle.facts)
    @rule(place=places, moment=moments)
    def an_event_time_is_corrected(self, place: int, moment: int) -> None:
        self.oracle.correct(self._fact(place), moment=moment)
        self._write()

    @precondition(lambda self: self.oracle.facts)
    @rule(place=places)
    def a_row_is_removed(self, place: int) -> None:
        self.oracle.remove([self._fact(place)])
        self._write()

    @precondition(lambda self: self.oracle.facts)
    @rule(user=users, cell=st.integers(0, CELLS - 1))
    def a_user_vanishes_from_a_cell(self, user: int, cell: int) -> None:
        self.oracle.remove(
            [f for f in self.oracle.facts if f.user == user and f.moment // 4 == cell]
        )
        self._write()

    @rule(ends=windows)
    def a_window_is_materialized(self, ends: tuple[int, int]) -> None:
        self._materialize(self._window(ends))

    @rule(ends=windows)
    def another_window_is_materialized(self, ends: tuple[int, int]) -> None:
        self._materialize(self._window(ends))

    @rule(ends=windows, point=points)
    def it_crashes_and_runs_again(self, ends: tuple[int, int], point: int) -> None:
        window = self._window(ends)
        self._crash(window, point)
        self._materialize(window)

    @precondition(lambda self: not self.oracle.shape.streamed)
    @rule(ends=windows, point=points)
    def it_crashes(self, ends: tuple[int, int], point: int) -> None:
        window = self._window(ends)
        if self._crash(window, point):
            self.oracle.owed.append(window)
        else:
            self.oracle.materialized(window)

    @precondition(lambda self: not self.oracle.shape.streamed)
    @rule(ends=windows, point=points, more=st.lists(facts, min_size=1, max_size=2))
    def rows_arrive_meanwhile(self, ends: tuple[int, int], point: int, more: list[Fact]) -> None:
        def arrive() -> None:
            self.arena.write([*self.oracle.facts, *more])

        self._meanwhile(ends, point, arrive)
        self.oracle.add(more)
        self._write()

    @precondition(lambda self: self.oracle.facts and not self.oracle.shape.streamed)
    @rule(ends=windows, point=points, place=places)
    def a_row_is_removed_meanwhile(self, ends: tuple[int, int], point: int, place: int) -> None:
        gone = self._fact(place)

        def remove() -> None:
            left = list(self.oracle.facts)
            left.remove(gone)
            self.arena.write(left)

        self._meanwhile(ends, point, remove)
        self.oracle.remove([gone])
        self._write()

    @rule(ends=windows, bad=facts)
    def a_bad_row_is_there_while_a_window_is_materialized(
        self, ends: tuple[int, int], bad: Fact
    ) -> None:
        self.oracle.add([bad])
        self._write()
        self._materialize(self._window(ends))
        self.oracle.remove([bad])
        self._write()

    @rule(one=windows, other=windows)
    def two_are_materialized_at_once(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        both = [self._window(one), self._window(other)]
        failed: list[BaseException] = []

        def run(window: Window) -> None:
            try:
                self._run(self.arena.open(), window)
            except BaseException as error:  # noqa: BLE001 - raised below, in the test's thread
                failed.append(error)

        threads = [threading.Thread(target=run, args=(window,)) for window in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        for window in both:
            self.oracle.materialized(window)

    @precondition(lambda self: self.oracle.shape.streamed)
    @rule(user=users, moment=moments, created=st.integers(0, 2), amount=st.integers(4, 9))
    def a_stream_pushes(self, user: int, moment: int, created: int, amount: int) -> None:
        # Where the store itself has no guard, Feast's order is that of arrival.
        at = None if self.arena.guarded else self._next_push()
        self._push(Fact(user, None, moment, created, amount, amount, "", at))

    @precondition(lambda self: self.oracle.shape.streamed)
    @rule(ends=windows, point=points, user=users)
    def a_stream_pushes_meanwhile(self, ends: tuple[int, int], point: int, user: int) -> None:
        fact = Fact(user, None, 0, 2, 7, 7, "", self._next_push())
        pushed: list[Row] = []

        def push() -> None:
            pushed.append(fact.row(self.arena.calendar))
            self.arena.push(self.oracle.shape, pushed[0])

        if self.arena.has_bulk:
            self._meanwhile(ends, point, push)
        else:
            # Between its reading and its writing, a store that compares nothing loses it.
            push()
            self._materialize(self._window(ends))
        for row in pushed:
            self.oracle.pushed(row)

    @rule()
    def the_store_is_opened_anew(self) -> None:
        self.arena.reopen()

    @precondition(lambda self: self.oracle.due())
    @rule(backwards=st.booleans())
    def what_is_due_is_run_again(self, backwards: bool) -> None:  # noqa: FBT001 - drawn
        due = self.oracle.due()
        for window in reversed(due) if backwards else due:
            self._materialize(window)

    @precondition(lambda self: not self.oracle.shape.streamed and self.oracle.windows)
    @rule()
    def the_online_store_is_lost_and_built_again(self) -> None:
        self.arena.lose_online(self.oracle.shape)
        for window in self.oracle.owed:  # recorded or not, nobody knows
            self._materialize(window)
        self._rebuild()
        self.oracle.emptied()
        self.oracle.left = dict.fromkeys(self.oracle.left, Left({}, []))

    @precondition(lambda self: self._can_rebuild())
    @rule()
    def it_is_built_again_where_it_is(self) -> None:
        owed = self.oracle.owed
        self._rebuild()
        self.oracle.emptied()
        self.oracle.owed = owed  # recorded or not, nobody knows

    @precondition(lambda self: self._can_rebuild())
    @rule(point=points)
    def it_is_built_again_and_crashes(self, point: int) -> None:
        # What is done of it is written as it has to be; what is due stays due.
        with suppress(Crash), disturbed(point, crash):
            self._rebuild()
        self.arena.reopen()

    @precondition(lambda self: self.arena.versioned)
    @rule()
    def the_definition_changes_version(self) -> None:
        self._move(lambda: self.arena.change(self.oracle.shape))

    @precondition(lambda self: self.arena.versioned and self.oracle.left)
    @rule(place=places)
    def a_version_is_pinned_again(self, place: int) -> None:
        left = sorted(self.oracle.left)
        self._move(lambda: self.arena.pin(self.oracle.shape, left[place % len(left)]))

    @precondition(lambda self: self.arena.versioned)
    @rule()
    def the_definition_is_applied_as_it_is(self) -> None:
        self.arena.apply_again(self.oracle.shape)
        self.is_compared = False

    @invariant()
    def online_is_what_the_oracle_says(self) -> None:
        if self.is_compared or self.oracle.due():
            return
        if self.oracle.has_lost_rows and not self.arena.has_bulk:
            return
        self._compare()

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None or not hasattr(self, "oracle"):
            return
        while due := self.oracle.due():
            for window in due:
                self._materialize(window)
        name = self.oracle.shape.name
        found = materialized_windows(self.arena.store, name)
        assert found == self.oracle.windows, f"recorded {found}, not {self.oracle.windows}"
        if self.oracle.has_lost_rows and not self.arena.has_bulk and not self.oracle.shape.streamed:
            rebuild_online(self.arena.store, name)
        self._compare()
        self.played[self.arena.kind] += 1

    def _compare(self) -> None:
        shape, truth = self.oracle.shape, self.oracle.online()
        keys = KEYS[shape.keys]
        if self.oracle.has_lost_rows and not self.arena.has_bulk:
            keys = [key for key in keys if key in truth]  # nobody can take out the others
        served = self.arena.served(shape, keys) if keys else {}
        wanted = {key: row for key, row in self._whole(truth).items() if key in keys}
        assert served == wanted
        for version, left in self.oracle.left.items():
            if left.rows is not None:
                found = self.arena.served(shape, KEYS[shape.keys], version)
                assert found == self._whole(left.rows), f"of version {version}"
        self.is_compared = True

    def _whole(self, rows: dict[Key, Row]) -> dict[Key, Row]:
        return {
            key: {name: rows[key][name] if key in rows else None for name in FEATURES}
            for key in KEYS[self.oracle.shape.keys]
        }

    def _move(self, act: Callable[[], None]) -> None:
        old = self.arena.version(self.oracle.shape)
        act()
        self.oracle.moved(old, self.arena.version(self.oracle.shape))
        self.is_compared = False

    def _fact(self, place: int) -> Fact:
        return self.oracle.facts[place % len(self.oracle.facts)]

    def _write(self) -> None:
        self.arena.write(self.oracle.facts)

    def _window(self, ends: tuple[int, int]) -> Window:
        return self.arena.calendar.window(*ends)

    def _run(self, store: Any, window: Window) -> Any:
        self.is_compared = False
        return materialize_window(store, self.oracle.shape.name, window.start, window.end)

    def _materialize(self, window: Window) -> None:
        known = materialized_windows(self.arena.store, self.oracle.shape.name)
        result = self._run(self.arena.store, window)
        met = any(window.overlaps(other) for other in known)
        is_due = met and not self.arena.has_bulk and not self.oracle.shape.streamed
        assert result.rebuild_due == is_due
        self.oracle.materialized(window)

    def _can_rebuild(self) -> bool:
        return self.arena.has_bulk and not self.oracle.shape.streamed and bool(self.oracle.windows)

    def _rebuild(self) -> None:
        self.is_compared = False
        with patch.object(latest, "KEYS_A_PART", 1):
            rebuild_online(self.arena.store, self.oracle.shape.name)

    def _crash(self, window: Window, point: int) -> bool:
        """Whether it came to that."""
        if type(self).crash is not None:
            crashed = type(self).crash(self.oracle.shape, window, point)
        else:
            crashed = False
            try:
                with disturbed(point, crash):
                    self._run(self.arena.store, window)
            except Crash:
                crashed = True
        self.arena.reopen()
        return crashed

    def _meanwhile(self, ends: tuple[int, int], point: int, act: Callable[[], None]) -> None:
        window = self._window(ends)
        with disturbed(point, act):
            self._run(self.arena.store, window)
        self.oracle.materialized(window)

    def _next_push(self) -> Any:
        self.pushes += 1
        return self.arena.calendar.after_all(self.pushes)

    def _push(self, fact: Fact) -> None:
        row = fact.row(self.arena.calendar)
        self.arena.push(self.oracle.shape, row)
        self.oracle.pushed(row)
        self.is_compared = False


def play(
    arena: Arena,
    examples: int,
    number: int,
    *,
    crash_with: Callable[[Shape, Window, int], bool] | None = None,
    shrink: bool = False,
) -> int:
    """Play histories; returns how many.

    Args:
        arena: Where.
        examples: How many.
        number: The seed: the same one plays the same histories.
        crash_with: How a run is made to end at a point; by an exception if not given.
        shrink: Look for a shorter history that fails too.
    """

    class Played(History):
        pass

    Played.arena = arena
    Played.crash = staticmethod(crash_with) if crash_with else None
    Played.played = Counter()
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrink else [])]
    with (
        patch.object(materialization, "_MANY_ROWS", 20_000),
        patch.object(vanished, "_AT_ONCE", 20_000),
    ):
        run_state_machine_as_test(
            seed(number)(Played),
            settings=settings(
                max_examples=examples,
                derandomize=False,  # on CI servers it would be
                stateful_step_count=10,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=phases,
                print_blob=True,
                report_multiple_bugs=False,
            ),
        )
    return Played.played[arena.kind]
