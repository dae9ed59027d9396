"""Which earlier windows each feature of a window is compared with.

A window in which a feature has drifted is no reference of that feature, or a change that nobody
has looked at would be normal a week later, and a bad day would make the days after it look odd.
Somebody who has looked says that it is meant (`feature_platform.drift.accepted`), and from then on
the windows that show the change are the reference, and those before it are not.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window, covers
from feature_platform.drift.accepted import Accepted, accept, accept_command
from feature_platform.drift.drift_settings import SameWeekday, Trailing
from feature_platform.drift.references import ViewReference, reference_of_each, with_spread_of
from feature_platform.drift.window_profiles import WindowProfiles
from feature_platform.registry.windows_on_record import materialized_windows
from feature_platform.statistics import season_of

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.drift.drift_judge import DriftJudge

# A feature that drifts and comes back so often is restless: its drifted windows are how it is.
_RESTLESS_SHARE, _RESTLESS_RUNS = 1 / 3, 4


@dataclass(frozen=True)
class _Chosen:
    """The windows of one feature's reference, oldest first.

    Attributes:
        windows: The windows.
        note: What a reader should know of the choice.
        spread: Windows that tell how much such windows differ, where `windows` are too few to.
        problem: Why there is none.
    """

    windows: Sequence[WindowProfiles] = ()
    note: str = ""
    spread: Sequence[WindowProfiles] = ()
    problem: str = ""


class History:
    """The windows before those that are judged, and what was said of them."""

    def __init__(
        self,
        judge: "DriftJudge",
        store: "FeatureStore",
        kind: Trailing | SameWeekday,
        windows: Sequence[Window],
    ) -> None:
        """Read the profiles of the windows that references may be made of.

        Args:
            judge: Knows where profiles and verdicts are.
            store: The Feast store.
            kind: Which windows count.
            windows: Those that are going to be judged.
        """
        self.judge, self.store, self.kind = judge, store, kind
        self.online = materialized_windows(store, judge.view)
        wanted = {each for window in windows for each in kind.before(window)}
        served = [each for each in sorted(wanted - set(windows)) if covers(self.online, each)]
        self.profiles = {each.window: each for each in judge.profiles_of(store, served)}
        self.older: dict[Window, WindowProfiles | None] = {}
        self.drifted: dict[Window, Mapping[str, int]] = {}

    def add(self, found: WindowProfiles, drifted: Collection[str], *, served: bool) -> None:
        """A window that later ones may be compared with.

        Args:
            found: Its profiles.
            drifted: Features that have drifted in it.
            served: Whether it is online, or is going to be.
        """
        window, length = found.window, self.judge.partition
        before = self.streaks_of(Window(window.start - length, window.start))
        self.drifted[window] = {name: before.get(name, 0) + 1 for name in drifted}
        if served:
            self.profiles[window] = found
        most = self.judge.own.accept_after
        for name in drifted:
            if most is not None and self.drifted[window][name] >= most:
                accept(
                    self.judge, name, self._spell(name, window), f"after {most} windows in a row"
                )

    def _spell(self, name: str, window: Window) -> Window:
        """The windows in a row, `window` the last, in which a feature has drifted."""
        count = max(1, self.streaks_of(window).get(name, 1))
        return Window(window.start - (count - 1) * self.judge.partition, window.end)

    def streaks_of(self, window: Window) -> Mapping[str, int]:
        """Features that have drifted in a window, and in how many windows in a row."""
        if window not in self.drifted:
            self.drifted[window] = self.judge.results.streaks_of(window)
        return self.drifted[window]

    def reference(self, window: Window) -> ViewReference:
        """What the features of a window are compared with."""
        usable = self.kind.before(window)
        self._forget(usable[0])
        known = [self.profiles[each] for each in usable if each in self.profiles]
        held = [each for each in known if each.rows]
        label = f"{len(held)} windows, {Window(usable[0].start, usable[-1].end)}"
        if isinstance(self.kind, SameWeekday):
            label = label.replace("windows", f"{season_of(window.start)}s", 1)
        chosen = {name: self._choose(name, window, usable, held) for name in self.judge.columns}
        made = reference_of_each(
            {name: each.windows for name, each in chosen.items() if not each.problem},
            source="trailing",
            label=label,
        )
        features = dict(made.features)
        for name, choice in chosen.items():
            if choice.spread and name in features:
                features[name] = with_spread_of(features[name], choice.spread)
        problems = {name: each.problem for name, each in chosen.items() if each.problem}
        notes = {name: each.note for name, each in chosen.items() if each.note}
        return replace(made, features=features, problems={**made.problems, **problems}, notes=notes)

    def _choose(
        self, name: str, window: Window, usable: Sequence[Window], held: Sequence[WindowProfiles]
    ) -> _Chosen:
        accepted = self.judge.accepted.of(name, window.start)
        if accepted is not None:
            return self._accepted(name, window, held, accepted)
        clean, note = self._without_drift(name, held)
        lacking = len(held) - len(clean)
        if lacking:
            # As many as before: of few windows nobody knows how much they differ.
            older = self._older(name, usable, lacking)
            clean = [*older, *clean]
            note += f", and {len(older)} older ones stand in" if older else ""
        if len(clean) >= self.kind.at_least:
            return _Chosen(clean, note)
        view = self.judge.view
        if len(clean) < len(held):
            return _Chosen(
                problem=f"{len(clean)} of the {len(usable)} windows before it are online, hold "
                f"rows, and have not drifted, {self.kind.at_least} are needed; if the change is "
                f"meant: {accept_command(self.judge, window, name)}"
            )
        return _Chosen(
            problem=f"{len(held)} of the {len(usable)} windows before it are online and hold rows, "
            f"{self.kind.at_least} are needed; materialize earlier windows, or set a reference "
            f"(feature-platform drift --view {view} --set-reference)"
        )

    def _without_drift(
        self, name: str, held: Sequence[WindowProfiles], spared: Window | None = None
    ) -> tuple[list[WindowProfiles], str]:
        """Those in which the feature has not drifted, or all of a feature that often does."""
        flags = [
            name in self.streaks_of(each.window)
            and not (spared is not None and spared.overlaps(each.window))
            for each in held
        ]
        drifted = sum(flags)
        if not drifted:
            return list(held), ""
        runs = int(flags[0]) + sum(now and not before for before, now in pairwise(flags))
        if drifted > _RESTLESS_SHARE * len(held) and runs >= _RESTLESS_RUNS:
            said = f"it drifted in {drifted} of {len(held)} windows, in {runs} spells: none is left"
            return list(held), f"{said} out of the reference"
        many = "windows that have" if drifted > 1 else "window that has"
        kept = [each for each, flag in zip(held, flags, strict=True) if not flag]
        return kept, f"{drifted} {many} drifted left out of the reference"

    def _accepted(
        self, name: str, window: Window, held: Sequence[WindowProfiles], accepted: Accepted
    ) -> _Chosen:
        """Windows since the change; while there are few, all of those that were accepted."""
        since = [each for each in held if each.window.start >= accepted.span.start]
        clean, left_out = self._without_drift(name, since, accepted.span)
        note = f"the change since {accepted.span.start.date()} is accepted ({accepted.how})"
        if window.start >= accepted.span.end and len(clean) >= self.kind.at_least:
            return _Chosen(clean, "; ".join(filter(None, (note, left_out))))
        like = [each for each in self._span(accepted.span) if self._alike(each, window)]
        base = [each for each in self.judge.profiles_of(self.store, like) if each.rows]
        if not base:
            return _Chosen(problem=f"{note}, and no window like this one has passed since")
        both = {each.window: each for each in (*base, *clean) if each.window.start < window.end}
        chosen = (
            [both[each] for each in sorted(both)] if window.start >= accepted.span.end else base
        )
        # How much windows differ among themselves has not changed with what they hold.
        before = [each for each in held if each.window.start < accepted.span.start]
        calm, _ = self._without_drift(name, before)
        if len(calm) < self.kind.at_least:
            calm = [*self._older(name, self.kind.before(window), self.kind.at_least), *calm]
        return _Chosen(chosen, note, spread=calm)

    def _span(self, span: Window) -> list[Window]:
        parts, start, length = [], span.start, self.judge.partition
        while start + length <= span.end:
            parts.append(Window(start, start + length))
            start += length
        return parts

    def _alike(self, one: Window, other: Window) -> bool:
        """Whether the settings compare the two: hours with the same hour, weekdays with theirs."""
        return (one.start - other.start) % self._step == timedelta()

    @property
    def _step(self) -> timedelta:
        return timedelta(days=7 if isinstance(self.kind, SameWeekday) else 1)

    def _older(self, name: str, usable: Sequence[Window], count: int) -> list[WindowProfiles]:
        """The newest `count` windows before `usable` that have not drifted, oldest first.

        Only what has a profile already: nothing is read from the source for it.
        """
        found: list[WindowProfiles] = []
        place, missed = usable[0], 0
        while len(found) < count and missed < len(usable):
            place = _back(place, self._step)
            streak = self.streaks_of(place).get(name, 0)
            if streak:
                # The whole spell at once, however long it was.
                spell = (streak - 1) * self.judge.partition
                place = _back(place, spell // self._step * self._step)
                continue
            profiles = self._stored(place)
            if profiles is None or not profiles.rows:
                missed += 1
            else:
                found.append(profiles)
        return found[::-1]

    def _stored(self, window: Window) -> WindowProfiles | None:
        if window not in self.older:
            known = self.profiles.get(window)
            if known is None and covers(self.online, window):
                known = self.judge.profiles.read(window, list(self.judge.columns))
            self.older[window] = known
        return self.older[window]

    def _forget(self, oldest: Window) -> None:
        """Windows that no later one is compared with, unless they stand in for others."""
        for past in [each for each in self.profiles if each.start < oldest.start]:
            del self.profiles[past]


def _back(window: Window, by: timedelta) -> Window:
    return Window(window.start - by, window.end - by)
