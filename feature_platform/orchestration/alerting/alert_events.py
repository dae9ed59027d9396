"""Findings in Dagster's event log, read in a bounded number of queries."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterEventType
from dagster._core.definitions.freshness import FreshnessState

from feature_platform.alerts.incident_ledger import IncidentLedger
from feature_platform.alerts.messages.incidents import (
    WHOLE,
    Condition,
    Evidence,
    Finding,
    Subject,
    utc,
)
from feature_platform.orchestration.alerting.run_failures import failed_run_findings
from feature_platform.orchestration.graph.gave_up import GAVE_UP, PARTITIONS
from feature_platform.orchestration.graph.rebuild_due import REBUILD_DUE, REBUILT
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS

_log = logging.getLogger(__name__)
_PAGE = 1000
# Failed runs take two more queries each.
_RUNS = 50
# Assets whose failed partitions may have been materialized since take one query each.
_RECOVERIES = 100

# Past drift is not repaired, so that only the verdict on the newest window of these counts.
_REPORTS = ("drift", "skew")

# What an event raises whose content is not as expected; a database that fails raises others, and
# its tick is tried again.
_ODD = (AttributeError, LookupError, TypeError, ValueError)

_PAGES = {
    DagsterEventType.ASSET_CHECK_EVALUATION: _PAGE,
    DagsterEventType.RUN_FAILURE: _RUNS,
    DagsterEventType.FRESHNESS_STATE_CHANGE: _PAGE,
    DagsterEventType.ASSET_OBSERVATION: _PAGE,
}


@dataclass(frozen=True)
class Watched:
    """The assets of one alert sensor.

    Attributes:
        subjects: What messages say about each asset, by its key joined by slashes.
        keys: The keys themselves.
        checks: The checks of these assets.
    """

    subjects: Mapping[str, Subject]
    keys: Mapping[str, dg.AssetKey]
    checks: Sequence[dg.AssetCheckKey]


@dataclass(frozen=True)
class Reading:
    """The result of a reading.

    Attributes:
        findings: What was found.
        positions: How far was read.
        settled: Events up to this one will not be read again.
        newest: Id of the newest event.
        start_over: Whether the event log was started anew since the last reading.
    """

    findings: Sequence[Finding]
    positions: Mapping[str, int]
    settled: int
    newest: int
    start_over: bool = False


def read_findings(
    instance: dg.DagsterInstance, ledger: IncidentLedger, watched: Watched
) -> Reading:
    """Read what happened since the stored positions; the first time, what is wrong now.

    A reading takes in at most 1,000 events of a kind and 50 failed runs; the next one goes on.
    """
    storage = instance.event_log_storage
    newest = storage.get_maximum_record_id() or 0
    places = {kind: f"events/{kind.value}" for kind in _PAGES}
    settled = {kind: ledger.position(place) for kind, place in places.items()}
    known = [position for position in settled.values() if position is not None]
    if len(known) < len(settled) or newest < max(known):
        positions = dict.fromkeys(places.values(), newest)
        wrong = list(_wrong_now(instance, watched, newest))
        return Reading(wrong, positions, newest, newest, start_over=bool(known))

    findings: list[Finding] = []
    positions = {}
    for kind, limit in _PAGES.items():
        start = settled[kind] or 0
        if start == newest:
            continue
        entries = storage.get_logs_for_all_runs_by_log_id(
            after_cursor=start, dagster_event_type=kind, limit=limit
        )
        for number, entry in entries.items():
            try:
                findings += _findings(instance, number, entry, watched)
            except _ODD:  # read again it would be no other, and would hold up all that follow
                _log.warning("event %d cannot be understood: no alert on it", number, exc_info=True)
        reached = max(entries) if len(entries) == limit else newest
        if storage.is_run_sharded:
            positions[places[kind]] = reached
            continue
        # Except on SQLite, events may be stored out of order. What is new now is read once more
        # the next time, which has no effect on events that were there.
        seen = f"seen/{kind.value}"
        positions[places[kind]] = max(start, ledger.position(seen) or 0)
        positions[seen] = reached
    recovered, read = _recoveries(instance, ledger, watched)
    findings += recovered
    positions |= read
    low = min(positions.get(places[kind], position or 0) for kind, position in settled.items())
    return Reading(findings, positions, low, newest)


def _findings(
    instance: dg.DagsterInstance, number: int, entry: dg.EventLogEntry, watched: Watched
) -> list[Finding]:
    """The findings of one event."""
    event = entry.get_dagster_event()
    at = utc(entry.timestamp)
    found: Finding | None
    if event.event_type == DagsterEventType.RUN_FAILURE:
        return failed_run_findings(instance, number, entry, watched.subjects)
    if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
        evaluation = event.asset_check_evaluation_data
        found = _check_finding(number, at, evaluation, entry.run_id, watched)
    elif event.event_type == DagsterEventType.FRESHNESS_STATE_CHANGE:
        change: Any = event.event_specific_data
        found = _freshness_finding(number, at, change.key, change.new_state)
    else:
        observation: Any = event.event_specific_data
        found = _observed_finding(number, at, observation.asset_observation)
    return [found] if found and found.asset in watched.subjects else []


def _check_finding(
    number: int,
    at: Any,
    evaluation: dg.AssetCheckEvaluation,
    run_id: str | None,
    watched: Watched,
) -> Finding | None:
    subject = watched.subjects.get("/".join(evaluation.asset_key.path))
    if subject is None or evaluation.check_name == subject.kind:
        return None  # a report's own check repeats those of its features
    scopes, clears = _scopes(evaluation, newest_decides=subject.kind in _REPORTS)
    value, threshold = _measured(evaluation.metadata)
    return Finding(
        asset="/".join(evaluation.asset_key.path),
        condition=Condition("check", evaluation.check_name),
        event=number,
        at=at,
        scopes=scopes,
        severity="error" if evaluation.severity == dg.AssetCheckSeverity.ERROR else "warn",
        evidence=Evidence(
            sentence=evaluation.description or f"check '{evaluation.check_name}' did not pass",
            value=value,
            threshold=threshold,
            blocking=bool(evaluation.blocking) or subject.blocks,
            run_id=run_id or None,
        ),
        clears=clears,
    )


def _scopes(
    evaluation: dg.AssetCheckEvaluation, *, newest_decides: bool
) -> tuple[dict[str, bool], bool]:
    """Partition to whether it failed, and whether all other partitions are good again."""
    failed = not evaluation.passed
    verdicts = _value(evaluation.metadata, VERDICTS)
    if isinstance(verdicts, dict) and verdicts:
        bad = {key: not verdict.get("passed", not failed) for key, verdict in verdicts.items()}
        if failed and not any(bad.values()):
            bad = dict.fromkeys(bad, True)
        if newest_decides:
            return {WHOLE: bad[max(bad)]}, not bad[max(bad)]
        return {**bad, WHOLE: False}, False
    if evaluation.partition and not newest_decides:
        return {evaluation.partition: failed, WHOLE: False}, False
    return {WHOLE: failed}, not failed


def _measured(metadata: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Observed value and threshold, from the first failing row of the results."""
    results = metadata.get("results")
    if isinstance(results, dg.TableMetadataValue):
        for record in results.records:
            if record.data.get("passed") is False:
                observed, expected = record.data.get("observed"), record.data.get("expected")
                return _text(observed), _text(expected)
    value = _value(metadata, "feature_platform/observed")
    return _text(value), _text(_value(metadata, "feature_platform/threshold"))


def _freshness_finding(
    number: int, at: Any, key: dg.AssetKey, state: FreshnessState
) -> Finding | None:
    if state not in (FreshnessState.FAIL, FreshnessState.WARN, FreshnessState.PASS):
        return None
    stale = state != FreshnessState.PASS
    return Finding(
        asset="/".join(key.path),
        condition=Condition("freshness"),
        event=number,
        at=at,
        scopes={WHOLE: stale},
        severity="error" if state == FreshnessState.FAIL else "warn",
        evidence=Evidence("nothing was materialized for longer than its freshness policy allows"),
        clears=not stale,
    )


def _observed_finding(number: int, at: Any, observation: dg.AssetObservation) -> Finding | None:
    due, done = (bool(_value(observation.metadata, each)) for each in (REBUILD_DUE, REBUILT))
    if due or done:
        return Finding(
            asset="/".join(observation.asset_key.path),
            condition=Condition("rebuild"),
            event=number,
            at=at,
            scopes={WHOLE: due},
            severity="warn",
            evidence=Evidence(observation.description or "only a rebuild removes vanished keys"),
        )
    if not _value(observation.metadata, GAVE_UP):
        return None
    partitions: Any = _value(observation.metadata, PARTITIONS)
    return Finding(
        asset="/".join(observation.asset_key.path),
        condition=Condition("gave_up"),
        event=number,
        at=at,
        scopes=dict.fromkeys(partitions or [WHOLE], True),
        severity="error",
        evidence=Evidence(observation.description or "automatic repair stopped trying"),
        # The window is tried again when its source changes.
        upstream_explains=True,
    )


def _wrong_now(instance: dg.DagsterInstance, watched: Watched, newest: int) -> Iterator[Finding]:
    """What is wrong at the first reading, however old."""
    storage = instance.event_log_storage
    latest = storage.get_latest_asset_check_execution_by_key(list(watched.checks))
    for record in latest.values():
        evaluation: Any = record.evaluation
        # Checks that are planned will be read when they are done.
        if isinstance(evaluation, dg.AssetCheckEvaluation) and not evaluation.passed:
            at = utc(record.create_timestamp)
            try:
                found = _check_finding(newest, at, evaluation, record.run_id, watched)
            except _ODD:
                _log.warning("an evaluation cannot be understood: no alert on it", exc_info=True)
                continue
            if found:
                yield found
    states = instance.get_freshness_state_records(list(watched.keys.values()))
    for key, state in states.items():
        found = _freshness_finding(newest, state.updated_at, key, state.freshness_state)
        if found and found.bad:
            yield found
    yield from _rebuilds_due(instance, watched)


def _rebuilds_due(instance: dg.DagsterInstance, watched: Watched) -> Iterator[Finding]:
    """Rebuilds due by the newest observations, in one query; `status` shows older ones."""
    records = instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(DagsterEventType.ASSET_OBSERVATION), limit=_PAGE
    )
    settled: set[str] = set()
    for record in records:  # the newest first
        observation = record.asset_observation
        if observation is None:
            continue
        at = utc(record.timestamp)
        found = _observed_finding(record.storage_id, at, observation)
        if (
            found is None
            or found.condition.kind != "rebuild"
            or found.asset not in watched.subjects
            or found.asset in settled
        ):
            continue
        settled.add(found.asset)
        if found.bad:
            yield found


def _recoveries(
    instance: dg.DagsterInstance, ledger: IncidentLedger, watched: Watched
) -> tuple[list[Finding], dict[str, int]]:
    """Failed partitions that have been materialized since, and how far was read per asset."""
    broken = {
        asset: scopes
        for asset, scopes in ledger.bad(("run", "gave_up")).items()
        if asset in watched.subjects
    }
    if not broken:
        return [], {}
    newest = {
        "/".join(record.asset_entry.asset_key.path): record.asset_entry
        for record in instance.get_asset_records([watched.keys[asset] for asset in sorted(broken)])
    }
    findings: list[Finding] = []
    read: dict[str, int] = {}
    for asset, scopes in sorted(broken.items()):
        last = newest[asset].last_materialization_storage_id if asset in newest else None
        place = f"materialized/{asset}"
        since = min(event for _, _, event in scopes)
        if (last or 0) <= max(since, ledger.position(place) or 0) or len(read) == _RECOVERIES:
            continue
        findings += _recovered(instance, watched.keys[asset], asset, scopes)
        read[place] = last or 0
    return findings, read


def _recovered(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    asset: str,
    bad: Sequence[tuple[str, str, int]],
) -> Iterator[Finding]:
    partitions = sorted({scope for _, scope, _ in bad} - {WHOLE}) or None
    since = min(event for _, _, event in bad)
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions, after_storage_id=since),
        limit=_PAGE,
    ).records
    for condition in sorted({condition for condition, _, _ in bad}):
        for record in records:
            # A failure without a partition ends with the next success.
            ended = (record.partition_key or WHOLE, WHOLE)
            good = {
                scope: False
                for kind, scope, event in bad
                if kind == condition and scope in ended and event < record.storage_id
            }
            if good:
                yield Finding(
                    asset=asset,
                    condition=Condition.parse(condition),
                    event=record.storage_id,
                    at=utc(record.timestamp),
                    scopes=good,
                    severity="error",
                    evidence=Evidence("materialized"),
                )


def _value(metadata: Mapping[str, Any], name: str) -> object:
    found = metadata.get(name)
    return None if found is None else found.value


def _text(value: object) -> str | None:
    return None if value is None else str(value)
