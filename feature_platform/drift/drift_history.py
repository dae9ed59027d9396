"""Which earlier windows each feature of a window is compared with.

A window in which a feature has drifted is not in the reference of that feature. Otherwise a change
would be normal a week later before anyone has seen it, and a bad day would make the days after
it look odd. Once a change is accepted (`feature_platform.drift.acceptance`), the windows that show
it are the reference, and those before it are not.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window, covers
from feature_platform.drift.acceptance import accept, accept_command
from feature_platform.drift.accepted import Accepted
from feature_platform.drift.drift_settings import SameWeekday, Trailing
from feature_platform.drift.references import ViewReference, reference_of_each, with_spread_of
from feature_platform.drift.view_state import ViewState, split
from feature_platform.drift.window_profiles import WindowProfiles
from feature_platform.registry.windows_on_record import materialized_windows
from feature_platform.statistics import season_of

if TYPE_CHECKING:
    from feast import FeatureStore

# A feature that drifts on and off so often keeps its drifted windows in the reference.
_RESTLESS_SHARE, _RESTLESS_RUNS = 1 / 3, 4


@dataclass(frozen=True)
class _Choice:
    """The windows of one feature's reference, oldest first, with a note; or why there is none.

    If they are too few, those of `spread` tell the variance between windows. `is_warming` if too
    few windows are online yet.
    """

    windows: Sequence[WindowProfiles] = ()
    note: str = ""
    spread: Sequence[WindowProfiles] = ()
    problem: str = ""
    is_warming: bool = False


class History:
    """The windows before those that are judged, with their profiles and drifted features."""

    def __init__(
        self,
        state: ViewState,
        store: "FeatureStore",
        kind: Trailing | SameWeekday,
        windows: Sequence[Window],
    ) -> None:
        """Read the profiles of the windows that those to judge may be compared with."""
        self.state, self.store, self.kind = state, store, kind
        self.online = materialized_windows(store, state.view)
        wanted = {each for window in windows for each in kind.before(window)}
        served = [each for each in sorted(wanted - set(windows)) if covers(self.online, each)]
        self.profiles = {each.window: each for each in state.profiles_of(store, served)}
        self.older: dict[Window, WindowProfiles | None] = {}
        self.drifted: dict[Window, Mapping[str, int]] = {}

    def add(self, found: WindowProfiles, drifted: Collection[str], *, served: bool) -> None:
        """Add a judged window, with which later ones may be compared if it is `served`."""
        window, length = found.window, self.state.partition
        before = self.streaks_of(Window(window.start - length, window.start))
        streaks = {name: before.get(name, 0) + 1 for name in drifted}
        self.drifted[window] = streaks
        if served:
            self.profiles[window] = found
        most = self.state.drift.accept_after
        for name, streak in streaks.items():
            if most is not None and streak >= most:
                span = Window(window.start - (streak - 1) * length, window.end)
                accept(self.state, name, span, f"after {most} windows in a row")

    def streaks_of(self, window: Window) -> Mapping[str, int]:
        """Features that have drifted in a window, and in how many windows in a row."""
        if window not in self.drifted:
            self.drifted[window] = self.state.results.streaks_of(window)
        return self.drifted[window]

    def reference(self, window: Window) -> ViewReference:
        """The reference of a window, each feature of windows of its own."""
        usable = self.kind.before(window)
        for past in [each for each in self.profiles if each.start < usable[0].start]:
            del self.profiles[past]  # no later window is compared with it
        known = [self.profiles[each] for each in usable if each in self.profiles]
        filled = [each for each in known if each.rows]
        label = f"{len(filled)} windows, {Window(usable[0].start, usable[-1].end)}"
        if isinstance(self.kind, SameWeekday):
            label = label.replace("windows", f"{season_of(window.start)}s", 1)
        choices = {name: self._choose(name, window, usable, filled) for name in self.state.columns}
        made = reference_of_each(
            {name: each.windows for name, each in choices.items() if not each.problem},
            source="trailing",
            label=label,
        )
        features = dict(made.features)
        for name, choice in choices.items():
            if choice.spread and name in features:
                features[name] = with_spread_of(features[name], choice.spread)
        problems = {name: each.problem for name, each in choices.items() if each.problem}
        notes = {name: each.note for name, each in choices.items() if each.note}
        return replace(
            made,
            features=features,
            problems={**made.problems, **problems},
            notes=notes,
            warming=frozenset(name for name, each in choices.items() if each.is_warming),
        )

    def _choose(
        self, name: str, window: Window, usable: Sequence[Window], filled: Sequence[WindowProfiles]
    ) -> _Choice:
        accepted = self.state.accepted.of(name, window.start)
        if accepted is not None:
            return self._since_acceptance(name, window, filled, accepted)
        clean, note = self._without_drift(name, filled)
        missing = len(filled) - len(clean)
        if missing:
            # As many windows as before: few do not show how much windows differ.
            older = self._older(name, usable, missing)
            clean = [*older, *clean]
            note += f", replaced by {len(older)} older" if older else ""
        if len(clean) >= self.kind.at_least:
            return _Choice(clean, note)
        if len(clean) < len(filled):
            return _Choice(
                problem=f"{len(clean)} of the {len(usable)} windows before it are online, hold "
                f"rows, and have not drifted, {self.kind.at_least} are needed; if the change is "
                f"meant: {accept_command(self.state, window, name)}"
            )
        return _Choice(
            problem=f"{len(filled)} of the {len(usable)} windows before it are online and hold "
            f"rows, {self.kind.at_least} are needed; materialize earlier windows, or set a "
            f"reference (feature-platform drift --view {self.state.view} --set-reference)",
            is_warming=True,
        )

    def _without_drift(
        self, name: str, filled: Sequence[WindowProfiles], accepted: Window | None = None
    ) -> tuple[list[WindowProfiles], str]:
        """The windows in which the feature has not drifted, or all if it drifts on and off; a note.

        Windows in `accepted` count as not drifted.
        """
        flags = [
            name in self.streaks_of(each.window)
            and not (accepted is not None and accepted.overlaps(each.window))
            for each in filled
        ]
        drifted = sum(flags)
        if not drifted:
            return list(filled), ""
        runs = int(flags[0]) + sum(now and not before for before, now in pairwise(flags))
        if drifted > _RESTLESS_SHARE * len(filled) and runs >= _RESTLESS_RUNS:
            return list(filled), (
                f"it drifted in {drifted} of {len(filled)} windows, {runs} separate times, so none "
                "is left out of the reference"
            )
        kept = [each for each, flag in zip(filled, flags, strict=True) if not flag]
        return kept, f"{drifted} drifted window{'s' * (drifted > 1)} left out of the reference"

    def _since_acceptance(
        self, name: str, window: Window, filled: Sequence[WindowProfiles], accepted: Accepted
    ) -> _Choice:
        """The windows since the change; while they are few, also all that were accepted."""
        span = accepted.span
        since = [each for each in filled if each.window.start >= span.start]
        clean, left_out = self._without_drift(name, since, span)
        note = f"the change since {span.start.date()} is accepted ({accepted.how})"
        if window.start >= span.end and len(clean) >= self.kind.at_least:
            return _Choice(clean, "; ".join(filter(None, (note, left_out))))
        length = self.state.partition
        parts = [each for each in split(span, length) if each.end - each.start == length]
        alike = [each for each in parts if (each.start - window.start) % self._step == timedelta()]
        base = [each for each in self.state.profiles_of(self.store, alike) if each.rows]
        if not base:
            return _Choice(problem=f"{note}, and no window like this one has passed since")
        if window.start >= span.end:
            by_window = {each.window: each for each in (*base, *clean)}
            base = [by_window[each] for each in sorted(by_window) if each.start < window.end]
        # The variance between windows has not changed with the values.
        before = [each for each in filled if each.window.start < span.start]
        calm, _ = self._without_drift(name, before)
        if len(calm) < self.kind.at_least:
            calm = [*self._older(name, self.kind.before(window), self.kind.at_least), *calm]
        return _Choice(base, note, spread=calm)

    @property
    def _step(self) -> timedelta:
        """Distance of the windows that are compared: hours with the same hour, days or weekdays."""
        return timedelta(days=7 if isinstance(self.kind, SameWeekday) else 1)

    def _older(self, name: str, usable: Sequence[Window], count: int) -> list[WindowProfiles]:
        """The newest `count` windows before `usable` that have not drifted, oldest first.

        Only windows with a stored profile: nothing is read from the source.
        """
        found: list[WindowProfiles] = []
        place, missed = usable[0], 0
        while len(found) < count and missed < len(usable):
            place = _back(place, self._step)
            streak = self.streaks_of(place).get(name, 0)
            if streak:
                # Skip the whole streak at once.
                length = (streak - 1) * self.state.partition
                place = _back(place, length // self._step * self._step)
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
                known = self.state.profiles.read(window, list(self.state.columns))
            self.older[window] = known
        return self.older[window]


def _back(window: Window, by: timedelta) -> Window:
    return Window(window.start - by, window.end - by)
