"""Alerts on failed runs: assets not materialized, checks without a verdict."""

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
from feature_platform.orchestration.watch.error_chain import error_chain, innermost

_READ = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.STEP_START,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
}
_WILL_RETRY = "dagster/will_retry"
# The error of the gate, which follows a failed check.
_GATE = "GateError"


@dataclass
class _Steps:
    """A run's steps by their keys: what each was to do, and what it did."""

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
    """Findings from a failed run; none if Dagster will retry it.

    Steps that were skipped after a failed one have no findings of their own. `number` is the id of
    `entry`, the event that ended the run.
    """
    run = instance.get_run_by_id(entry.run_id)
    if run is None or run.tags.get(_WILL_RETRY) == "true":
        return []
    steps = _read(instance, entry.run_id)
    interrupted = steps.started - steps.ended - steps.failed.keys()
    if not steps.failed and not interrupted:
        interrupted = {*steps.assets, *steps.checks}  # it ended before any step began
    undone = steps.failed | dict.fromkeys(interrupted)
    unmade = {asset for step in undone for asset in steps.assets.get(step, {})}
    findings: list[Finding] = []
    for step, failure in undone.items():
        sentence = _sentence(failure, entry)
        failed = [
            (asset, Condition("run"), partitions, sentence)
            for asset, partitions in steps.assets.get(step, {}).items()
        ]
        for asset, (names, partitions) in _without_verdict(steps, step).items():
            # Not if the asset, unmaterialized, has a finding already.
            if asset not in unmade:
                # On the first check: those of one step fail, and are repaired, together.
                first, *others = names
                who = f"it and {', '.join(others)} gave" if others else "it gave"
                what = f"{who} no verdict: {sentence}"
                failed.append((asset, Condition("check", first), partitions, what))
        findings += [
            Finding(
                asset=asset,
                condition=condition,
                event=number,
                at=utc(entry.timestamp),
                scopes=dict.fromkeys(partitions or [WHOLE], True),
                severity="error",
                evidence=Evidence(what, blocking=True, run_id=entry.run_id),
                upstream_explains=condition.kind == "run" and _came_from_gate(failure),
            )
            for asset, condition, partitions, what in failed
            if asset in subjects
        ]
    return findings


def _without_verdict(steps: _Steps, step: str) -> dict[str, tuple[list[str], list[str]]]:
    """Per asset, the checks of a step without a verdict, and their partitions."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for (asset, name), partitions in steps.checks.get(step, {}).items():
        if (asset, name) not in steps.evaluated:
            found.setdefault(asset, ([], partitions))[0].append(name)
    return found


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
    """The error of a failed step; of the run, if the step was interrupted."""
    if failure is None:
        error = getattr(entry.get_dagster_event().event_specific_data, "error", None)
        why = error.message.strip() if error else entry.message or "no reason is on record"
        return f"the run ended in the middle of it: {why}"
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    if failure.error is None:
        return "the step failed without an error"
    return innermost(failure.error).message.strip()


def _came_from_gate(failure: Any) -> bool:
    return any(each.cls_name == _GATE for each in error_chain(failure and failure.error))
