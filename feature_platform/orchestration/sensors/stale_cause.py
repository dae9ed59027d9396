"""Why a view is stale: a failing check upstream, a failed run, or no run at all."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterEventType
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickStatus
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from feature_platform.core.windows import covers
from feature_platform.orchestration.graph.closures import run_closures
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.orchestration.repairs.schedules import build_schedules
from feature_platform.orchestration.watch.due_windows import cadence_of, due_windows
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.registry.windows_on_record import registered_views, windows_of
from feature_platform.repo.cadences import CADENCES

_SHOWN = 3
_TEXT = 400
_READ = {DagsterEventType.STEP_FAILURE, DagsterEventType.ASSET_CHECK_EVALUATION}


def why_stale(context: SensorContext, name: str) -> str:
    """Why the stale view `name` is stale, as a clause; a few queries."""
    view = context.graph.materializable[name]
    registered = registered_views(context.store).get(name)
    online = windows_of(registered) if registered is not None else []
    settings = context.settings
    due = due_windows(view, context.now, grace=settings.grace, lookback=settings.lookback)
    missing = [key for key, window in due.items() if not covers(online, window)]
    if not missing:
        names = [f"'{source.name}'" for source in view.sources]
        said = f"source {names[0]} has" if len(names) == 1 else f"sources {', '.join(names)} have"
        return f"every window that is due is online: {said} no newer row"
    key = context.translator.key_of(view)
    states = context.instance.get_status_by_partition(key, missing, view.partitions) or {}
    if AssetPartitionStatus.IN_PROGRESS in states.values():
        return f"{_keys(missing)} not online yet: a run is under way"
    failed = [each for each in missing if states.get(each) == AssetPartitionStatus.FAILED]
    never = [each for each in missing if each not in failed]
    why = [f"{_keys(failed)} failed: {_failed_run(context, key)}"] if failed else []
    why += [f"no run was started for {_keys(never)}: {_schedule(context, view)}"] if never else []
    return "; ".join(why)


def _failed_run(context: SensorContext, key: dg.AssetKey) -> str:
    """Why the newest run of an asset failed: a check upstream, or a step and its error."""
    records = context.instance.get_asset_records([key])
    run_id = records[0].asset_entry.last_run_id if records else None
    if run_id is None:
        return "its run has been deleted"
    said = f"run {run_id[:8]} ended before any step began"
    for entry in context.instance.all_logs(run_id, of_type=_READ):
        event = entry.get_dagster_event()
        if event.event_type == DagsterEventType.STEP_FAILURE:
            said = f"step '{event.step_key}' of run {run_id[:8]}: {_raised(event)}"
            continue
        found = event.asset_check_evaluation_data
        if found.blocking and not found.passed and found.severity == dg.AssetCheckSeverity.ERROR:
            name = _name(context, found.asset_key)
            return f"check '{found.check_name}' of {name} fails: {_cut(found.description or '')}"
    return said


def _raised(event: dg.DagsterEvent) -> str:
    failure: Any = event.event_specific_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return _cut(failure.user_failure_data.description)
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return _cut(error.message) if error else "no reason is on record"


def _name(context: SensorContext, key: dg.AssetKey) -> str:
    for source in context.graph.sources.values():
        if context.translator.key_of(source) == key:
            return f"source '{source.name}'"
    return f"'{key.to_user_string()}'"


def _schedule(context: SensorContext, view: FeatureViewData) -> str:
    """Why the view's schedule starts no runs, as far as Dagster knows."""
    closures = run_closures(context.graph, context.translator)
    project = context.graph.project.name
    _, [schedule] = build_schedules(project, [view], closures, dg.DefaultScheduleStatus.STOPPED)
    known = [state for state in _schedules(context.instance) if state.name == schedule.name]
    if not known:
        return f"schedule '{schedule.name}' is off, or no daemon has run"
    return f"schedule '{schedule.name}' {_last_tick(context, view, known[-1])}"


def _schedules(instance: dg.DagsterInstance) -> Sequence[InstigatorState]:
    if instance.schedule_storage is None:  # as in an ephemeral instance
        return ()
    return instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)


def _last_tick(context: SensorContext, view: FeatureViewData, state: InstigatorState) -> str:
    if state.status == InstigatorStatus.STOPPED:
        return "is off"
    ticks = context.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    if not ticks:
        return "is on and has never ticked: does the daemon run?"
    [tick] = ticks
    at = f"{datetime.fromtimestamp(tick.timestamp, UTC):%Y-%m-%d %H:%M} UTC"
    if tick.status == TickStatus.FAILURE:
        said = _cut(tick.error.message.strip()) if tick.error else "without a reason"
        return f"failed at its last tick, at {at}: {said}"
    unit = CADENCES[cadence_of(view)].unit
    return f"is on and ticked last at {at}: does the daemon run, and is each {unit}'s run queued?"


def _keys(keys: Sequence[str]) -> str:
    few = len(keys) <= _SHOWN
    return ", ".join(keys) if few else f"{len(keys)} windows, {keys[0]} to {keys[-1]},"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"
