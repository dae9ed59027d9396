"""The sensors that start repairs, one for each cause."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.orchestration.checks.report_checks import report_check_specs
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.graph.gave_up import report_gave_up
from feature_platform.orchestration.graph.partitions import (
    RANGE_END,
    RANGE_START,
    partitions_within,
    window_of,
)
from feature_platform.orchestration.graph.recorded_verdicts import refused_partitions
from feature_platform.orchestration.graph.translator_data import DriftData
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.definition_changes import DEFINITION_CHANGED
from feature_platform.orchestration.repairs.gaps import GAP
from feature_platform.orchestration.repairs.project_sensor import ProjectSensor, SensorTick
from feature_platform.orchestration.repairs.repair_cause import RepairCause
from feature_platform.orchestration.repairs.repair_plans import (
    RepairPlan,
    plan_repairs,
    record_attempts,
)
from feature_platform.orchestration.repairs.repair_ranges import Repair
from feature_platform.orchestration.repairs.source_changes import SOURCE_CHANGED
from feature_platform.orchestration.watch.automation_settings import Cause
from feature_platform.orchestration.watch.killed_runs import end_killed_runs
from feature_platform.orchestration.watch.observed_events import (
    AUTOMATION,
    DEFINITION,
    PROJECT,
    Underway,
)

if TYPE_CHECKING:
    from feature_platform.registry.registry_change import RegistryChange

REPAIR_CAUSES: Mapping[Cause, RepairCause] = {
    each.name: each for each in (SOURCE_CHANGED, DEFINITION_CHANGED, GAP)
}
# In the attempt log, among views.
_REGISTRY, _APPLY = "registry ", "apply"


@dataclass(frozen=True, kw_only=True)
class RepairTick(SensorTick):
    """The result of one tick of a repair sensor.

    Attributes:
        plan: What was found.
        change: What ``feast apply`` changes first, if the registry differs from the repo.
    """

    plan: RepairPlan
    change: "RegistryChange | None" = None

    def __str__(self) -> str:
        if self.change is None:
            return str(self.plan)
        return f"applying the repo {self.change.in_words}; {self.plan}"


def repair_tick(
    cause: RepairCause,
    project: AutomatedProject,
    instance: dg.DagsterInstance,
    cursor: str | None,
    now: datetime,
    *,
    dry: bool = False,
) -> RepairTick:
    """One tick of a repair sensor; if `dry`, giving up is not reported."""
    log = AttemptLog.read(cursor)
    if not dry:
        end_killed_runs(instance)  # they would count as under way for ever
    running = project.underway(instance)
    found = cause.find(project, instance, log, now)
    refused = _refused(project, instance, log, found.wrong)
    plan = plan_repairs(cause, found.wrong, project, log, running, now=now, refused=refused)
    plan.notes += found.notes
    requests = []
    if found.change is not None:
        # Nothing is materialized before the definitions are applied.
        plan.later = [*plan.repairs, *plan.later]
        plan.repairs = []
        requests = _apply(project, instance, log, running, now, plan, dry=dry)
    if not dry:
        for each in plan.exhausted:
            report_gave_up(instance, each.asset, each.keys, _gave_up(cause, project.settings.tries))
            log.record_gave_up(each.name, each.keys)
    record_attempts(plan, found.wrong, log, now)
    if plan.repairs:
        serial = log.next_serial(now)
        requests += [_request(project, each, serial) for each in plan.repairs]
    return RepairTick(cursor=log.write(), requests=requests, plan=plan, change=found.change)


def _request(project: AutomatedProject, repair: Repair, serial: int) -> dg.RunRequest:
    """The run of a repair; Dagster starts it once, even if it is requested twice with a serial."""
    translator, graph = project.translator, project.graph
    registry = translator.key_of(graph.registry)  # applied by DEFINITION_CHANGED alone
    keys = [key for view in repair.views for key in project.closures[view] if key != registry]
    keys += [translator.key_of(graph.sources[name]) for name in repair.sources]
    names = ",".join((*repair.views, *repair.sources))
    digest = hashlib.sha256(f"{names} {repair.token} {serial}".encode()).hexdigest()[:12]
    return dg.RunRequest(
        run_key=f"{repair.cause} {repair.first}..{repair.last} {digest}",
        asset_selection=list(dict.fromkeys(keys)),
        tags={
            AUTOMATION: repair.cause,
            PROJECT: project.name,
            RANGE_START: repair.first,
            RANGE_END: repair.last,
            **({DEFINITION: repair.definition} if repair.definition else {}),
        },
    )


def _refused(
    project: AutomatedProject,
    instance: dg.DagsterInstance,
    log: AttemptLog,
    wrong: Mapping[str, Mapping[str, str]],
) -> dict[str, set[str]]:
    """Windows that were attempted before and refused by a check of a source or by drift."""
    found: dict[str, set[str]] = {}
    translator = project.translator
    for name, windows in wrong.items():
        attempted = [key for key, token in windows.items() if log.count(name, key, token)]
        view = project.graph.materializable.get(name)
        if not attempted or view is None:
            continue
        drift = project.graph.drifts.get(name)
        found[name] = set()
        if isinstance(drift, DriftData):
            specs = report_check_specs(drift, translator.key_of(drift))
            found[name] |= refused_partitions(instance, specs, attempted)
        spans = {key: window_of(view.partitions, key) for key in attempted}
        for source in view.sources:
            parts = {
                key: set(partitions_within(source.partitions, span)) for key, span in spans.items()
            }
            specs = SourceChecks(source, translator.key_of(source)).specs
            bad = refused_partitions(instance, specs, set().union(*parts.values()))
            found[name] |= {key for key, inside in parts.items() if inside & bad}
    return found


def _apply(  # noqa: PLR0917
    project: AutomatedProject,
    instance: dg.DagsterInstance,
    log: AttemptLog,
    running: Underway,
    now: datetime,
    plan: RepairPlan,
    *,
    dry: bool,
) -> list[dg.RunRequest]:
    """The run that applies the repo, unless it is under way or was attempted too often."""
    registry = project.translator.key_of(project.graph.registry)
    settings, tokens = project.settings, {_APPLY: project.repo}
    triage = log.triage(_REGISTRY, tokens, now, tries=settings.tries, wait=settings.wait)
    if registry in running.unpartitioned:
        plan.notes.append("the repo is being applied")
        return []
    if triage.exhausted and not dry:
        reason = _gave_up(DEFINITION_CHANGED, settings.tries, "applying")
        report_gave_up(instance, registry, (), reason)
        log.record_gave_up(_REGISTRY, triage.exhausted)
    if not triage.ready:
        plan.notes.append("applying the repo has failed; see the runs of the registry asset")
        return []
    log.record_attempt(_REGISTRY, tokens, now)
    return [
        dg.RunRequest(
            run_key=f"apply {project.repo} {log.next_serial(now)}",
            asset_selection=[registry],
            tags={AUTOMATION: DEFINITION_CHANGED.name, PROJECT: project.name},
        )
    ]


def repair_sensor(cause: RepairCause) -> ProjectSensor:
    """The sensor of one cause."""
    return ProjectSensor(
        cause.name, cause.description, partial(repair_tick, cause), starts=_targets
    )


def _targets(project: AutomatedProject) -> Mapping[str, dg.AssetSelection]:
    keys = {key for closure in project.closures.values() for key in closure}
    keys |= {
        project.translator.key_of(each)
        for each in project.graph.sources.values()
        if not each.refusal
    }
    return {"target": dg.AssetSelection.assets(*keys)}


def _gave_up(cause: RepairCause, tries: int, what: str = "materializing") -> str:
    times = "once" if tries == 1 else f"{tries} times"
    return f"{cause.reason}; {what} it was tried {times} and did not help, so it is not tried again"
