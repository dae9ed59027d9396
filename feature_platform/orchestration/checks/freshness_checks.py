"""Checks of freshness by event time: the age of the newest row that a view serves.

Dagster's freshness policy looks at the last materialization, which may be a backfill of last year.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.durations import in_words
from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import view_layout
from feature_platform.errors import problem_of
from feature_platform.materialize.computed_partitions import newest_computed
from feature_platform.orchestration.graph.cadence import promise
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.recorded_verdicts import as_result
from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.orchestration.validation.check_declarations import FRESH, TTL
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import cadence_of, due_windows
from feature_platform.orchestration.watch.observed_events import newest_events
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import Memory, NewestMemory
from feature_platform.registry.windows_on_record import load_view, registered_views, windows_of
from feature_platform.repo.cadences import CADENCES
from feature_platform.repo.computability import is_computed_here
from feature_platform.sources.event_times import newest_event

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Freshness:
    """How fresh a view is.

    Attributes:
        newest: Event time of the newest row it serves; None if it serves none.
        promise: Maximum age of that row.
        due: Whether a window should have been materialized by now.
        ever: Whether any window was ever materialized.
        now: When the view was looked at.
        note: A restriction on `newest`, such as "at best"; may be empty.
    """

    newest: datetime | None
    promise: timedelta
    due: bool
    ever: bool
    now: datetime
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the promise is kept; a view without a due window has made none yet."""
        if self.newest is None:
            return not self.due and not self.ever
        return self.now - self.newest <= self.promise

    @property
    def sentence(self) -> str:
        """The verdict as a sentence."""
        promised = f"no more than {in_words(self.promise)} are promised"
        if self.newest is None:
            if not self.ever:
                return (
                    f"it was never materialized: nothing is served, {promised}"
                    if self.due
                    else "no window is due yet"
                )
            return f"no row that is still served is online: all have outlived the TTL, {promised}"
        age = in_words(self.now - self.newest)
        note = f" ({self.note})" if self.note else ""
        newest = f"the newest row served is of {self.newest:%Y-%m-%d %H:%M} UTC"
        return f"{newest}, {age} old{note}; {promised}"


@dataclass
class Freshnesses:
    """The freshness of several views.

    Attributes:
        views: By name.
        position: The view to continue with; empty if none is left.
        scans: How many views' sources were read.
    """

    views: dict[str, Freshness]
    position: str = ""
    scans: int = 0


def freshness(
    look: SensorContext, *, names: Sequence[str] | None = None, position: str = ""
) -> Freshnesses:
    """Look at the newest rows of views.

    Lists the registry once and queries the event log once; reads a source only if a view on it was
    materialized since its last reading.

    Args:
        look: The project and the limits.
        names: The views; None takes all that can be materialized.
        position: The view to begin with.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    graph, settings, memory, now = look.graph, look.settings, look.memory, look.now
    chosen = sorted(name for name in graph.materializable if names is None or name in names)
    start = next((place for place, name in enumerate(chosen) if name >= position), 0)
    registered = registered_views(look.store)
    keys = {name: look.translator.key_of(graph.materializable[name]) for name in chosen}
    events = newest_events(look.instance, list(keys.values()))
    found = Freshnesses({})
    for name in [*chosen[start:], *chosen[:start]]:
        view = graph.materializable[name]
        online = windows_of(registered[name]) if name in registered else []
        seen = f"{events[keys[name]]} {online[-1] if online else ''}"
        known, note = memory.newest.get(name), ""
        if known is None or known.seen != seen:
            if found.scans >= settings.scans_a_tick and online:
                found.position = name
                break
            found.scans += bool(online)
            try:
                newest = _newest_row(look.store, view, online)
                known = NewestMemory(seen, newest.isoformat() if newest else None)
                memory.newest[name] = known
            except Exception as error:  # noqa: BLE001 - one view's trouble is not another's
                # The end of the newest window is an upper bound; the next look reads again.
                known = NewestMemory("", online[-1].end.isoformat())
                note = f"at best, since {problem_of(error)}"
        newest = datetime.fromisoformat(known.newest) if known.newest else None
        ttl: timedelta | None = getattr(view.obj, "ttl", None)
        if newest is not None and ttl and newest < now - ttl:
            newest = None
        due = due_windows(view, now, grace=settings.grace, lookback=settings.lookback)
        found.views[name] = Freshness(
            newest,
            promise(view.settings),
            due=bool(due),
            ever=bool(online),
            now=now,
            note=note,
        )
    return found


def fresh_evaluation(found: Freshness, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """The verdict on a view's freshness."""
    metadata: dict[str, Any] = {"feature_platform/threshold": in_words(found.promise)}
    if found.newest is not None:
        age = found.now - found.newest
        metadata |= {
            "feature_platform/observed": in_words(age),
            "feature_platform/newest_event": found.newest.isoformat(),
            "feature_platform/age_hours": round(age / timedelta(hours=1), 2),
        }
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=FRESH.name,
        passed=found.passed,
        severity=FRESH.severity,
        description=found.sentence,
        metadata=metadata,
    )


def ttl_evaluation(view: FeatureViewData, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """The verdict on a view's TTL."""
    ttl: timedelta | None = getattr(view.obj, "ttl", None)
    cadence = cadence_of(view)
    length = CADENCES[cadence].length
    passed = not ttl or ttl >= 2 * length
    if not ttl:
        description = "it has no TTL: values never expire"
    elif passed:
        description = f"a TTL of {in_words(ttl)} outlives a {cadence} run that comes late"
    else:
        description = (
            f"a TTL of {in_words(ttl)} is shorter than twice the cadence ({in_words(2 * length)}): "
            f"when a {cadence} run comes late, the last values have expired and nulls are served; "
            f"set ttl to {in_words(2 * length)} or more"
        )
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=TTL.name,
        passed=passed,
        severity=TTL.severity,
        description=description,
        metadata={},
    )


def build_freshness_checks(
    graph: FeastGraph, translator: DagsterFeastTranslator, settings: AutomationSettings | None
) -> list[dg.AssetChecksDefinition]:
    """Both checks of all views in one step, which evaluates those that are selected.

    Without automation too, by its defaults; only ``freshness: false`` leaves them out.
    """
    views, settings = graph.materializable, settings or AutomationSettings()
    if not views or not settings.freshness:
        return []
    grace, lookback = settings.grace, settings.lookback
    by_key = {translator.key_of(view): view for view in views.values()}
    project = graph.project
    specs = []
    for key, view in by_key.items():
        age = in_words(promise(view.settings))
        fresh = f"The newest row served is no older than {age}, by event time."
        specs += [FRESH.spec(key, description=fresh), TTL.spec(key)]

    @dg.multi_asset_check(
        name=f"{op_name(dg.AssetKey(project.name))}__freshness",
        specs=specs,
        can_subset=True,
        description="Event times of the newest rows served, and TTLs.",
    )
    def freshness_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = context.selected_asset_check_keys
        names = {by_key[each.asset_key].name for each in selected}
        everything = AutomationSettings(scans_a_tick=len(names) + 1, grace=grace, lookback=lookback)
        with one_line_failures():
            store, now = project.store(), datetime.now(UTC)
            look = SensorContext(
                graph, translator, context.instance, store, everything, Memory(), now
            )
            found = freshness(look, names=sorted(names))
        for each in sorted(selected, key=lambda key: (key.asset_key.path, key.name)):
            view = by_key[each.asset_key]
            yield as_result(
                fresh_evaluation(found.views[view.name], each.asset_key)
                if each.name == FRESH.name
                else ttl_evaluation(view, each.asset_key)
            )

    return [freshness_checks]


def _newest_row(
    store: "FeatureStore", view: FeatureViewData, online: list[Window]
) -> datetime | None:
    if not online:
        return None
    last = online[-1]
    # The newest partition alone, as a rule: only where it is empty all of them are looked at.
    start = max(last.start, last.end - CADENCES[cadence_of(view)].length)
    for windows in ([Window(start, last.end)], online):
        if len(view.sources) > 1 and is_computed_here(store.config):
            # A joined row has the latest event time of its parents' rows.
            newest = newest_computed(store, view_layout(load_view(store, view.name)), windows)
            if newest is not None:
                return newest
            continue
        found = [newest_event(store, each.obj, windows) for each in view.sources]
        if moments := [each for each in found if each is not None]:
            return max(moments)
    return None
