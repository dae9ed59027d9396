"""What was put online is to be there still: a store that is lost is noticed between two runs."""

import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from sqlite3 import connect

import dagster as dg
from worlds.automation.shop import ONE, Shop, day

from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.sensors.online_sensor import OnlineTick, check_online
from feature_platform.orchestration.validation.check_declarations import ONLINE
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import Memory, remembered
from feature_platform.registry.windows_on_record import materialized_windows

NOW = day(5.5)
KEPT = ONE.replace("orders, 10)", "orders, 3000)")


def look(shop: Shop, memory: Memory, now: datetime = NOW) -> OnlineTick:
    store = shop.sample.project.store()
    translator = DagsterFeastTranslator()
    graph, settings = shop.sample.graph, shop.settings
    return check_online(
        SensorContext(graph, translator, shop.instance, store, settings, memory, now)
    )


def verdicts(shop: Shop) -> list[tuple[bool, str]]:
    """What the sensor put on record, the oldest first; runs have a number."""
    key = dg.AssetCheckKey(shop.sample.key("feature_views/only"), ONLINE.name)
    records = shop.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    said = []
    for record in reversed(records):
        found = record.evaluation
        if isinstance(found, dg.AssetCheckEvaluation) and not record.run_id:
            said.append((found.passed, str(found.description)))
    return said


def delete(shop: Shop, condition: str) -> None:
    with closing(connect(shop.sample.repo / "data/online_store.db")) as database:
        database.execute(f"DELETE FROM weather_only WHERE {condition}")
        database.commit()


def test_a_store_that_is_as_it_was_left_is_not_spoken_of(make_shop: Callable[..., Shop]):
    shop, memory = make_shop(KEPT, 5), Memory()
    assert look(shop, memory) == OnlineTick(cursor="", lost=(), checked=0)  # nothing is online yet
    shop.materialize(0, 3, "only")
    assert look(shop, memory) == OnlineTick(cursor="", lost=(), checked=1)
    shop.materialize(4, 4, "only")
    assert look(shop, memory) == OnlineTick(cursor="", lost=(), checked=1)
    assert verdicts(shop) == []


def test_a_wiped_store_is_told_once_and_its_return_once(make_shop: Callable[..., Shop]):
    shop, memory = make_shop(KEPT, 5), Memory()
    shop.materialize(0, 4, "only")
    look(shop, memory)
    file = shop.sample.repo / "data/online_store.db"
    kept = connect(":memory:")  # not the file alone: what is newest may be in its log
    with closing(connect(file)) as database:
        database.backup(kept)
    delete(shop, "true")
    for _ in range(3):
        assert look(shop, memory).lost == ("only",)
    [(passed, said)] = verdicts(shop)
    assert not passed
    assert said.startswith("none of 3 keys of the newest window is there: the store was wiped")
    assert "3 differences in 3 of 3 keys" in said
    # Somebody restores it.
    with closing(kept), closing(connect(file)) as database:
        kept.backup(database)
    for _ in range(2):
        assert look(shop, memory).lost == ()
    assert verdicts(shop)[1:] == [(True, "3 of 3 keys compared, all equal")]


def test_a_store_that_evicts_keys_is_told(make_shop: Callable[..., Shop]):
    shop, memory = make_shop(KEPT, 5), Memory()
    shop.materialize(0, 4, "only")
    look(shop, memory)
    delete(shop, "entity_key = (SELECT min(entity_key) FROM weather_only)")
    look(shop, memory)
    [(passed, said)] = verdicts(shop)
    assert not passed
    assert said.startswith("only 2 of 3 keys")


def test_a_store_that_cannot_be_read_is_told_once(make_shop: Callable[..., Shop]):
    shop, memory = make_shop(KEPT, 5), Memory()
    shop.materialize(0, 4, "only")
    look(shop, memory)
    file = shop.sample.repo / "data/online_store.db"
    with closing(connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else its log is read in its place
    kept = file.read_bytes()
    file.write_bytes(b"this is no database" * 100)
    for _ in range(2):
        assert look(shop, memory).lost == ("only",)
    [(passed, said)] = verdicts(shop)
    assert not passed
    assert "it cannot be read: the online store 'sqlite' has a file that is damaged" in said
    file.write_bytes(kept)
    assert look(shop, memory).lost == ()
    assert verdicts(shop)[-1][0]


def test_rows_that_have_outlived_the_ttl_need_not_be_there(make_shop: Callable[..., Shop]):
    shop, memory = make_shop(ONE.replace("orders, 10)", "orders, 2)"), 5), Memory()
    shop.materialize(0, 4, "only")
    delete(shop, "true")
    assert look(shop, memory, day(40)).lost == ()
    assert verdicts(shop) == []


def test_a_key_that_left_the_source_and_was_taken_out_is_not_missed(
    make_shop: Callable[..., Shop],
):
    shop, memory = make_shop(KEPT, 5), Memory()
    shop.materialize(0, 4, "only")
    look(shop, memory)
    for number in range(5):
        os.truncate(shop.sample.repo / f"data/orders/{number:03}.parquet", 0)
        (shop.sample.repo / f"data/orders/{number:03}.parquet").unlink()
    shop.write(4)
    [window] = materialized_windows(shop.sample.project.store(), "only")
    assert window.end == day(5)
    assert look(shop, memory).lost == ()


def test_the_sensor_keeps_what_it_knows_and_says_what_it_saw(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE, 5)
    shop.materialize(0, 4, "only")
    defs = shop.sample.definitions(automation=shop.settings)
    [sensor] = [each for each in defs.sensors or () if each.name == "weather_online"]
    said = []
    for _ in range(2):
        context = dg.build_sensor_context(instance=shop.instance)
        said.append(sensor.evaluate_tick(context).skip_message)  # type: ignore[union-attr]
    # The days are long past, and the TTL is ten: nothing has to be there.
    assert said == ["1 views checked"] * 2
    home = Path(shop.instance.root_directory)
    with remembered(home, shop.sample.project, "online") as memory:
        assert memory.online["only"].seen
