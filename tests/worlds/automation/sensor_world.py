"""What happens in a shop in a day, and runs that do what sensors see of a run, and no more."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg
from worlds import times
from worlds.automation.shop import VIEWS, Shop, day

from feature_platform.core.windows import Window, covers
from feature_platform.orchestration.graph.content_hashes import hashed_columns
from feature_platform.orchestration.graph.partitions import RANGE_END, RANGE_START
from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS
from feature_platform.orchestration.watch.observed_events import (
    AUTOMATION,
    DEFINITION,
)
from feature_platform.registry.registry_apply import apply, plan
from feature_platform.registry.windows_on_record import (
    materialized_windows,
    record_window,
)
from feature_platform.sources.window_digests import window_digests

DAYS = 12
REPO = (
    VIEWS
    + """
visits = table("visits")
long = view("long", orders, 30)
short = view("short", orders, 5)
seen = view("seen", visits, 30)
"""
)
SOURCES = {"long": "orders", "short": "orders", "seen": "visits"}
Part = tuple[str, str]


def key(number: int) -> str:
    return times.key(day(number))


def window(number: int) -> Window:
    return times.window(day(number))


@dataclass
class World:
    """The shop and its day.

    Attributes:
        shop: The shop.
        dice: Decides.
        refused: Windows whose checks fail.
        flaky: How many runs will yet fail for another reason, by window.
        defined: Windows that were not yet made for what the repo says now.
        online: What each window was last made from.
        failed: How many runs failed, by window and what its source then held.
        needless: Windows that a run was about although nothing was wrong with them.
        done: How many runs were carried out.
    """

    shop: Shop
    dice: random.Random
    refused: set[Part] = field(default_factory=set)
    flaky: Counter[Part] = field(default_factory=Counter)
    defined: set[Part] = field(default_factory=set)
    online: dict[Part, str] = field(default_factory=dict)
    failed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    needless: list[str] = field(default_factory=list)
    done: int = 0

    def __post_init__(self) -> None:
        for table in ("orders", "visits"):
            for number in range(DAYS):
                self.shop.write(number, table=table)
        self.store = self.shop.sample.project.store()
        self.graph = self.shop.sample.graph
        apply(self.store, self.shop.sample.project.contents)
        for view in SOURCES:
            self._put_online(view, list(range(DAYS - 1)), self.contents(view))

    def contents(self, view: str) -> Mapping[str, str]:
        """Partition to what its source holds now."""
        source = self.graph.views[view].upstream[0]
        days = [window(number) for number in range(DAYS)]
        found = window_digests(self.store, source.obj, days, hashed_columns(source))
        return {f"{each.window.start:%Y-%m-%d}": each.content_hash for each in found}

    def reload(self) -> None:
        """Runs go by the definitions that the daemon has loaded, as both are of one location."""
        self.graph = self.shop.sample.graph

    def happen(self, step: int) -> None:
        """What happens at that step, half an hour each."""
        if step % 4 == 3 and step < 33:
            table = self.dice.choice(["orders", "visits"])
            self.shop.write(
                self.dice.randrange(2, 11), table=table, orders=self.dice.randrange(2, 10_000)
            )
        if step == 6:
            # Late rows of three days, the middle one of which no run can serve until the evening.
            for number in (4, 5, 6):
                self.shop.write(number, orders=20_000 + number)
            self.refused = {("long", key(5))}
        if step == 33:
            self.refused = set()
            self.shop.write(5, orders=30_000)
        if step == 15:
            self.shop.write(9, orders=40_000)
            self.flaky = Counter({("long", key(9)): 2, ("short", key(9)): 1})
        if step == 20:
            self.shop.forget("seen", 6)
        if step == 24:
            self.shop.edit('("short", orders, 5)', '("short", orders, 5, ("orders", "returns"))')
            self.defined = {("short", key(number)) for number in range(7, DAYS)}

    def work(self) -> None:
        """Carry out most of what is queued, the oldest first; the rest is under way."""
        queued = self.shop.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        for run in reversed(queued):
            if self.dice.random() < 0.7:
                self.done += 1
                well = self._carry_out(run)
                kind = dg.DagsterEventType.RUN_SUCCESS if well else dg.DagsterEventType.RUN_FAILURE
                event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
                self.shop.instance.report_dagster_event(event, run.run_id)

    def settled(self, views: Mapping[str, set[str]]) -> list[str]:
        """What of the windows that are due is not as it should be."""
        contents = self.shop.sample.project.contents
        found = [f"apply {each}" for each in [plan(self.store, contents)] if each]
        for view, keys in views.items():
            now, online = self.contents(view), materialized_windows(self.store, view)
            found += [
                f"{view} {each}"
                for number, each in enumerate(now)
                if each in keys
                and (
                    self.online.get((view, each)) != now[each]
                    or (view, each) in self.defined
                    or not covers(online, window(number))
                )
            ]
        return found

    def _carry_out(self, run: dg.DagsterRun) -> bool:
        names = {"/".join(each.path[1:]) for each in run.asset_selection or ()}
        if names == {"registry"}:
            contents = self.shop.sample.project.contents
            if not plan(self.store, contents):
                self.needless.append("apply")
            apply(self.store, contents)
            return True
        views = sorted(each.removeprefix("feature_views/") for each in names if "_views/" in each)
        well = [self._materialize(run, view) for view in views]
        return all(well)

    def _materialize(self, run: dg.DagsterRun, view: str) -> bool:
        contents, online = self.contents(view), materialized_windows(self.store, view)
        span = [
            number
            for number in range(DAYS)
            if run.tags[RANGE_START] <= key(number) <= run.tags[RANGE_END]
        ]
        parts = {number: (view, key(number)) for number in span}
        for number, part in parts.items():
            wrong = self.online.get(part) != contents[part[1]] or part in self.defined
            if not wrong and covers(online, window(number)):
                self.needless.append(f"{part} by {run.tags[AUTOMATION]}")
        if any(part in self.refused or self.flaky[part] > 0 for part in parts.values()):
            for part in parts.values():
                self.failed[(*part, contents[part[1]])] += 1
                self.flaky[part] -= self.flaky[part] > 0
            self._judge(view, {part[1]: part in self.refused for part in parts.values()})
            return False
        self._put_online(view, span, contents)
        if DEFINITION in run.tags:
            self.defined -= set(parts.values())
        return True

    def _put_online(self, view: str, span: list[int], contents: Mapping[str, str]) -> None:
        for number in span:
            for asset in (f"sources/{SOURCES[view]}", f"feature_views/{view}"):
                self.shop.put_on_record(asset, {key(number): contents[key(number)]})
            self.online[view, key(number)] = contents[key(number)]
        record_window(self.store, view, Window(day(span[0]), day(span[-1] + 1)))

    def _judge(self, view: str, refused: Mapping[str, bool]) -> None:
        said = {
            each: {"content_hash": "", "rules": "", "passed": not bad, "blocks": "keys" * bad}
            for each, bad in refused.items()
        }
        self.shop.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=self.shop.sample.key(f"sources/{SOURCES[view]}"),
                check_name="keys",
                passed=not any(refused.values()),
                metadata={VERDICTS: dg.JsonMetadataValue(said)},
            )
        )


def moment(step: int) -> datetime:
    """The steps of the day after the last one there are rows of."""
    return day(DAYS) + step * timedelta(minutes=30)
