"""What is wrong with the windows of a project, and the runs that would mend it."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.partitions import cadence_of_partitions, partitions_within
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import FeatureViewData, SourceData
from feature_platform.orchestration.repairs.attempt_log import Ledger
from feature_platform.orchestration.repairs.repair_ranges import Repair, ranges, together
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause
from feature_platform.orchestration.watch.observed_events import Underway

if TYPE_CHECKING:
    from feature_platform.repo.cadences import Cadence

# Views of one run at most: a run of everything is one that nobody can read.
_VIEWS_A_RUN = 25
_SOURCE = "source "


@dataclass(frozen=True)
class GaveUp:
    """Windows that were tried as often as allowed.

    Attributes:
        name: Feast's name of the view or source.
        asset: Its asset.
        keys: Partition keys.
        tries: How often.
    """

    name: str
    asset: dg.AssetKey
    keys: tuple[str, ...]
    tries: int


@dataclass
class RepairPlan:
    """What one look found.

    Attributes:
        repairs: Runs to start now, in that order.
        later: Runs that wait for a place among the runs at once, or for the next look.
        underway: Windows that a run is about already.
        waiting: Windows whose next try has to wait.
        spent: Windows that people have to be told of.
        given_up: Windows that people know of.
        notes: What else is worth saying, such as sources that could not be read.
    """

    repairs: list[Repair] = field(default_factory=list)
    later: list[Repair] = field(default_factory=list)
    underway: int = 0
    waiting: int = 0
    spent: list[GaveUp] = field(default_factory=list)
    given_up: int = 0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = [f"{len(self.repairs)} runs started"]
        said += [f"{len(self.later)} later"] if self.later else []
        said += [f"{self.underway} windows under way"] if self.underway else []
        said += [f"{self.waiting} windows wait for another try"] if self.waiting else []
        gave_up = self.given_up + sum(len(each.keys) for each in self.spent)
        said += [f"{gave_up} windows given up"] if gave_up else []
        return ", ".join([*said, *self.notes])


def plan_repairs(  # noqa: PLR0917
    cause: Cause,
    wrong: Mapping[str, Mapping[str, str]],
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    settings: AutomationSettings,
    ledger: Ledger,
    running: Underway,
    now: datetime,
    *,
    refused: Mapping[str, Collection[str]] | None = None,
) -> RepairPlan:
    """The fewest runs for the windows that are wrong, within the limits.

    Args:
        cause: Why they are wrong.
        wrong: View or source to partition key to what it is to hold. Names that were looked at and
            have nothing wrong are to be there too, so that what was tried for them is forgotten.
        graph: The repo's graph.
        translator: The one that the definitions were built with.
        settings: The limits.
        ledger: What was tried before; what was never tried again is taken out of it.
        running: What is under way.
        now: The moment.
        refused: View or source to the windows that a check has refused: a run of their own, since
            a run serves all of its windows or none.
    """
    plan = RepairPlan()
    found: list[Repair] = []
    for name, windows in wrong.items():
        data = _data(graph, name)
        asset = translator.key_of(data)
        sorted_ = ledger.sort(name, windows, now, tries=settings.tries, wait=settings.wait)
        running_now = sum(running.has(asset, key) for key in sorted_.waiting)
        plan.waiting += len(sorted_.waiting) - running_now
        plan.given_up += len(sorted_.given_up)
        if spent := tuple(key for key in sorted_.spent if not running.has(asset, key)):
            plan.spent.append(GaveUp(name, asset, spent, settings.tries))
        ready = {key: windows[key] for key in sorted_.ready if not running.has(asset, key)}
        plan.underway += len(sorted_.ready) - len(ready) + running_now
        bad = set((refused or {}).get(name, ()))
        for part in (
            {key: token for key, token in ready.items() if key not in bad},
            {key: token for key, token in ready.items() if key in bad},
        ):
            found += _repairs(cause, data, part, ledger, settings.windows_a_run)
    # A changed definition is one range a view: it changes every window of it.
    merged = together(found, 1 if cause == "definition_changed" else _VIEWS_A_RUN)
    places = max(0, min(settings.runs_a_tick, settings.runs_at_once - running.repairs))
    plan.repairs, plan.later = merged[:places], merged[places:]
    return plan


def record_tries(
    plan: RepairPlan,
    wrong: Mapping[str, Mapping[str, str]],
    ledger: Ledger,
    now: datetime,
) -> None:
    """Put the repairs of a plan on record as tried."""
    for repair in plan.repairs:
        for name in (*repair.views, *map(subject, repair.sources)):
            windows = wrong[name]
            tokens = {
                key: token for key, token in windows.items() if repair.first <= key <= repair.last
            }
            ledger.tried(name, tokens, now)


def _repairs(
    cause: Cause,
    data: FeatureViewData | SourceData,
    wanted: Mapping[str, str],
    ledger: Ledger,
    most: int,
) -> list[Repair]:
    if not wanted:
        return []
    partitions = data.partitions
    keys = sorted(wanted)
    first = _window(partitions, keys[0])
    last = _window(partitions, keys[-1])
    windows = partitions_within(partitions, Window(first.start, last.end))
    cadence: Cadence = cadence_of_partitions(partitions)
    found = []
    for start, end, count, span in ranges(windows, wanted, most):
        inside = [key for key in keys if start <= key <= end]
        name = subject(data.name) if data.kind == "source" else data.name
        said = [f"{key}={wanted[key]}#{ledger.count(name, key, wanted[key])}" for key in inside]
        found.append(
            Repair(
                cause=cause,
                cadence=cadence,
                first=start,
                last=end,
                windows=count,
                span=span,
                views=(data.name,) if data.kind == "feature_view" else (),
                sources=(data.name,) if data.kind == "source" else (),
                definition=wanted[start] if cause == "definition_changed" else "",
                tried=max(ledger.last(name, key) for key in inside),
                token=hashlib.sha256("\n".join(said).encode()).hexdigest()[:12],
            )
        )
    return found


def _window(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> Window:
    times = partitions.time_window_for_partition_key(key)
    return Window(times.start, times.end)


def subject(source: str) -> str:
    """What a source is called beside views, one of which may have its name."""
    return f"{_SOURCE}{source}"


def _data(graph: FeastGraph, name: str) -> FeatureViewData | SourceData:
    if name in graph.materializable:
        return graph.materializable[name]
    return graph.sources[name.removeprefix(_SOURCE)]
