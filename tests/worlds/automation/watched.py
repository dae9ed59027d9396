"""A repo whose sensors look when the test says so, with the cursors that a daemon would keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.orchestration.graph.content_hashes import CONTENT_HASH
from feature_platform.orchestration.graph.partitions import RANGE_END, RANGE_START
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_sensors import (
    REPAIR_CAUSES,
    RepairTick,
    repair_tick,
)
from feature_platform.orchestration.sensors.freshness_sensor import FreshnessTick, freshness_tick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause

if TYPE_CHECKING:
    from worlds.samples import Sample


@dataclass
class Watched:
    """The repo, its instance, and what a daemon knows: cursors by sensor, and run keys."""

    sample: "Sample"
    settings: AutomationSettings = field(default_factory=AutomationSettings)
    cursors: dict[str, str | None] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.sample.instance

    @property
    def automated(self) -> AutomatedProject:
        return AutomatedProject(self.sample.graph, DagsterFeastTranslator(), self.settings)

    def definitions(self) -> dg.Definitions:
        return self.sample.definitions(automation=self.settings, retry_policy=None)

    def look(self, cause: Cause, now: datetime) -> RepairTick:
        """One tick of a repairing sensor; what it asks for is run by `start`."""
        found = repair_tick(
            REPAIR_CAUSES[cause], self.automated, self.instance, self.cursors.get(cause), now
        )
        self.cursors[cause] = found.cursor
        return found

    def watch_freshness(self, now: datetime) -> FreshnessTick:
        """One tick of the sensor that watches what is served."""
        cursor = self.cursors.get("freshness")
        found = freshness_tick(self.automated, self.instance, cursor, now)
        self.cursors["freshness"] = found.cursor
        return found

    def start(self, requests: Sequence[dg.RunRequest]) -> list[bool]:
        """Run what a sensor asked for, each run key once; whether each run succeeded."""
        done = []
        for request in requests:
            if request.run_key in self.keys:
                continue
            self.keys.add(str(request.run_key))
            done.append(self.run(request).success)
        return done

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """A run of a job, or of the assets that are selected."""
        if request.job_name:
            job = self.definitions().resolve_job_def(request.job_name)
            return job.execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                raise_on_error=False,
                tags=dict(request.tags),
            )
        names = ["/".join(key.path[1:]) for key in request.asset_selection or ()]
        first, last = request.tags.get(RANGE_START), request.tags.get(RANGE_END)
        span = (first, last) if first and last else None
        return self.sample.run(*names, span=span, tags=request.tags)

    def put_on_record(self, asset: str, contents: Mapping[str, str]) -> None:
        """Report what a run would: the content that each partition was made from."""
        for partition, content in contents.items():
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    self.sample.key(asset),
                    partition=partition,
                    metadata={CONTENT_HASH: content},
                )
            )
