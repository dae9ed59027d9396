"""The runs that repair the windows of a project that are wrong."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.translator_data import FeatureViewData, SourceData
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_cause import (
    RepairCause,
    source_log_key,
    source_of_log_key,
)
from feature_platform.orchestration.repairs.repair_ranges import Repair, ranges, together
from feature_platform.orchestration.watch.observed_events import Underway

if TYPE_CHECKING:
    from feature_platform.orchestration.graph.feast_graph import FeastGraph


@dataclass(frozen=True)
class GaveUp:
    """Windows that were attempted as often as allowed.

    Attributes:
        name: Feast's name of the view or source.
        asset: Its asset.
        keys: Partition keys.
    """

    name: str
    asset: dg.AssetKey
    keys: tuple[str, ...]


@dataclass
class RepairPlan:
    """The result of one tick.

    Attributes:
        repairs: Runs to start now, in order.
        later: Runs to start at a later tick, when the limits allow it.
        underway: How many windows are in a run already.
        waiting: How many windows have to wait for their next attempt.
        exhausted: Windows to give up, which has to be reported.
        given_up: How many windows were given up before.
        notes: Further remarks, such as sources that could not be read.
    """

    repairs: list[Repair] = field(default_factory=list)
    later: list[Repair] = field(default_factory=list)
    underway: int = 0
    waiting: int = 0
    exhausted: list[GaveUp] = field(default_factory=list)
    given_up: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def all_given_up(self) -> int:
        """How many windows are given up, now or before."""
        return self.given_up + sum(len(each.keys) for each in self.exhausted)

    def __str__(self) -> str:
        counts = {
            "later": len(self.later),
            "windows under way": self.underway,
            "windows wait for another try": self.waiting,
            "windows given up": self.all_given_up,
        }
        parts = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join([f"{len(self.repairs)} runs started", *parts, *self.notes])


def plan_repairs(
    cause: RepairCause,
    wrong: Mapping[str, Mapping[str, str]],
    project: AutomatedProject,
    log: AttemptLog,
    running: Underway,
    *,
    now: datetime,
    refused: Mapping[str, Collection[str]] | None = None,
) -> RepairPlan:
    """The fewest runs for the windows that are wrong, within the limits.

    Args:
        cause: Why they are wrong.
        wrong: See `Findings`.
        project: The project, with the limits.
        log: Earlier attempts; those of windows that are not wrong any more are removed.
        running: What is under way.
        now: The moment.
        refused: View or source to the windows that a check has refused. They get runs of their own,
            since a run serves all of its windows or none.
    """
    plan, settings = RepairPlan(), project.settings
    found: list[Repair] = []
    for name, windows in wrong.items():
        data = _data(project.graph, name)
        asset = project.translator.key_of(data)
        triage = log.triage(name, windows, now, tries=settings.tries, wait=settings.wait)
        running_now = sum(running.has(asset, key) for key in triage.waiting)
        plan.waiting += len(triage.waiting) - running_now
        plan.given_up += len(triage.given_up)
        if exhausted := tuple(key for key in triage.exhausted if not running.has(asset, key)):
            plan.exhausted.append(GaveUp(name, asset, exhausted))
        ready = {key: windows[key] for key in triage.ready if not running.has(asset, key)}
        plan.underway += len(triage.ready) - len(ready) + running_now
        bad = set((refused or {}).get(name, ()))
        for part in (
            {key: token for key, token in ready.items() if key not in bad},
            {key: token for key, token in ready.items() if key in bad},
        ):
            found += _repairs(cause, data, part, log, settings.windows_a_run)
    merged = together(found, cause.views_per_run)
    places = max(0, min(settings.runs_a_tick, settings.runs_at_once - running.repairs))
    plan.repairs, plan.later = merged[:places], merged[places:]
    return plan


def record_attempts(
    plan: RepairPlan,
    wrong: Mapping[str, Mapping[str, str]],
    log: AttemptLog,
    now: datetime,
) -> None:
    """Record the repairs of a plan as attempts."""
    for repair in plan.repairs:
        for name in (*repair.views, *map(source_log_key, repair.sources)):
            tokens = {
                key: token
                for key, token in wrong[name].items()
                if repair.first <= key <= repair.last
            }
            log.record_attempt(name, tokens, now)


def _repairs(
    cause: RepairCause,
    data: FeatureViewData | SourceData,
    wanted: Mapping[str, str],
    log: AttemptLog,
    most: int,
) -> list[Repair]:
    if not wanted:
        return []
    partitions = data.partitions
    keys = sorted(wanted)
    first = _window(partitions, keys[0])
    last = _window(partitions, keys[-1])
    windows = partitions_within(partitions, Window(first.start, last.end))
    found = []
    for start, end, count, span in ranges(windows, wanted, most):
        inside = [key for key in keys if start <= key <= end]
        name = source_log_key(data.name) if data.kind == "source" else data.name
        tokens = [f"{key}={wanted[key]}#{log.count(name, key, wanted[key])}" for key in inside]
        found.append(
            Repair(
                cause=cause.name,
                first=start,
                last=end,
                windows=count,
                span=span,
                views=(data.name,) if data.kind == "feature_view" else (),
                sources=(data.name,) if data.kind == "source" else (),
                definition=wanted[start] if cause.tags_definition else "",
                last_attempt=max(log.last_attempt(name, key) for key in inside),
                token=hashlib.sha256("\n".join(tokens).encode()).hexdigest()[:12],
            )
        )
    return found


def _window(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> Window:
    times = partitions.time_window_for_partition_key(key)
    return Window(times.start, times.end)


def _data(graph: "FeastGraph", name: str) -> FeatureViewData | SourceData:
    if name in graph.materializable:
        return graph.materializable[name]
    return graph.sources[source_of_log_key(name)]
