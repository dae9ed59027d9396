"""Where a drill plays: a repo, a Dagster home, sensors that tick when told, and people to page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from worlds import times
from worlds.automation.watched import Watched
from worlds.repos import write_table
from worlds.times import midnight

from feature_platform.orchestration.validation.check_declarations import FRESH

if TYPE_CHECKING:
    from worlds.stand_ins.alert_receiver import Receiver


@dataclass(kw_only=True)
class Scene(Watched):
    """Everything of a deployment but the daemon, whose part the drill plays, so that it can say
    what time it is."""

    receiver: "Receiver"
    routes: Path
    more: dict[str, Any] = field(default_factory=dict)
    today: datetime = field(default_factory=midnight)

    def day(self, number: float) -> datetime:
        """So many days after today began; yesterday is day -1."""
        return self.today + timedelta(days=number)

    def key(self, number: int) -> str:
        """The partition of a day."""
        return times.key(self.day(number))

    def write(self, table: str, number: int, **columns: Any) -> None:
        """A day of a table, all of it at noon, as its owner delivers it."""
        [count] = {len(values) for values in columns.values()}
        path = self.sample.repo / f"data/{table}/{self.key(number)}.parquet"
        write_table(path, {**columns, "ts": [self.day(number + 0.5)] * count})

    def definitions(self) -> dg.Definitions:
        return self.sample.definitions(
            alerts=self.routes, automation=self.settings, retry_policy=None, **self.more
        )

    def materialize(self, first: int, last: int, *names: str) -> None:
        """Put days online, both included, before the story begins: long ago for the clock."""
        keys = [self.sample.key(each) for each in ("registry", *names)]
        fresh = [
            dg.AssetCheckKey(each, FRESH.name) for each in keys if "feature_views" in each.path
        ]
        chosen = dg.AssetSelection.assets(*keys) - dg.AssetSelection.checks(*fresh)
        span = (self.key(first), self.key(last))
        result = self.sample.run(selection=chosen, span=span)
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
        return self.run(request.with_replaced_attrs(job_name=found.job_name))

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
