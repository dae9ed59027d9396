"""Where a drill plays: a repo, a Dagster home, sensors that tick when told, and people to page."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.repair_sensors import Automated, Tick, tick
from feature_platform.orchestration.sensors.freshness_sensor import Watch, watch_freshness
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause

if TYPE_CHECKING:
    from worlds.samples import Sample
    from worlds.stand_ins.alert_receiver import Receiver

_START = "dagster/asset_partition_range_start"
_END = "dagster/asset_partition_range_end"


def midnight() -> datetime:
    """The one that has just been."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass
class Scene:
    """Everything of a deployment but the daemon, whose part the drill plays, so that it can say
    what time it is."""

    sample: "Sample"
    receiver: "Receiver"
    routes: Path
    settings: AutomationSettings = field(default_factory=AutomationSettings)
    more: dict[str, Any] = field(default_factory=dict)
    today: datetime = field(default_factory=midnight)
    cursors: dict[str, str | None] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.sample.instance

    def day(self, number: float) -> datetime:
        """So many days after today began; yesterday is day -1."""
        return self.today + timedelta(days=number)

    def key(self, number: int) -> str:
        """The partition of a day."""
        return f"{self.day(number):%Y-%m-%d}"

    def definitions(self) -> dg.Definitions:
        return self.sample.definitions(
            alerts=self.routes, automation=self.settings, retry_policy=None, **self.more
        )

    def materialize(self, first: int, last: int, *names: str) -> None:
        """Put days online, both included, before the story begins."""
        result = self.sample.run("registry", *names, span=(self.key(first), self.key(last)))
        assert result.success, said_by(result)

    # The daemon.

    def scheduled(self, schedule: str, at: datetime) -> dg.ExecuteInProcessResult:
        """A schedule's tick, and the run it asks for."""
        defs = self.definitions()
        found = defs.resolve_schedule_def(schedule)
        with dg.build_schedule_context(
            self.instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        ) as context:
            [request] = found.evaluate_tick(context).run_requests or []
        return self._run(defs, found.job_name, request)

    def repair(self, cause: Cause, now: datetime) -> Tick:
        """A look of a repairing sensor; what it asks for is run by `start`."""
        automated = Automated.of(self.sample.graph, DagsterFeastTranslator(), self.settings)
        found = tick(cause, automated, self.instance, self.cursors.get(cause), now)
        self.cursors[cause] = found.cursor
        return found

    def start(self, requests: Sequence[dg.RunRequest]) -> list[bool]:
        """Run what a sensor asked for, each run key once; whether each run succeeded."""
        done = []
        for request in requests:
            if request.run_key in self.keys:
                continue
            self.keys.add(str(request.run_key))
            if request.job_name:
                result = self._run(self.definitions(), request.job_name, request)
            else:
                assert request.asset_selection is not None
                names = ["/".join(key.path[1:]) for key in request.asset_selection]
                span = (request.tags[_START], request.tags[_END])
                result = self.sample.run(*names, span=span, tags=request.tags)
            done.append(result.success)
        return done

    def watch_freshness(self, now: datetime) -> Watch:
        """A look of the sensor that watches what is served."""
        found = watch_freshness(
            self.sample.graph,
            DagsterFeastTranslator(),
            self.settings,
            self.instance,
            self.cursors.get("freshness"),
            now,
        )
        self.cursors["freshness"] = found.cursor
        return found

    def sensor(self, suffix: str) -> Any:
        """A tick of a sensor as the daemon gives it, at this very moment."""
        defs = self.definitions()
        [sensor] = [each for each in defs.sensors or () if each.name.endswith(f"_{suffix}")]
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(suffix), definitions=defs
        )
        data = sensor.evaluate_tick(context)  # type: ignore[union-attr]
        self.cursors[suffix] = data.cursor
        return data

    def tell(self) -> str:
        """A tick of the alert sensor; what it said."""
        return self.sensor("alerts").skip_message or ""

    def _run(
        self, defs: dg.Definitions, job: str, request: dg.RunRequest
    ) -> dg.ExecuteInProcessResult:
        return defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            raise_on_error=False,
            tags=dict(request.tags),
        )

    # The people.

    def told(self) -> list[tuple[str, str]]:
        """Kind and key (without the project) of each message, in order."""
        return [(each["kind"], _short(each["key"])) for each in self.messages()]

    def messages(self) -> list[Mapping[str, Any]]:
        return [each for hook in self.receiver.hooks() for each in hook["messages"]]

    def page(self, key: str) -> Mapping[str, Any]:
        """The one message that opened an incident."""
        [found] = [
            each
            for each in self.messages()
            if each["kind"] == "open" and _short(each["key"]) == key
        ]
        return found


def said_by(result: dg.ExecuteInProcessResult) -> list[str]:
    """What the failed steps of a run said."""
    failures = [each.step_failure_data for each in result.all_events if each.is_step_failure]
    return [str(each.error.to_string()) for each in failures if each.error]


def _short(key: str) -> str:
    return re.sub(r"^[^/]+/", "", key)


MakeScene = Callable[..., Scene]
