"""The sensor that answers sustained drift: a new training set, then the job that retrains."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from feature_platform.orchestration.checks.report_checks import feature_check_names
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.gave_up import report_gave_up
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import (
    DriftData,
    FeatureServiceData,
    OnDemandViewData,
)
from feature_platform.orchestration.repairs.attempt_log import Ledger
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.newest_ticks import cursor_of
from feature_platform.orchestration.watch.observed_events import AUTOMATION, PROJECT
from feature_platform.training.entity_rows import EntityRows

SERVICE = "feature_platform/service"
STEP = "feature_platform/step"
EPISODES = "feature_platform/episodes"
_SET, _RETRAIN = "training_set", "retrain"
_RUNS = 500
_ENDED_BADLY = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dataclass(frozen=True)
class Retraining:
    """What the sensor of a project knows.

    Attributes:
        graph: The repo's graph.
        translator: The one that the definitions were built with.
        settings: How often is tried, and the job that retrains.
        sets: Where the entity rows of each service's training set come from.
        jobs: For each of these services the job that makes its training set.
    """

    graph: FeastGraph
    translator: DagsterFeastTranslator
    settings: AutomationSettings
    sets: Mapping[str, EntityRows]
    jobs: Mapping[str, Any]

    def asset(self, service: str) -> dg.AssetKey:
        """The training set of a service."""
        return self.translator.key_of(
            self.graph.training_set(service, self.sets[service].partitions)
        )


def look_for_drift(
    known: Retraining, instance: dg.DagsterInstance, cursor: str | None, now: datetime
) -> tuple[list[dg.RunRequest], str, str]:
    """What to start, what to say, and the next cursor; two queries.

    A feature has drifted when the verdict on its newest window is ``drift``, which takes as many
    windows in a row as the settings of drift say. An episode lasts until a newer window is well;
    it starts one training set of each service that uses the feature, and one retraining.

    Args:
        known: The project.
        instance: Asked for verdicts and runs; told where something is given up.
        cursor: What the look before left.
        now: The moment.
    """
    ledger = Ledger.read(cursor)
    episodes = _episodes(known, instance, ledger)
    runs = instance.get_runs(
        dg.RunsFilter(tags={AUTOMATION: "drift", PROJECT: known.graph.project.name}), limit=_RUNS
    )
    requests: list[dg.RunRequest] = []
    for service in known.sets:
        used = _features(known.graph.services[service])
        mine = sorted(f"{name}@{since}" for name, since in episodes.items() if name in used)
        handled = set(ledger.known.get(_handled(service), "").split("\n"))
        new = [each for each in mine if each not in handled]
        if new:
            request = _next_step(known, service, new, runs, ledger, instance, now)
            requests += [request] if request else []
        elif not mine:
            ledger.known.pop(_handled(service), None)
    said = f"{len(episodes)} features drift, {len(requests)} runs started"
    return requests, said, ledger.write()


def _next_step(  # noqa: PLR0917
    known: Retraining,
    service: str,
    new: list[str],
    runs: Any,
    ledger: Ledger,
    instance: dg.DagsterInstance,
    now: datetime,
) -> dg.RunRequest | None:
    token = hashlib.sha256("\n".join(new).encode()).hexdigest()[:12]
    steps = [_SET, *([_RETRAIN] if known.settings.retrain else [])]
    for step in steps:
        mine = [
            run for run in runs if run.tags.get(SERVICE) == service and run.tags.get(STEP) == step
        ]
        if any(run.tags.get(EPISODES) == token and run.is_success for run in mine):
            continue
        name = f"{step} {service}"
        found = ledger.sort(
            name, {"": token}, now, tries=known.settings.tries, wait=known.settings.wait
        )
        if any(run.status not in _ENDED_BADLY and not run.is_success for run in mine):
            return None  # it is under way
        if found.spent:
            why = f"{', '.join(new)} drifted; {step.replace('_', ' ')} of '{service}' was tried "
            report_gave_up(
                instance, known.asset(service), (), f"{why}{known.settings.tries} times in vain"
            )
            ledger.gave_up(name, found.spent)
        if not found.ready:
            return None
        ledger.tried(name, {"": token}, now)
        tags = {
            AUTOMATION: "drift",
            PROJECT: known.graph.project.name,
            SERVICE: service,
            STEP: step,
            EPISODES: token,
        }
        return dg.RunRequest(
            run_key=f"drift {service} {step} {token} {ledger.next_serial(now)}",
            job_name=known.jobs[service].name if step == _SET else known.settings.retrain.name,
            partition_key=_partition(known, service, now) if step == _SET else None,
            tags=tags,
        )
    kept = ledger.known.get(_handled(service), "").split("\n")
    ledger.known[_handled(service)] = "\n".join(sorted({*filter(None, kept), *new}))
    return None


def _episodes(known: Retraining, instance: dg.DagsterInstance, ledger: Ledger) -> dict[str, str]:
    """View and feature to the window in which its drift was first seen."""
    checks = {
        dg.AssetCheckKey(known.translator.key_of(drift), check): f"{name}:{feature}"
        for name, drift in known.graph.drifts.items()
        if isinstance(drift, DriftData)
        for feature, check in feature_check_names(drift).items()
    }
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    found: dict[str, str] = {}
    for key, name in checks.items():
        seen, _, since = ledger.known.get(name, "").partition(" ")
        record = latest.get(key)
        evaluation: Any = record.evaluation if record else None
        value: Any = (
            evaluation.metadata.get(VERDICTS)
            if isinstance(evaluation, dg.AssetCheckEvaluation)
            else None
        )
        if value is not None and value.value:
            newest = max(value.value)
            # What is said of an older window, in a backfill, is no news.
            if newest >= seen:
                drifts = value.value[newest].get("verdict") == "drift"
                seen, since = newest, (since or newest) if drifts else ""
        if seen:
            ledger.known[name] = f"{seen} {since}"
        if since:
            found[name] = since
    return found


def _features(service: FeatureServiceData) -> set[str]:
    """View and feature of all that a service is made of, through on-demand views too."""
    found: set[str] = set()
    for origins in service.lineage.values():
        for parent, feature in origins:
            if isinstance(parent, OnDemandViewData):
                found |= {f"{view.name}:{name}" for view, name in parent.lineage.get(feature, ())}
            else:
                found.add(f"{parent.name}:{feature}")
    return found


def _partition(known: Retraining, service: str, now: datetime) -> str | None:
    """The newest window whose labels are there; None where there is one set of all rows."""
    rows = known.sets[service]
    partitions = known.graph.training_set(service, rows.partitions).partitions
    if partitions is None:
        return None
    keys = partitions.get_partition_keys(current_time=now - (rows.lookahead or timedelta(0)))
    return keys[-1] if keys else None


def _handled(service: str) -> str:
    return f"handled {service}"


def build_drift_sensor(
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    settings: AutomationSettings,
    sets: Mapping[str, EntityRows],
) -> dg.SensorDefinition:
    """The sensor of one project that has training sets."""
    project = op_name(dg.AssetKey(graph.project.name))
    jobs = {
        service: dg.define_asset_job(
            f"{project}_training_set_{op_name(dg.AssetKey(service))}",
            selection=dg.AssetSelection.assets(
                translator.key_of(graph.training_set(service, rows.partitions))
            ),
        )
        for service, rows in sets.items()
    }
    known = Retraining(graph, translator, settings, sets, jobs)
    status = dg.DefaultSensorStatus

    @dg.sensor(
        name=f"{project}_drift",
        jobs=[*jobs.values(), *([settings.retrain] if settings.retrain else [])],
        minimum_interval_seconds=settings.every_seconds,
        default_status=status.RUNNING if settings.running else status.STOPPED,
        description="Makes a new training set where a feature drifts, and starts the retraining.",
    )
    def drift(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        requests, said, cursor = look_for_drift(
            known, context.instance, cursor_of(context), datetime.now(UTC)
        )
        return dg.SensorResult(
            run_requests=requests or None,
            skip_reason=None if requests else dg.SkipReason(said),
            cursor=cursor,
        )

    return drift
