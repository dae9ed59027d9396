"""The online store is lost while models read from it: noticed, rebuilt, read back, resumed."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from worlds.automation.scene import Scene
from worlds.repos import VIEWS
from worlds.runbook import Runbook

if TYPE_CHECKING:
    from worlds.local_servers import RedisServer

CUSTOMERS, DAYS = 8_000, 8
SPENT = (
    VIEWS
    + """
carts = view("carts", table("carts_rows", "carts"), 400, {"spent": Float64}, freshness="3d")
orders = view("orders", table("orders_rows", "orders"), 400, {"spent": Float64}, freshness="3d")
"""
)
STORE = """\
project: shop
provider: local
registry: data/registry.db
offline_store: {{type: duckdb}}
online_store: {online}
batch_engine: {{type: feature_platform.plugins.StreamingComputeEngine}}
entity_key_serialization_version: 3
"""
SQLITE = "{type: feature_platform.plugins.GuardedSqliteOnlineStore, path: data/o.db}"
REDIS = "{{type: feature_platform.plugins.GuardedRedisOnlineStore, connection_string: '{address}'}}"
FEATURES = ["carts:spent", "orders:spent"]
CHECKS = [f"feature_views/{name}#online_equals_offline" for name in ("carts", "orders")]


def write_day(scene: Scene, number: int) -> None:
    """Every fourth customer buys on a day; all of them within four."""
    ids = list(range(number % 4, CUSTOMERS, 4))
    for table in ("carts", "orders"):
        scene.write(table, number, customer=ids, spent=[float(each + number) for each in ids])


@dataclass
class Model:
    """A model server: it asks for a hundred customers, over and over."""

    store: Any
    reads: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    whole_since: float = 0.0  # when the first read began since which every value was there
    stop: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            rows = [{"customer": (number * 97 + each * 199) % CUSTOMERS} for each in range(100)]
            began = time.monotonic()
            try:
                answer = self.store.get_online_features(
                    features=FEATURES, entity_rows=rows, full_feature_names=True
                )
                found = answer.to_dict(include_event_timestamps=False)
            except Exception as error:  # noqa: BLE001 - whatever a model would have to live with
                self.reads["errors"] += 1
                self.errors.append(f"{type(error).__name__}: {error}")
                continue
            values = (*found["carts__spent"], *found["orders__spent"])
            whole = all(value is not None for value in values)
            self.reads["with values" if whole else "with nulls"] += 1
            if not whole:
                self.whole_since = 0.0
            elif not self.whole_since:
                self.whole_since = began


@contextmanager
def serving(scene: Scene) -> Iterator[Model]:
    model = Model(scene.sample.project.store())
    thread = threading.Thread(target=model.poll, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        model.stop.set()
        thread.join()


def await_(met: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 240
    while not met():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def drill(scene: Scene, wipe: Callable[[], object], name: str) -> None:
    page = Runbook("lost-online-store.md")
    for number in range(-DAYS, 0):
        write_day(scene, number)
    # All but yesterday is online; yesterday's schedule has not come yet.
    assets = [f"{kind}/{each}{end}" for each in ("carts", "orders") for kind, end in KINDS]
    scene.materialize(-DAYS, -2, *assets)
    scene.sensor("online")
    scene.tell()
    assert scene.told() == []

    with serving(scene) as model:
        await_(lambda: model.reads["with values"] > 20, "a model that is served")
        before = dict(model.reads)
        assert before.keys() == {"with values"}

        wiped = time.monotonic()
        wipe()

        # The next look of the sensors pages, once a view, with the command that repairs.
        scene.sensor("online")
        scene.tell()
        noticed = time.monotonic()
        assert sorted(scene.told()) == [("open", key) for key in CHECKS]
        message = scene.page(CHECKS[0])
        assert "none of" in message["what"]
        assert message["command"].startswith("feature-platform rebuild-online --repo ")
        assert message["command"].endswith(" --view carts")
        assert message["runbook"] == f"docs/runbooks/{page.page}"
        # Whoever looks again tells nothing new.
        scene.sensor("online")
        scene.tell()
        assert len(scene.told()) == 2
        # A SQLite file that is gone is served on until another takes its place, as for the look.
        await_(lambda: model.reads["with nulls"], "a read that finds nothing")

        # The page's commands, as they stand there.
        assert page.run("feature-platform doctor").code == 0
        with page.start("feature-platform rebuild-online") as rebuild:
            text = rebuild.communicate(timeout=480)[0]
        rebuilt = time.monotonic()
        assert rebuild.returncode == 0, text
        assert text.count("keys compared, all equal") == 2, text
        await_(lambda: model.whole_since > wiped, "a model that is served again")
        recovered = model.whole_since

        # It is over, and told so once.
        scene.sensor("online")
        scene.tell()
        resolved = [("resolve", key) for key in CHECKS]
        assert sorted(scene.told()[2:]) == resolved
        # The next morning is as any other.
        [schedule] = {each.name for each in scene.definitions().schedules or ()}
        assert scene.scheduled(schedule, at=scene.day(0.25)).success
        status = page.run("feature-platform status")
        assert status.code == 0, status.text
        scene.sensor("online")
        scene.tell()
    after = {kind: model.reads[kind] - before.get(kind, 0) for kind in model.reads}
    assert not model.errors, Counter(model.errors)
    assert len(scene.told()) == 4
    print(  # noqa: T201 - what the runbook says of a drill
        json.dumps(
            {
                "drill": f"online store lost ({name})",
                "keys": 2 * CUSTOMERS,
                "noticed_s": round(noticed - wiped, 1),
                "rebuild_command_s": round(rebuilt - noticed, 1),
                "recovery_s": round(recovered - wiped, 1),
                "reads": after,
            }
        )
    )


KINDS = (("sources", "_rows"), ("feature_views", ""))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sqlite_store_whose_file_is_deleted_is_rebuilt_under_load(
    make_scene: Callable[..., Scene],
):
    files = {"views.py": SPENT, "feature_store.yaml": STORE.format(online=SQLITE)}
    scene = make_scene(files, DAYS)

    def wipe() -> None:
        for path in (scene.sample.repo / "data").glob("o.db*"):
            path.unlink()

    drill(scene, wipe, "SQLite")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.server
def test_a_redis_that_comes_back_empty_is_rebuilt_under_load(
    make_scene: Callable[..., Scene], redis_server: "RedisServer"
):
    online = REDIS.format(address=redis_server.address)
    files = {"views.py": SPENT, "feature_store.yaml": STORE.format(online=online)}
    drill(make_scene(files, DAYS), redis_server.client().flushall, "Redis")
