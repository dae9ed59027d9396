"""Ten sources are late at once, and most of them go on changing at each look."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg
import pytest
from worlds.automation.shop import VIEWS, Shop, day

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.content_hashes import hashed_columns
from feature_platform.orchestration.graph.partitions import RANGE_END, RANGE_START
from feature_platform.orchestration.repairs.repair_sensors import REPAIR_CAUSES, repair_tick
from feature_platform.sources.window_digests import window_digests

SOURCES, DAYS = 10, 12
AT_ONCE, A_TICK = 4, 2
# Their newest late day is another one each, so that no run can take two of them along.
CHANGING = range(6)
REPO = VIEWS + "".join(f'v{n} = view("v{n}", table("t{n}"), 60)\n' for n in range(SOURCES))
Part = tuple[str, str]


@dataclass
class World:
    """Runs that are queued, and the windows whose rows are newer than what is online."""

    shop: Shop
    queue: list[dg.DagsterRun] = field(default_factory=list)
    late: set[Part] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.automated = self.shop.automated
        self.store = self.shop.sample.project.store()

    def look(self, now: datetime) -> list[dg.RunRequest]:
        found = repair_tick(
            REPAIR_CAUSES["source_changed"],
            self.automated,
            self.shop.instance,
            self.shop.cursors.get("source_changed"),
            now,
        )
        self.shop.cursors["source_changed"] = found.cursor
        return found.requests

    def write(self, number: int, table: int, orders: int) -> None:
        self.shop.write(number, table=f"t{table}", orders=orders)
        self.late.add((f"t{table}", f"{day(number):%Y-%m-%d}"))

    def put_online(self, number: int, first: str, last: str) -> None:
        """The windows between two as the source is now."""
        source = self.automated.graph.sources[f"t{number}"]
        days = [Window(day(each), day(each + 1)) for each in range(DAYS)]
        for each in window_digests(self.store, source.obj, days, hashed_columns(source)):
            partition, content = f"{each.window.start:%Y-%m-%d}", each.content_hash
            if not first <= partition <= last:
                continue
            for asset in (f"sources/t{number}", f"feature_views/v{number}"):
                self.shop.put_on_record(asset, {partition: content})
            self.late.discard((f"t{number}", partition))

    def ask(self, requests: list[dg.RunRequest]) -> None:
        for request in requests:
            self.keys.append(str(request.run_key))
            run = dg.DagsterRun(
                job_name="__ASSET_JOB",
                status=dg.DagsterRunStatus.STARTED,
                tags=dict(request.tags),
                asset_selection=frozenset(request.asset_selection or ()),
            )
            self.queue.append(self.shop.instance.add_run(run))

    def carry_out_one(self) -> None:
        """The oldest, as the sources are now."""
        if not self.queue:
            return
        run = self.queue.pop(0)
        for key in run.asset_selection or ():
            if key.path[1] == "sources":
                number = int(key.path[-1].removeprefix("t"))
                self.put_online(number, run.tags[RANGE_START], run.tags[RANGE_END])
        ended = dg.DagsterEventType.RUN_SUCCESS.value
        event = dg.DagsterEvent(event_type_value=ended, job_name=run.job_name)
        self.shop.instance.report_dagster_event(event, run.run_id)


@pytest.mark.slow
def test_of_ten_sources_that_are_late_at_once_none_is_forgotten_and_none_waits_for_the_others(
    make_shop: Callable[..., Shop],
):
    limits = {"runs_a_tick": A_TICK, "runs_at_once": AT_ONCE, "scan_seconds": 1e9}
    shop = make_shop(REPO, 0, **limits)
    for number in range(SOURCES):
        for each in range(DAYS):
            shop.write(each, table=f"t{number}")
    world = World(shop)
    for each, number in [*((DAYS - 1 - n, n) for n in range(SOURCES)), (0, 9), (4, 9), (7, 9)]:
        key = f"{day(each):%Y-%m-%d}"
        world.put_online(number, key, key)
        world.write(each, number, orders=100)
    once = {part for part in world.late if int(part[0][1:]) not in CHANGING}
    assert (len(once), len(world.late)) == (7, 13)

    minute, mended_at = 0, 0
    while world.queue or world.late:
        # For twenty minutes six of them get late rows each minute.
        if minute < 20:
            for number in CHANGING:
                world.write(DAYS - 1 - number, number, orders=200 + minute)
        minute += 1
        requests = world.look(day(DAYS) + timedelta(hours=10, minutes=minute))
        assert len(requests) <= A_TICK
        world.ask(requests)
        assert len(world.queue) <= AT_ONCE
        world.carry_out_one()
        mended_at = mended_at or (0 if once & world.late else minute)
        assert minute < 40
    # One run a minute: as many minutes as there are windows, or little more.
    assert 7 <= mended_at <= 13 + AT_ONCE
    assert len(set(world.keys)) == len(world.keys)
    assert world.look(day(DAYS) + timedelta(hours=11)) == []
