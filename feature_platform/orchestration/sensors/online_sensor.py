"""The sensor that checks that what was put online is still there.

The check ``online_equals_offline`` runs when a view is materialized: without this sensor a store
that is lost in between would serve nulls unnoticed until the next run.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.errors import (
    FeaturePlatformError,
    OnlineStoreError,
    SourceError,
    reason_of,
)
from feature_platform.orchestration.checks.online_check import online_evaluation
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.project_sensor import ProjectSensor, SensorTick
from feature_platform.orchestration.validation.check_declarations import ONLINE as CHECK
from feature_platform.orchestration.watch.due_windows import cadence_of
from feature_platform.orchestration.watch.observed_events import newest_events
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import OnlineMemory
from feature_platform.registry.windows_on_record import registered_views, windows_of
from feature_platform.repo.cadences import CADENCES

_log = logging.getLogger(__name__)
_KEYS = 8
# Dagster gives a tick 60 seconds, and a store that hangs takes many of them.
_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class OnlineTick(SensorTick):
    """The result of one tick; its cursor is the view to go on with, empty if all were checked.

    Attributes:
        lost: Views with missing keys.
        checked: How many views were checked.
        failed: Views that could not be checked, with the reason.
    """

    lost: tuple[str, ...]
    checked: int
    failed: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.checked} views checked"
        if self.lost:
            text += f"; keys are missing in: {', '.join(self.lost)}"
        unchecked = [f"'{name}' ({why})" for name, why in self.failed.items()]
        return f"{text}; not checked: {', '.join(unchecked)}" if unchecked else text


def check_online(context: SensorContext, position: str = "") -> OnlineTick:
    """Read a few keys of each view; where one is missing, run the check and record its verdict.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    began, scans, memory = monotonic(), 0, context.memory
    views = _online_views(context)
    names = sorted(views)
    keys = {name: context.translator.key_of(context.graph.views[name]) for name in names}
    events = newest_events(context.instance, list(keys.values()))
    start = next((place for place, name in enumerate(names) if name >= position), 0)
    checked, rest = 0, ""
    failed: dict[str, str] = {}
    for name in [*names[start:], *names[:start]]:
        view, window = views[name]
        seen = f"{events[keys[name]]} {window}"
        known = memory.online.setdefault(name, OnlineMemory())
        if known.seen != seen:
            scans += 1
        if scans > context.settings.scans_a_tick or monotonic() - began > _SECONDS:
            rest = name
            break
        try:
            _check_view(context, view, window, seen, known)
        except Exception as error:  # noqa: BLE001 - one view's trouble is not another's
            _log.warning("feature view '%s' could not be checked online", name, exc_info=True)
            failed[name] = reason_of(error)
        else:
            checked += 1
    memory.online = {name: each for name, each in memory.online.items() if name in keys}
    lost = tuple(sorted(name for name, each in memory.online.items() if each.lost))
    return OnlineTick(cursor=rest, lost=lost, checked=checked, failed=failed)


def _check_view(
    context: SensorContext, view: Any, window: Window, seen: str, known: OnlineMemory
) -> None:
    from feature_platform.materialize.online_presence import present_keys, sample_keys

    try:
        if known.seen != seen:
            known.keys = sample_keys(context.store, view, window, most=_KEYS, now=context.now)
            known.seen = seen
        present = present_keys(context.store, view, known.keys)
    except SourceError:
        return  # the sensors that read sources report it
    except OnlineStoreError as error:
        if known.lost != error.problem:
            _report_unreadable(context, view.name, error)
            known.lost = error.problem
        return
    missing = len(known.keys) - present
    if not missing and not known.lost:
        return
    if missing and known.lost == f"{missing}":
        return  # reported before, and unchanged
    known.lost = f"{missing}" if _compare(context, view.name, present, len(known.keys)) else ""
    if not known.lost:
        known.seen = ""  # the keys have left the source too: sample others


def _compare(context: SensorContext, view: str, present: int, sampled: int) -> bool:
    """Record the verdict of the check; whether something is wrong."""
    from feature_platform.materialize.read_back import compare_online

    try:
        found = compare_online(context.store, view)
    except FeaturePlatformError:
        return True  # compared again at the next tick
    before = ""
    if found.mismatches and present < sampled:
        before = (
            f"{f'only {present}' if present else 'none'} of {sampled} keys of the newest window is "
            "there: the store was wiped or replaced, or it evicts keys; "
        )
    key = context.translator.key_of(context.graph.views[view])
    evaluation = online_evaluation(found, key, seed=0, before=before)
    context.instance.report_runless_asset_event(evaluation)
    return not evaluation.passed


def _report_unreadable(context: SensorContext, view: str, error: OnlineStoreError) -> None:
    context.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=context.translator.key_of(context.graph.views[view]),
            check_name=CHECK.name,
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"it cannot be read: {error.problem}",
            metadata={},
        )
    )


def _online_views(context: SensorContext) -> Mapping[str, tuple[Any, Window]]:
    """Registered views that Feast does not compute, with their newest partition online."""
    from feature_platform.repo.computability import why_transformed

    registered = registered_views(context.store)
    found: dict[str, tuple[Any, Window]] = {}
    for name, view in context.graph.materializable.items():
        online = windows_of(registered[name]) if name in registered else []
        if not online or why_transformed(registered[name]):
            continue
        last = online[-1]
        start = max(last.start, last.end - CADENCES[cadence_of(view)].length)
        found[name] = registered[name], Window(start, last.end)
    return found


def _tick(
    project: AutomatedProject, instance: dg.DagsterInstance, cursor: str | None, now: datetime
) -> OnlineTick:
    with project.context(instance, ONLINE.name, now) as context:
        return check_online(context, cursor or "")


ONLINE = ProjectSensor(
    name="online",
    description="Checks that the online store still holds what was put into it.",
    tick=_tick,
)
