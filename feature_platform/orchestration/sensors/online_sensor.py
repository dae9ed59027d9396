"""The sensor that looks whether what was put online is still there; it starts no run.

The check ``online_equals_offline`` looks when a view is materialized: a store that is lost in
between would serve nulls until the next morning, and nobody would hear.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, OnlineStoreError, SourceError
from feature_platform.orchestration.checks.online_check import ONLINE, online_evaluation
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import cadence_of
from feature_platform.orchestration.watch.observed_events import newest_events
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import OnlineMemory, remembered
from feature_platform.orchestration.watch.watching_sensor import build_watching_sensor
from feature_platform.registry.windows_on_record import registered_views, windows_of
from feature_platform.repo.cadences import CADENCES

_KEYS = 8
# Dagster gives a tick sixty seconds, and a store that hangs takes many of them.
_SECONDS = 20.0


@dataclass(frozen=True)
class OnlineLook:
    """What one look came to.

    Attributes:
        lost: Views whose values are not all there.
        looked_at: How many views were looked at.
        position: The view to go on with; empty where all were looked at.
    """

    lost: tuple[str, ...]
    looked_at: int
    position: str = ""

    def __str__(self) -> str:
        said = f"{self.looked_at} views looked at"
        return f"{said}; not all there: {', '.join(self.lost)}" if self.lost else said


def look_online(look: SensorContext, position: str = "") -> OnlineLook:
    """Read a few keys of each view back; where one is not there, ask the check, and record it.

    Args:
        look: What to go by.
        position: The view to begin with.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    began, scans = monotonic(), 0
    views = _online_views(look)
    chosen = sorted(views)
    keys = {name: look.translator.key_of(look.graph.views[name]) for name in chosen}
    events = newest_events(look.instance, list(keys.values()))
    start = next((place for place, name in enumerate(chosen) if name >= position), 0)
    looked_at, on = 0, ""
    for name in [*chosen[start:], *chosen[:start]]:
        view, window = views[name]
        seen = f"{events[keys[name]]} {window}"
        known = look.memory.online.setdefault(name, OnlineMemory())
        if known.seen != seen:
            scans += 1
        if scans > look.settings.scans_a_tick or monotonic() - began > _SECONDS:
            on = name
            break
        looked_at += 1
        _look_at(look, view, window, seen, known)
    look.memory.online = {name: each for name, each in look.memory.online.items() if name in keys}
    lost = tuple(sorted(name for name, each in look.memory.online.items() if each.lost))
    return OnlineLook(lost, looked_at, on)


def _look_at(
    look: SensorContext, view: Any, window: Window, seen: str, known: OnlineMemory
) -> None:
    from feature_platform.materialize.online_presence import present_keys, sample_keys

    try:
        if known.seen != seen:
            known.keys = sample_keys(look.store, view, window, most=_KEYS, now=look.now)
            known.seen = seen
        there = present_keys(look.store, view, known.keys)
    except SourceError:
        return  # what reads sources says so
    except OnlineStoreError as error:
        if known.lost != error.problem:
            _report_unread(look, view.name, error)
            known.lost = error.problem
        return
    lacking = len(known.keys) - there
    if not lacking and not known.lost:
        return
    if lacking and known.lost == f"{lacking}":
        return  # it was told, and nothing has changed
    known.lost = f"{lacking}" if _compare(look, view.name, there, len(known.keys)) else ""
    if not known.lost:
        known.seen = ""  # those keys have gone from the source too: others are to be asked for


def _compare(look: SensorContext, view: str, there: int, asked: int) -> bool:
    """Put on record what the check finds now; whether something is wrong."""
    from feature_platform.materialize.read_back import compare_online

    try:
        found = compare_online(look.store, view)
    except FeaturePlatformError:
        return True  # it is compared again at the next look
    before = ""
    if found.mismatches and there < asked:
        before = (
            f"{f'only {there}' if there else 'none'} of {asked} keys of the newest window is "
            "there: the store was wiped or replaced, or it evicts keys; "
        )
    key = look.translator.key_of(look.graph.views[view])
    evaluation = online_evaluation(found, key, seed=0, before=before)
    look.instance.report_runless_asset_event(evaluation)
    return not evaluation.passed


def _report_unread(look: SensorContext, view: str, error: OnlineStoreError) -> None:
    look.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=look.translator.key_of(look.graph.views[view]),
            check_name=ONLINE,
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"it cannot be read: {error.problem}",
            metadata={},
        )
    )


def _online_views(look: SensorContext) -> Mapping[str, tuple[Any, Window]]:
    """Views that Feast does not compute, as the registry has them; the newest partition online."""
    from feature_platform.repo.computability import why_transformed

    registered = registered_views(look.store)
    found: dict[str, tuple[Any, Window]] = {}
    for name, view in look.graph.views.items():
        online = windows_of(registered[name]) if name in registered else []
        if view.refusal or not online or why_transformed(registered[name]):
            continue
        last = online[-1]
        start = max(last.start, last.end - CADENCES[cadence_of(view)].length)
        found[name] = registered[name], Window(start, last.end)
    return found


def build_online_sensor(
    graph: FeastGraph, translator: DagsterFeastTranslator, settings: AutomationSettings
) -> dg.SensorDefinition:
    """The sensor of one project."""

    def look(instance: dg.DagsterInstance, cursor: str | None) -> tuple[str, str]:
        store = graph.project.store()
        with remembered(Path(instance.root_directory), graph.project, "online") as memory:
            now = datetime.now(UTC)
            found = look_online(
                SensorContext(graph, translator, instance, store, settings, memory, now),
                cursor or "",
            )
        return found.position, str(found)

    said = "Looks whether the online store still holds what was put into it."
    return build_watching_sensor(graph.project.name, "online", said, settings, look)
