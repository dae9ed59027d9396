"""What a failed run leaves undone: assets not materialized, checks without a verdict."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from feature_platform.alerts.messages.incidents import (
    WHOLE,
    Condition,
    Evidence,
    Finding,
    Subject,
    utc,
)

_READ = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.STEP_START,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
}
_WILL_RETRY = "dagster/will_retry"
# The gate's error: a check said already what is wrong.
_GATE = "GateError"


@dataclass
class _Steps:
    """A run's steps by their keys: what each was to do, and how far it came."""

    assets: dict[str, dict[str, list[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    checks: dict[str, dict[tuple[str, str], list[str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    evaluated: set[tuple[str, str]] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    failed: dict[str, Any] = field(default_factory=dict)


def failed_run_findings(
    instance: dg.DagsterInstance,
    number: int,
    entry: dg.EventLogEntry,
    subjects: Mapping[str, Subject],
) -> list[Finding]:
    """What a failed run says of assets and checks; nothing where it will be tried again.

    A step that was skipped because one before it failed says nothing: the one before it does.

    Args:
        instance: Asked for the run and its events.
        number: Number of the event that ended the run.
        entry: The event.
        subjects: The assets that count.
    """
    run = instance.get_run_by_id(entry.run_id)
    if run is None or run.tags.get(_WILL_RETRY) == "true":
        return []
    steps = _read(instance, entry.run_id)
    undone = dict(steps.failed)
    cut_short = steps.started - steps.ended - undone.keys()
    if not undone and not cut_short:
        cut_short = {*steps.assets, *steps.checks}  # it ended before any step began
    undone |= dict.fromkeys(cut_short)
    unmade = {asset for step in undone for asset in steps.assets.get(step, {})}
    findings: list[Finding] = []
    for step, failure in undone.items():
        sentence = _sentence(failure, entry)
        for asset, partitions in steps.assets.get(step, {}).items():
            findings.append(
                Finding(
                    asset=asset,
                    condition=Condition("run"),
                    event=number,
                    at=utc(entry.timestamp),
                    scopes=dict.fromkeys(partitions or [WHOLE], True),
                    severity="error",
                    evidence=Evidence(sentence, blocking=True, run_id=entry.run_id),
                    upstream_explains=_came_from_gate(failure),
                )
            )
        for asset, (names, partitions) in _without_verdict(steps, step).items():
            # Where the asset was to be materialized too and was not, that says it already.
            if asset not in unmade:
                found = _missing(
                    asset, names, partitions, number=number, entry=entry, sentence=sentence
                )
                findings.append(found)
    return [finding for finding in findings if finding.asset in subjects]


def _without_verdict(steps: _Steps, step: str) -> dict[str, tuple[list[str], list[str]]]:
    """Checks of a step that gave no verdict, by asset, with their partitions."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for (asset, name), partitions in steps.checks.get(step, {}).items():
        if (asset, name) not in steps.evaluated:
            found.setdefault(asset, ([], partitions))[0].append(name)
    return found


def _missing(
    asset: str,
    names: list[str],
    partitions: list[str],
    *,
    number: int,
    entry: dg.EventLogEntry,
    sentence: str,
) -> Finding:
    """One finding, on the first of the checks: those of one step break off, and run, together."""
    first, *others = names
    who = f"it and {', '.join(others)} gave" if others else "it gave"
    return Finding(
        asset=asset,
        condition=Condition("check", first),
        event=number,
        at=utc(entry.timestamp),
        scopes=dict.fromkeys(partitions or [WHOLE], True),
        severity="error",
        evidence=Evidence(f"{who} no verdict: {sentence}", blocking=True, run_id=entry.run_id),
    )


def _read(instance: dg.DagsterInstance, run_id: str) -> _Steps:
    steps = _Steps()
    for entry in instance.all_logs(run_id, of_type=_READ):
        event = entry.get_dagster_event()
        data: Any = event.event_specific_data
        step = event.step_key or ""
        match event.event_type:
            case DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
                partitions = steps.assets[step]["/".join(data.asset_key.path)]
                if data.partition:
                    partitions.append(data.partition)
                elif data.partitions_subset:
                    partitions += data.partitions_subset.get_partition_keys()
            case DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                subset = data.partitions_subset
                check = ("/".join(data.asset_key.path), data.check_name)
                steps.checks[step][check] = list(subset.get_partition_keys()) if subset else []
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                steps.evaluated.add(("/".join(data.asset_key.path), data.check_name))
            case DagsterEventType.STEP_START:
                steps.started.add(step)
            case DagsterEventType.STEP_SUCCESS:
                steps.ended.add(step)
            case _:
                steps.failed[step] = data
    return steps


def _sentence(failure: Any, entry: dg.EventLogEntry) -> str:
    """What a step said when it failed; what the run said where no step did."""
    if failure is None:
        error = getattr(entry.get_dagster_event().event_specific_data, "error", None)
        why = error.message.strip() if error else entry.message or "no reason is on record"
        return f"the run ended in the middle of it: {why}"
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    if failure.error is None:
        return "the step failed without an error"
    # Dagster wraps what a step raised; the innermost error is the one to act on.
    error = failure.error
    while error.cause is not None:
        error = error.cause
    return str(error.message.strip())


def _came_from_gate(failure: Any) -> bool:
    error = failure.error if failure else None
    while error is not None:
        if error.cls_name == _GATE:
            return True
        error = error.cause
    return False
