"""Sensors that start repairs: of changed sources, changed definitions, and gaps."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.orchestration.checks.drift_checks import drift_check_specs
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.graph.closures import run_closures
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.gave_up import report_gave_up
from feature_platform.orchestration.graph.partitions import partitions_within, window_of
from feature_platform.orchestration.graph.recorded_verdicts import refused_partitions
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.repairs.attempt_log import Ledger
from feature_platform.orchestration.repairs.definition_changes import (
    changed_definitions,
    repo_state,
)
from feature_platform.orchestration.repairs.gaps import gaps
from feature_platform.orchestration.repairs.repair_plans import (
    RepairPlan,
    plan_repairs,
    record_tries,
    subject,
)
from feature_platform.orchestration.repairs.repair_ranges import Repair
from feature_platform.orchestration.repairs.schedules import build_schedules
from feature_platform.orchestration.repairs.source_changes import changed_sources
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause
from feature_platform.orchestration.watch.newest_ticks import cursor_of
from feature_platform.orchestration.watch.observed_events import (
    AUTOMATION,
    DEFINITION,
    PROJECT,
    Underway,
    underway,
)
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import remembered
from feature_platform.registry.windows_on_record import registered_views

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.registry.registry_change import RegistryChange

# In the ledger, beside views.
_REGISTRY, _APPLY = "registry ", "apply"
_SAID = {
    "source_changed": "Materializes windows again whose source holds something else now.",
    "definition_changed": "Applies changed definitions and materializes the views they change.",
    "gap": "Fills windows that are missing although their time has come.",
}


@dataclass(frozen=True)
class Automated:
    """A project as its sensors know it.

    Attributes:
        graph: The repo's graph.
        translator: The one that the definitions were built with.
        settings: The limits.
        closures: For each view that can be materialized what a run of it takes along.
        jobs: What each job of the project materializes.
        repo: A hash of the repo's files as they were loaded.
    """

    graph: FeastGraph
    translator: DagsterFeastTranslator
    settings: AutomationSettings
    closures: Mapping[str, Sequence[dg.AssetKey]]
    jobs: Mapping[str, frozenset[dg.AssetKey]]
    repo: str

    @classmethod
    def of(
        cls, graph: FeastGraph, translator: DagsterFeastTranslator, settings: AutomationSettings
    ) -> "Automated":
        """A project, with the closures and jobs that its definitions have."""
        closures = run_closures(graph, translator)
        jobs, _ = build_schedules(
            graph.project.name,
            [graph.views[name] for name in closures],
            closures,
            dg.DefaultScheduleStatus.STOPPED,
        )
        # A run of a job names no assets: what is under way is known from here.
        by_job = {job.name: frozenset(job.selection.selected_keys) for job in jobs}
        return cls(graph, translator, settings, closures, by_job, repo_state(graph))

    @property
    def project(self) -> str:
        """Feast's name of the project."""
        return self.graph.project.name

    def sensor_name(self, cause: str) -> str:
        """The name of a sensor."""
        return f"{op_name(dg.AssetKey(self.project))}_{cause}"

    def underway(self, instance: dg.DagsterInstance) -> Underway:
        """What is queued or running."""
        return underway(instance, self.project, self.jobs)

    def selection(self, repair: Repair) -> list[dg.AssetKey]:
        """What a repair materializes; definitions are applied by their own sensor."""
        registry = self.translator.key_of(self.graph.registry)
        keys = [key for view in repair.views for key in self.closures[view] if key != registry]
        keys += [self.translator.key_of(self.graph.sources[name]) for name in repair.sources]
        return list(dict.fromkeys(keys))

    def request(self, repair: Repair, serial: int) -> dg.RunRequest:
        """The run of a repair; asked for twice under one serial number it is started once."""
        about = ",".join((*repair.views, *repair.sources))
        digest = hashlib.sha256(f"{about} {repair.token} {serial}".encode()).hexdigest()[:12]
        return dg.RunRequest(
            run_key=f"{repair.cause} {repair.first}..{repair.last} {digest}",
            asset_selection=self.selection(repair),
            tags={
                AUTOMATION: repair.cause,
                PROJECT: self.project,
                "dagster/asset_partition_range_start": repair.first,
                "dagster/asset_partition_range_end": repair.last,
                **({DEFINITION: repair.definition} if repair.definition else {}),
            },
        )


@dataclass(frozen=True)
class Tick:
    """What one look of a sensor came to.

    Attributes:
        requests: Runs to start.
        plan: What was found.
        cursor: The next one.
        change: What `feast apply` changes first, where the registry differs from the repo.
    """

    requests: list[dg.RunRequest]
    plan: RepairPlan
    cursor: str
    change: "RegistryChange | None" = None

    def __str__(self) -> str:
        if self.change is None:
            return str(self.plan)
        count = len(self.change.added) + len(self.change.updated) + len(self.change.deleted)
        return f"the registry differs from the repo in {count} objects; {self.plan}"


def tick(
    cause: Cause,
    automated: Automated,
    instance: dg.DagsterInstance,
    cursor: str | None,
    now: datetime,
    *,
    dry: bool = False,
) -> Tick:
    """One look of a sensor.

    Args:
        cause: What it looks for.
        automated: The project.
        instance: Asked for what there is; told where something is given up.
        cursor: What the look before left.
        now: The moment.
        dry: Whether nobody is told, and nothing counts as tried.
    """
    ledger = Ledger.read(cursor)
    store = automated.graph.project.store()
    running = automated.underway(instance)
    wrong, notes, change = _look(cause, automated, instance, store, ledger, now)
    plan = plan_repairs(
        cause,
        wrong,
        automated.graph,
        automated.translator,
        automated.settings,
        ledger,
        running,
        now,
        refused=_refused(automated, instance, ledger, wrong),
    )
    plan.notes += notes
    requests = []
    if change is not None:
        # Everything else waits for the definitions.
        plan.later = [*plan.repairs, *plan.later]
        plan.repairs = []
        requests = _apply(automated, instance, ledger, running, now, plan, dry=dry)
    if not dry:
        for each in plan.spent:
            report_gave_up(instance, each.asset, each.keys, _sentence(cause, each.tries))
            ledger.gave_up(each.name, each.keys)
    record_tries(plan, wrong, ledger, now)
    if plan.repairs:
        serial = ledger.next_serial(now)
        requests += [automated.request(each, serial) for each in plan.repairs]
    return Tick(requests, plan, ledger.write(), change)


_Found = tuple[dict[str, dict[str, str]], list[str], "RegistryChange | None"]


def _look(  # noqa: PLR0917
    cause: Cause,
    automated: Automated,
    instance: dg.DagsterInstance,
    store: "FeatureStore",
    ledger: Ledger,
    now: datetime,
) -> _Found:
    """View or source to partition key to what it is to hold; notes; what is to be applied first."""
    graph, settings = automated.graph, automated.settings
    if cause == "gap":
        return gaps(graph, registered_views(store), settings, now), [], None
    if cause == "definition_changed":
        found = changed_definitions(
            graph,
            automated.translator,
            instance,
            store,
            registered_views(store),
            settings,
            ledger,
            now,
            repo=automated.repo,
        )
        return found.views, [], found.change
    with remembered(Path(instance.root_directory), graph.project, cause) as memory:
        look = SensorContext(graph, automated.translator, instance, store, settings, memory, now)
        changes = changed_sources(look, position=ledger.position)
    ledger.position = changes.position
    wrong = {
        **{name: changes.views.get(name, {}) for name in sorted(changes.views_seen)},
        **{subject(name): changes.sources.get(name, {}) for name in sorted(changes.sources_seen)},
    }
    return wrong, changes.troubles, None


def _refused(
    automated: Automated,
    instance: dg.DagsterInstance,
    ledger: Ledger,
    wrong: Mapping[str, Mapping[str, str]],
) -> dict[str, set[str]]:
    """Windows that were tried before and that a check of a source, or their drift, has refused."""
    found: dict[str, set[str]] = {}
    for name, windows in wrong.items():
        tried = [key for key, token in windows.items() if ledger.count(name, key, token)]
        view = automated.graph.views.get(name)
        if not tried or view is None or view.partitions is None:
            continue
        drift = automated.graph.drifts.get(name)
        found[name] = set()
        if drift is not None and not drift.refusal:
            specs = drift_check_specs(drift, automated.translator.key_of(drift))
            found[name] |= refused_partitions(instance, specs, tried)
        windows_tried = {key: window_of(view.partitions, key) for key in tried}
        for source in view.sources:
            assert source.partitions is not None  # noqa: S101 - sources are always partitioned
            parts = {
                key: set(partitions_within(source.partitions, window))
                for key, window in windows_tried.items()
            }
            specs = SourceChecks(source, automated.translator.key_of(source)).specs
            bad = refused_partitions(instance, specs, set().union(*parts.values()))
            found[name] |= {key for key, inside in parts.items() if inside & bad}
    return found


def _apply(  # noqa: PLR0917
    automated: Automated,
    instance: dg.DagsterInstance,
    ledger: Ledger,
    running: Underway,
    now: datetime,
    plan: RepairPlan,
    *,
    dry: bool,
) -> list[dg.RunRequest]:
    """The run that applies the repo, unless it is under way or was tried too often."""
    registry = automated.translator.key_of(automated.graph.registry)
    settings, tokens = automated.settings, {_APPLY: automated.repo}
    found = ledger.sort(_REGISTRY, tokens, now, tries=settings.tries, wait=settings.wait)
    if registry in running.unpartitioned:
        plan.notes.append("the repo is being applied")
        return []
    if found.spent and not dry:
        report_gave_up(
            instance, registry, (), _sentence("definition_changed", settings.tries, "applying")
        )
        ledger.gave_up(_REGISTRY, found.spent)
    if not found.ready:
        plan.notes.append("applying the repo has failed; see the runs of the registry asset")
        return []
    ledger.tried(_REGISTRY, tokens, now)
    return [
        dg.RunRequest(
            run_key=f"apply {automated.repo} {ledger.next_serial(now)}",
            asset_selection=[registry],
            tags={AUTOMATION: "definition_changed", PROJECT: automated.project},
        )
    ]


def build_repair_sensor(cause: Cause, automated: Automated) -> dg.SensorDefinition:
    """The sensor of one cause."""
    keys = {key for closure in automated.closures.values() for key in closure}
    keys |= {
        automated.translator.key_of(each)
        for each in automated.graph.sources.values()
        if not each.refusal
    }
    status = dg.DefaultSensorStatus

    @dg.sensor(
        name=automated.sensor_name(cause),
        target=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=automated.settings.every_seconds,
        default_status=status.RUNNING if automated.settings.running else status.STOPPED,
        description=_SAID[cause],
    )
    def repair(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        found = tick(cause, automated, context.instance, cursor_of(context), datetime.now(UTC))
        context.log.info("%s", found)
        return dg.SensorResult(
            run_requests=found.requests or None,
            skip_reason=None if found.requests else dg.SkipReason(str(found)),
            cursor=found.cursor,
        )

    return repair


def _sentence(cause: Cause, tries: int, what: str = "materializing") -> str:
    why = {
        "source_changed": "its source has changed",
        "definition_changed": "its definition has changed",
        "gap": "it is missing",
    }[cause]
    times = "once" if tries == 1 else f"{tries} times"
    return f"{why}; {what} it was tried {times} and it is still so: nothing more is tried"
