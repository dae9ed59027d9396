"""The sensor that reacts to sustained drift: a new training set, then the job that retrains."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from feature_platform.errors import reason_of
from feature_platform.orchestration.checks.report_checks import feature_check_names
from feature_platform.orchestration.graph.gave_up import report_gave_up
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.graph.translator_data import (
    DriftData,
    FeatureServiceData,
    OnDemandViewData,
    TrainingSetData,
)
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.project_sensor import ProjectSensor, SensorTick
from feature_platform.orchestration.watch.observed_events import AUTOMATION, PROJECT

_log = logging.getLogger(__name__)
SERVICE = "feature_platform/service"
STEP = "feature_platform/step"
EPISODES = "feature_platform/episodes"
_SET, _RETRAIN = "training_set", "retrain"
_RUNS = 500
_FAILED = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dataclass(frozen=True, kw_only=True)
class DriftTick(SensorTick):
    """The result of one tick.

    Attributes:
        drifting: How many features drift.
        failed: Services that could not be looked at, with the reason.
    """

    drifting: int
    failed: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.drifting} features drift, {len(self.requests)} runs started"
        missed = [f"'{service}' ({why})" for service, why in self.failed.items()]
        return f"{text}; not looked at: {', '.join(missed)}" if missed else text


def drift_tick(
    project: AutomatedProject, instance: dg.DagsterInstance, cursor: str | None, now: datetime
) -> DriftTick:
    """Request the next run for each service whose features drift; two queries.

    A feature has drifted when the verdict on its newest window is ``drift``, which takes as many
    windows in a row as the drift settings say. The episode ends when a newer window has another
    verdict. It starts one training set of each service that uses the feature, and one retraining.
    """
    log = AttemptLog.read(cursor)
    episodes = _episodes(project, instance, log)
    runs = instance.get_runs(
        dg.RunsFilter(tags={AUTOMATION: "drift", PROJECT: project.name}), limit=_RUNS
    )
    requests: list[dg.RunRequest] = []
    failed: dict[str, str] = {}
    for service in project.sets:
        try:
            used = _features(project.graph.services[service])
            mine = sorted(f"{name}@{since}" for name, since in episodes.items() if name in used)
            handled = set(log.known.get(_handled(service), "").split("\n"))
            new = [each for each in mine if each not in handled]
            if new:
                request = _next_step(project, service, new, runs, log, instance, now)
                requests += [request] if request else []
            elif not mine:
                log.known.pop(_handled(service), None)
        except Exception as error:  # noqa: BLE001 - one service's trouble is not another's
            _log.warning("drift of service '%s' was not looked at", service, exc_info=True)
            failed[service] = reason_of(error)
    return DriftTick(cursor=log.write(), requests=requests, drifting=len(episodes), failed=failed)


def _next_step(  # noqa: PLR0917
    project: AutomatedProject,
    service: str,
    new: list[str],
    runs: Any,
    log: AttemptLog,
    instance: dg.DagsterInstance,
    now: datetime,
) -> dg.RunRequest | None:
    """The run of the first step that has not succeeded for the episodes `new`, if it is due."""
    settings = project.settings
    token = hashlib.sha256("\n".join(new).encode()).hexdigest()[:12]
    steps = [_SET, *([_RETRAIN] if settings.retrain else [])]
    for step in steps:
        mine = [
            run for run in runs if run.tags.get(SERVICE) == service and run.tags.get(STEP) == step
        ]
        if any(run.tags.get(EPISODES) == token and run.is_success for run in mine):
            continue
        name = f"{step} {service}"
        triage = log.triage(name, {"": token}, now, tries=settings.tries, wait=settings.wait)
        if any(run.status not in _FAILED and not run.is_success for run in mine):
            return None  # under way
        if triage.exhausted:
            reason = (
                f"{', '.join(new)} drifted; {step.replace('_', ' ')} of '{service}' "
                f"failed {settings.tries} times"
            )
            asset = project.translator.key_of(_training_set(project, service))
            report_gave_up(instance, asset, (), reason)
            log.record_gave_up(name, triage.exhausted)
        if not triage.ready:
            return None
        log.record_attempt(name, {"": token}, now)
        return dg.RunRequest(
            run_key=f"drift {service} {step} {token} {log.next_serial(now)}",
            job_name=_job_name(project, service) if step == _SET else settings.retrain.name,
            partition_key=_partition(project, service, now) if step == _SET else None,
            tags={
                AUTOMATION: "drift",
                PROJECT: project.name,
                SERVICE: service,
                STEP: step,
                EPISODES: token,
            },
        )
    kept = log.known.get(_handled(service), "").split("\n")
    log.known[_handled(service)] = "\n".join(sorted({*filter(None, kept), *new}))
    return None


def _episodes(
    project: AutomatedProject, instance: dg.DagsterInstance, log: AttemptLog
) -> dict[str, str]:
    """View and feature to the window in which its drift was first found."""
    checks = {
        dg.AssetCheckKey(project.translator.key_of(drift), check): f"{name}:{feature}"
        for name, drift in project.graph.drifts.items()
        if isinstance(drift, DriftData)
        for feature, check in feature_check_names(drift).items()
    }
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    found: dict[str, str] = {}
    for key, name in checks.items():
        seen, _, since = log.known.get(name, "").partition(" ")
        record = latest.get(key)
        evaluation: Any = record.evaluation if record else None
        value: Any = (
            evaluation.metadata.get(VERDICTS)
            if isinstance(evaluation, dg.AssetCheckEvaluation)
            else None
        )
        if value is not None and value.value:
            newest = max(value.value)
            # A backfill's verdict on an older window changes nothing.
            if newest >= seen:
                drifts = value.value[newest].get("verdict") == "drift"
                seen, since = newest, (since or newest) if drifts else ""
        if seen:
            log.known[name] = f"{seen} {since}"
        if since:
            found[name] = since
    return found


def _features(service: FeatureServiceData) -> set[str]:
    """The features, as view and name, that a service uses directly or through on-demand views."""
    found: set[str] = set()
    for origins in service.lineage.values():
        for parent, feature in origins:
            if isinstance(parent, OnDemandViewData):
                found |= {f"{view.name}:{name}" for view, name in parent.lineage.get(feature, ())}
            else:
                found.add(f"{parent.name}:{feature}")
    return found


def _partition(project: AutomatedProject, service: str, now: datetime) -> str | None:
    """The newest window whose labels are complete; None if the training set has no partitions."""
    partitions = _training_set(project, service).partitions
    if partitions is None:
        return None
    lookahead = project.sets[service].lookahead or timedelta(0)
    keys = partitions.get_partition_keys(current_time=now - lookahead)
    return keys[-1] if keys else None


def _handled(service: str) -> str:
    return f"handled {service}"


def _training_set(project: AutomatedProject, service: str) -> TrainingSetData:
    return project.graph.training_set(service, project.sets[service].partitions)


def _job_name(project: AutomatedProject, service: str) -> str:
    """The job that materializes a service's training set."""
    return f"{project.sensor_name('training_set')}_{op_name(dg.AssetKey(service))}"


def _jobs(project: AutomatedProject) -> Mapping[str, Any]:
    jobs = [
        dg.define_asset_job(
            _job_name(project, service),
            selection=dg.AssetSelection.assets(
                project.translator.key_of(_training_set(project, service))
            ),
        )
        for service in project.sets
    ]
    retrain = project.settings.retrain
    return {"jobs": [*jobs, *([retrain] if retrain else [])]}


DRIFT = ProjectSensor(
    name="drift",
    description="Makes a new training set where a feature drifts, and starts the retraining.",
    tick=drift_tick,
    starts=_jobs,
    needs_training_sets=True,
)
