"""A small shop whose tables are written day by day, and the sensors that look after it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from worlds import repos
from worlds.automation.watched import Watched
from worlds.repos import write_table
from worlds.times import key, window
from worlds.times import march as day

from feature_platform.core.windows import missing
from feature_platform.orchestration.graph.partitions import RANGE_END, RANGE_START
from feature_platform.orchestration.repairs.repair_sensors import RepairTick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.registry.registry_apply import ensure_registered
from feature_platform.registry.windows_on_record import change_windows, record_window

if TYPE_CHECKING:
    from worlds.samples import Sample

VIEWS = repos.VIEWS + '\norders = table("orders")\n'
LONG_AND_SHORT = VIEWS + 'long = view("long", orders, 10)\nshort = view("short", orders, 4)\n'
ONE = VIEWS + 'only = view("only", orders, 10)\n'


@dataclass
class Shop(Watched):
    """The shop; its days are counted from the first of March on."""

    def write(self, number: int, *, orders: int = 1, table: str = "orders", hour: int = 12) -> None:
        """One day of a table: three customers."""
        columns = {
            "customer": [1, 2, 3],
            "orders": [orders, orders + 1, orders + 2],
            "returns": [0, 1, 2],
            "ts": [day(number, hour)] * 3,
        }
        write_table(self.sample.repo / f"data/{table}/{number:03}.parquet", columns)

    def materialize(self, first: int, last: int, *views: str, source: str = "orders") -> None:
        """Put days online, both ends included, as the schedule does."""
        names = [f"sources/{source}", *(f"feature_views/{view}" for view in views)]
        span = (key(day(first)), key(day(last)))
        assert self.sample.run("registry", *names, span=span).success

    def record(self, first: int, last: int, *views: str) -> None:
        """Days as they are once they are online, for what looks at registry and source alone."""
        store = self.sample.project.store()
        for view in views:
            ensure_registered(store, self.sample.project.contents, view)
            record_window(store, view, window(day(first), last - first + 1))

    def forget(self, view: str, number: int) -> None:
        """Take a day out of the registry's record, as if it had never been online."""
        gone = [window(day(number))]
        change_windows(self.sample.project.store(), view, lambda known: missing(known, gone))

    def edit(self, old: str, new: str) -> None:
        """Change the repo's definitions."""
        path = self.sample.repo / "views.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def asked(found: RepairTick) -> list[tuple[str, str, list[str]]]:
    """First partition, last one, and what is materialized, of each run that is asked for."""
    return [
        (
            request.tags.get(RANGE_START, ""),
            request.tags.get(RANGE_END, ""),
            sorted("/".join(key.path[1:]) for key in request.asset_selection or ()),
        )
        for request in found.requests
    ]


@pytest.fixture
def make_shop(make_repo: Callable[..., "Sample"]) -> Callable[..., Shop]:
    """A shop with so many days of orders."""

    def make(views: str, days: int = 12, **settings: Any) -> Shop:
        shop = Shop(make_repo({"views.py": views}), AutomationSettings(**settings))
        for number in range(days):
            shop.write(number)
        return shop

    return make
