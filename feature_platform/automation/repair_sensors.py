"""Sensors that start repairs: of changed sources, changed definitions, and gaps."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.automation.gave_up import report_gave_up
from feature_platform.automation.ledger import Ledger
from feature_platform.automation.memory import Memory, remembered
from feature_platform.automation.observed import AUTOMATION, PROJECT, Underway, underway
from feature_platform.automation.plans import RepairPlan, plan_repairs, record_tries, subject
from feature_platform.automation.ranges import Repair
from feature_platform.automation.settings import AutomationSettings, Cause
from feature_platform.automation.source_changes import changed_sources
from feature_platform.graph import FeastGraph
from feature_platform.translator import DagsterFeastTranslator, op_name

if TYPE_CHECKING:
    from feast import FeatureStore

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
    """

    graph: FeastGraph
    translator: DagsterFeastTranslator
    settings: AutomationSettings
    closures: Mapping[str, Sequence[dg.AssetKey]]
    jobs: Mapping[str, frozenset[dg.AssetKey]]

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

    def request(self, repair: Repair) -> dg.RunRequest:
        """The run of a repair; asked for twice it is started once."""
        about = ",".join((*repair.views, *repair.sources))
        digest = hashlib.sha256(f"{about} {repair.token}".encode()).hexdigest()[:12]
        return dg.RunRequest(
            run_key=f"{repair.cause} {repair.first}..{repair.last} {digest}",
            asset_selection=self.selection(repair),
            tags={
                AUTOMATION: repair.cause,
                PROJECT: self.project,
                "dagster/asset_partition_range_start": repair.first,
                "dagster/asset_partition_range_end": repair.last,
            },
        )


Look = Callable[
    [Automated, dg.DagsterInstance, "FeatureStore", Memory, Ledger, datetime],
    tuple[dict[str, dict[str, str]], list[str]],
]


def look_at_sources(  # noqa: PLR0917
    automated: Automated,
    instance: dg.DagsterInstance,
    store: "FeatureStore",
    memory: Memory,
    ledger: Ledger,
    now: datetime,
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Windows whose source has changed: view or source to partition key to wanted content."""
    changes = changed_sources(
        automated.graph,
        automated.translator,
        instance,
        store,
        automated.settings,
        memory,
        now,
        position=ledger.position,
    )
    ledger.position = changes.position
    wrong = {
        **{name: changes.views.get(name, {}) for name in sorted(changes.views_seen)},
        **{subject(name): changes.sources.get(name, {}) for name in sorted(changes.sources_seen)},
    }
    return wrong, changes.troubles


def tick(  # noqa: PLR0917
    cause: Cause,
    look: Look,
    automated: Automated,
    instance: dg.DagsterInstance,
    cursor: str | None,
    now: datetime,
) -> tuple[list[dg.RunRequest], RepairPlan, str]:
    """One look of a sensor: what to start, what was found, and the next cursor."""
    ledger = Ledger.read(cursor)
    store = automated.graph.project.store()
    running = automated.underway(instance)
    with remembered(Path(instance.root_directory), automated.graph.project, cause) as memory:
        wrong, troubles = look(automated, instance, store, memory, ledger, now)
    plan = plan_repairs(
        cause,
        wrong,
        automated.graph,
        automated.translator,
        automated.settings,
        ledger,
        running,
        now,
    )
    plan.notes += troubles
    for each in plan.spent:
        report_gave_up(instance, each.asset, each.keys, _sentence(cause, each.tries))
        ledger.gave_up(each.name, each.keys)
    record_tries(plan, wrong, ledger, now)
    return [automated.request(each) for each in plan.repairs], plan, ledger.write()


def build_repair_sensor(cause: Cause, look: Look, automated: Automated) -> dg.SensorDefinition:
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
        requests, plan, cursor = tick(
            cause, look, automated, context.instance, context.cursor, datetime.now(UTC)
        )
        context.log.info("%s", plan)
        return dg.SensorResult(
            run_requests=requests or None,
            skip_reason=None if requests else dg.SkipReason(str(plan)),
            cursor=cursor,
        )

    return repair


def _sentence(cause: Cause, tries: int) -> str:
    why = {
        "source_changed": "its source has changed",
        "definition_changed": "its definition has changed",
        "gap": "it is missing",
    }[cause]
    times = "once" if tries == 1 else f"{tries} times"
    return f"{why}; materializing it was tried {times} and it is still so: nothing more is tried"
