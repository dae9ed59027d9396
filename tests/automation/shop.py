"""A small shop whose tables are written day by day, and the sensors that look after it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from feature_platform.core.windows import Window, missing
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.repair_sensors import Automated, Tick, tick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause
from feature_platform.registry.registry_apply import ensure_registered
from feature_platform.registry.windows_on_record import change_windows, record_window

if TYPE_CHECKING:
    from conftest import Sample

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")

VIEWS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float64, Int64

customer = Entity(name="customer")


def table(name):
    return FileSource(name=name, path=f"data/{name}/*.parquet", timestamp_field="ts")


def view(name, source, days, features=("orders",), **tags):
    schema = [Field(name="customer", dtype=Int64)]
    schema += [Field(name=each, dtype=Int64) for each in features]
    tags = {"dagster/drift": "off"} | {f"dagster/{tag}": value for tag, value in tags.items()}
    return FeatureView(
        name=name, entities=[customer], schema=schema, source=source,
        ttl=timedelta(days=days), tags=tags,
    )


orders = table("orders")
"""
LONG_AND_SHORT = VIEWS + 'long = view("long", orders, 10)\nshort = view("short", orders, 4)\n'
ONE = VIEWS + 'only = view("only", orders, 10)\n'


def day(number: float) -> datetime:
    """That many days after the first of March."""
    return FIRST + timedelta(days=number)


@dataclass
class Shop:
    """The repo, its instance, and the sensors' cursors."""

    sample: "Sample"
    settings: AutomationSettings = field(default_factory=AutomationSettings)
    cursors: dict[str, str] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.sample.instance

    @property
    def automated(self) -> Automated:
        return Automated.of(self.sample.graph, DagsterFeastTranslator(), self.settings)

    def write(self, number: int, *, orders: int = 1, table: str = "orders", hour: int = 12) -> None:
        """One day of a table: three customers."""
        path = self.sample.repo / f"data/{table}/{number:03}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {
            "customer": [1, 2, 3],
            "orders": [orders, orders + 1, orders + 2],
            "returns": [0, 1, 2],
            "ts": pa.array([day(number) + timedelta(hours=hour)] * 3, TIME),
        }
        pq.write_table(pa.table(columns), path)

    def look(self, cause: Cause, now: datetime) -> Tick:
        """One tick of a sensor, its cursor kept as the daemon keeps it."""
        found = tick(cause, self.automated, self.instance, self.cursors.get(cause), now)
        self.cursors[cause] = found.cursor
        return found

    def start(self, requests: Sequence[dg.RunRequest]) -> list[bool]:
        """Run what a sensor asked for, as the daemon does: each run key once."""
        done = []
        for request in requests:
            assert request.asset_selection is not None
            if request.run_key in self.keys:
                continue
            self.keys.add(str(request.run_key))
            span = (request.tags.get(_START), request.tags.get(_END))
            names = ["/".join(key.path[1:]) for key in request.asset_selection]
            result = self.sample.run(*names, span=span if span[0] else None, tags=request.tags)
            done.append(result.success)
        return done

    def materialize(self, first: int, last: int, *views: str, source: str = "orders") -> None:
        """Put days online, both ends included, as the schedule does."""
        names = [f"sources/{source}", *(f"feature_views/{view}" for view in views)]
        span = (f"{day(first):%Y-%m-%d}", f"{day(last):%Y-%m-%d}")
        assert self.sample.run("registry", *names, span=span).success

    def record(self, first: int, last: int, *views: str) -> None:
        """Days as they are once they are online, for what looks at registry and source alone."""
        store = self.sample.project.store()
        for view in views:
            ensure_registered(store, self.sample.project.contents, view)
            record_window(store, view, Window(day(first), day(last + 1)))

    def forget(self, view: str, number: int) -> None:
        """Take a day out of the registry's record, as if it had never been online."""
        gone = [Window(day(number), day(number + 1))]
        change_windows(self.sample.project.store(), view, lambda known: missing(known, gone))

    def edit(self, old: str, new: str) -> None:
        """Change the repo's definitions."""
        path = self.sample.repo / "views.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


_START = "dagster/asset_partition_range_start"
_END = "dagster/asset_partition_range_end"


def asked(found: Tick) -> list[tuple[str, str, list[str]]]:
    """First partition, last one, and what is materialized, of each run that is asked for."""
    return [
        (
            request.tags.get(_START, ""),
            request.tags.get(_END, ""),
            sorted("/".join(key.path[1:]) for key in request.asset_selection or ()),
        )
        for request in found.requests
    ]
