"""Five hundred views: a bounded number of queries, and only what changed is read."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from worlds.automation.shop import VIEWS, Shop, day
from worlds.times import key

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.content_hashes import hashed_columns
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs import source_changes
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_sensors import (
    REPAIR_CAUSES,
    RepairTick,
    repair_tick,
)
from feature_platform.orchestration.sensors.freshness_sensor import freshness_tick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings, Cause
from feature_platform.registry.registry_apply import apply
from feature_platform.sources.window_digests import window_digests

VIEW_COUNT = 500
DAYS = 5
NOW = day(DAYS + 0.5)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Every statement that any database gets meanwhile."""
    said: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def shop(make_repo: Callable[..., Any]) -> Shop:
    """Five hundred views with a table each, all of them online and on record."""
    lines = [f'v{n} = view("v{n}", table("t{n}"), 30)' for n in range(VIEW_COUNT)]
    shop = Shop(make_repo({"views.py": VIEWS + "\n".join(lines)}), AutomationSettings())
    for number in range(DAYS):
        shop.write(number, table="t0")
    folder = shop.sample.repo / "data/t0"
    for n in range(1, VIEW_COUNT):
        shutil.copytree(folder, shop.sample.repo / f"data/t{n}")
    project, graph = shop.sample.project, shop.sample.graph
    store = project.store()
    apply(store, project.contents)
    _all_online(shop.sample.repo / "data/registry.db")
    windows = [Window(day(number), day(number + 1)) for number in range(DAYS)]
    columns = hashed_columns(graph.sources["t0"])
    digests = window_digests(store, graph.sources["t0"].obj, windows, columns)
    contents = {key(each.window.start): each.content_hash for each in digests}
    for n in range(VIEW_COUNT):
        shop.put_on_record(f"feature_views/v{n}", contents)
    return shop


def _all_online(registry: Path) -> None:
    from feast.protos.feast.core.Registry_pb2 import Registry

    held = Registry.FromString(registry.read_bytes())
    for each in held.feature_views:
        interval = each.meta.materialization_intervals.add()
        interval.start_time.FromDatetime(day(0))
        interval.end_time.FromDatetime(day(DAYS))
    registry.write_bytes(held.SerializeToString())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tick_asks_a_bounded_number_of_queries_and_reads_what_is_new(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    reads: list[str] = []
    read = source_changes.source_contents

    def counting(store: Any, source: Any, *rest: Any) -> Any:
        reads.append(source.name)
        return read(store, source, *rest)

    monkeypatch.setattr(source_changes, "source_contents", counting)
    automated = AutomatedProject(
        shop.sample.graph, DagsterFeastTranslator(), AutomationSettings(scan_seconds=1e9)
    )

    def look(cause: Cause) -> tuple[RepairTick, int, int]:
        reads.clear()
        began = time.monotonic()
        with counted() as said:
            found = repair_tick(
                REPAIR_CAUSES[cause], automated, shop.instance, shop.cursors.get(cause), NOW
            )
        print(cause, len(said), "queries,", len(reads), "reads,", time.monotonic() - began, "s")  # noqa: T201
        shop.cursors[cause] = found.cursor
        return found, len(said), len(reads)

    # The first time everything is read, a part of it each tick.
    for _ in range(VIEW_COUNT // 50):
        found, queries, count = look("source_changed")
        assert (found.requests, count) == ([], 50)
        assert queries <= 50 * 8
    found, queries, count = look("source_changed")
    assert (found.requests, count) == ([], 0)
    assert queries <= 30
    for n in (3, 77, 400):
        shop.write(2, table=f"t{n}", orders=9)
    found, queries, count = look("source_changed")
    assert count == 3
    assert len(found.requests) == 1  # the same day of three views
    assert queries <= 30
    for cause in ("gap", "definition_changed"):
        look(cause)
        found, queries, _ = look(cause)
        assert found.requests == []
        assert queries <= 30
    cursor = None
    for _ in range(13):
        began = time.monotonic()
        with counted() as said:
            fresh = freshness_tick(
                automated,
                shop.instance,
                cursor,
                NOW,
            )
        print("freshness", len(said), "queries,", time.monotonic() - began, "s")  # noqa: T201
        cursor = fresh.cursor
        assert fresh.reported <= 101
    assert fresh.reported == 0
    assert len(said) <= 30
