"""Checks of freshness by event time: how old the newest row is that a view serves.

Dagster's freshness policy looks at when something was materialized last, whatever it was; a
backfill of last year satisfies it. These look at the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import view_layout
from feature_platform.errors import SourceError, TransformationError
from feature_platform.materialize.computed_windows import newest_computed
from feature_platform.orchestration.graph.cadence import promise
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import (
    DagsterFeastTranslator,
    FeastTranslatorData,
    op_name,
)
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import cadence_of, due_windows
from feature_platform.orchestration.watch.observed_events import newest_events
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import Memory, NewestMemory
from feature_platform.registry.windows_on_record import load_view, registered_views, windows_of
from feature_platform.repo.cadences import CADENCES
from feature_platform.repo.computability import is_computed_here
from feature_platform.tables.fingerprints import newest_event

if TYPE_CHECKING:
    from feast import FeatureStore

FRESH = "fresh_by_event_time"
TTL = "ttl_outlives_a_late_run"
_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@dataclass(frozen=True)
class Freshness:
    """How fresh a view is.

    Attributes:
        view: Its name.
        newest: Event time of the newest row it serves; None where it serves none.
        promise: How old that may be.
        due: Whether a window should have been materialized by now.
        ever: Whether any window ever was.
        now: When it was looked at.
        note: What is to be known of `newest`; empty where it is simply so.
    """

    view: str
    newest: datetime | None
    promise: timedelta
    due: bool
    ever: bool
    now: datetime
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the promise is kept; a view that was never due has made none yet."""
        if self.newest is None:
            return not self.due and not self.ever
        return self.now - self.newest <= self.promise

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        promised = f"no more than {_hours(self.promise)} are promised"
        if self.newest is None:
            if not self.ever:
                return (
                    f"it was never materialized: nothing is served, {promised}"
                    if self.due
                    else "no window is due yet"
                )
            return f"no row that is still served is online: all have outlived the TTL, {promised}"
        age = _hours(self.now - self.newest)
        note = f" ({self.note})" if self.note else ""
        newest = f"the newest row served is of {self.newest:%Y-%m-%d %H:%M} UTC"
        return f"{newest}, {age} old{note}; {promised}"


@dataclass
class Freshnesses:
    """What a look at the views found.

    Attributes:
        views: By name.
        position: Where to go on; empty where all were looked at.
        scans: How many sources were read.
    """

    views: dict[str, Freshness]
    position: str = ""
    scans: int = 0


def freshness(
    look: SensorContext, *, names: Sequence[str] | None = None, position: str = ""
) -> Freshnesses:
    """Look at the newest rows of views.

    The registry is listed once and the event log asked once; a source is read only where a view was
    materialized since it was looked at.

    Args:
        look: What to go by.
        names: The views; None looks at all that can be materialized.
        position: The view to begin with.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    graph, settings, memory, now = look.graph, look.settings, look.memory, look.now
    chosen = sorted(
        name
        for name, view in graph.views.items()
        if not view.refusal and (names is None or name in names)
    )
    start = next((place for place, name in enumerate(chosen) if name >= position), 0)
    registered = registered_views(look.store)
    keys = {name: look.translator.key_of(graph.views[name]) for name in chosen}
    events = newest_events(look.instance, list(keys.values()))
    found = Freshnesses({})
    for name in [*chosen[start:], *chosen[:start]]:
        view = graph.views[name]
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
            except (SourceError, TransformationError) as error:
                # No worse than the end of the newest window; it is looked at again.
                known = NewestMemory("", online[-1].end.isoformat())
                note = f"at best, since {error.problem}"
        newest = datetime.fromisoformat(known.newest) if known.newest else None
        ttl: timedelta | None = getattr(view.obj, "ttl", None)
        if newest is not None and ttl and newest < now - ttl:
            newest = None
        due = due_windows(view, now, grace=settings.grace, lookback=settings.lookback)
        found.views[name] = Freshness(
            name, newest, _promised(view), due=bool(due), ever=bool(online), now=now, note=note
        )
    return found


def freshness_specs(
    views: Mapping[str, FeastTranslatorData], translator: DagsterFeastTranslator
) -> list[dg.AssetCheckSpec]:
    """The specs of both checks for every view that can be materialized."""
    found = []
    for view in views.values():
        if view.refusal:
            continue
        key, about = translator.key_of(view), _hours(_promised(view))
        found += [
            dg.AssetCheckSpec(
                FRESH,
                asset=key,
                description=f"The newest row served is no older than {about}, by event time.",
            ),
            dg.AssetCheckSpec(
                TTL,
                asset=key,
                description="The TTL is at least twice the cadence, so that a late run leaves "
                "something to serve.",
            ),
        ]
    return found


def fresh_evaluation(found: Freshness, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """What is said of a view's freshness."""
    metadata: dict[str, Any] = {"feature_platform/threshold": _hours(found.promise)}
    if found.newest is not None:
        age = found.now - found.newest
        metadata |= {
            "feature_platform/observed": _hours(age),
            "feature_platform/newest_event": found.newest.isoformat(),
            "feature_platform/age_hours": round(age / timedelta(hours=1), 2),
        }
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=FRESH,
        passed=found.passed,
        severity=_ERROR,
        description=found.sentence,
        metadata=metadata,
    )


def ttl_evaluation(view: FeastTranslatorData, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """What is said of a view's TTL."""
    ttl: timedelta | None = getattr(view.obj, "ttl", None)
    cadence = cadence_of(view)
    length = CADENCES[cadence].length
    passed = not ttl or ttl >= 2 * length
    if not ttl:
        said = "it has no TTL: values never expire"
    elif passed:
        said = f"a TTL of {_hours(ttl)} outlives a {cadence} run that comes late"
    else:
        said = (
            f"a TTL of {_hours(ttl)} is shorter than twice the cadence ({_hours(2 * length)}): "
            f"when a {cadence} run comes late, the last values have expired and nulls are served; "
            f"set ttl to {_hours(2 * length)} or more"
        )
    return dg.AssetCheckEvaluation(
        asset_key=key, check_name=TTL, passed=passed, severity=_WARN, description=said, metadata={}
    )


def build_freshness_checks(
    graph: FeastGraph, translator: DagsterFeastTranslator, settings: AutomationSettings | None
) -> list[dg.AssetChecksDefinition]:
    """Both checks of all views in one step, which looks at those that are selected."""
    views = {name: view for name, view in graph.views.items() if not view.refusal}
    if not views or settings is None or not settings.freshness:
        return []
    grace, lookback = settings.grace, settings.lookback
    by_key = {translator.key_of(view): view for view in views.values()}
    project = graph.project

    @dg.multi_asset_check(
        name=f"{op_name(dg.AssetKey(project.name))}__freshness",
        specs=freshness_specs(views, translator),
        can_subset=True,
        description="Event times of the newest rows served, and TTLs.",
    )
    def freshness_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = context.selected_asset_check_keys
        names = {by_key[each.asset_key].name for each in selected}
        everything = AutomationSettings(scans_a_tick=len(names) + 1, grace=grace, lookback=lookback)
        with one_line_failures():
            look = SensorContext(
                graph,
                translator,
                context.instance,
                project.store(),
                everything,
                Memory(),
                datetime.now(UTC),
            )
            found = freshness(look, names=sorted(names))
        for each in sorted(selected, key=lambda key: (key.asset_key.path, key.name)):
            view = by_key[each.asset_key]
            said = (
                fresh_evaluation(found.views[view.name], each.asset_key)
                if each.name == FRESH
                else ttl_evaluation(view, each.asset_key)
            )
            yield dg.AssetCheckResult(
                asset_key=said.asset_key,
                check_name=said.check_name,
                passed=said.passed,
                severity=said.severity,
                description=said.description,
                metadata=said.metadata,
            )

    return [freshness_checks]


def _promised(view: FeastTranslatorData) -> timedelta:
    assert view.settings is not None  # noqa: S101 - views always carry settings
    return promise(view.settings)


def _newest_row(
    store: "FeatureStore", view: FeastTranslatorData, online: list[Window]
) -> datetime | None:
    if not online:
        return None
    last = online[-1]
    # The newest partition alone, as a rule: only where it is empty all of them are looked at.
    start = max(last.start, last.end - CADENCES[cadence_of(view)].length)
    for windows in ([Window(start, last.end)], online):
        if len(view.sources) > 1 and is_computed_here(store.config):
            # What is joined has the later time, where it is in all of them.
            newest = newest_computed(store, view_layout(load_view(store, view.name)), windows)
            if newest is not None:
                return newest
            continue
        found = [newest_event(store, each.obj, windows) for each in view.sources]
        if moments := [each for each in found if each is not None]:
            return max(moments)
    return None


def _hours(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    if hours >= 72 and hours % 24 == 0:  # noqa: PLR2004 - up to three days people count hours
        return f"{hours / 24:.0f} d"
    return f"{hours:.1f}".removesuffix(".0") + " h"
