"""Views that Feast computes: the result of brute force, whatever the order of windows."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import BatchFeatureView, FeatureStore, Field, FileSource, PushSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.types import Float64, Int64
from worlds.places import environment
from worlds.sample_repos import GUARDED, UNKNOWN, SampleRepo, online_config, row
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import view_layout
from feature_platform.errors import (
    FeaturePlatformError,
    OnlineStoreError,
    SourceError,
    TransformationError,
)
from feature_platform.materialize.materialize_window import (
    MaterializationResult,
    materialize_window,
)
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.registry.windows_on_record import load_view, materialized_windows

KEY = Field(name="user_id", dtype=Int64)
USERS = (1, 2, 3)
Rows = Sequence[Mapping[str, Any]]


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x=rows["amount"] * 2)


def plus_one(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x=rows["x"] + 1)


def renamed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x=rows["spent"] * 2)


def summed(rows: pd.DataFrame) -> pd.DataFrame:
    times = {"event_timestamp": ("event_timestamp", "max"), "created": ("created", "max")}
    return rows.groupby("user_id", as_index=False).agg(x=("amount", "sum"), **times)


def merged(paid: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    both = paid.merge(seen[["user_id", "visits"]], on="user_id")
    return both.assign(x=both["amount"] + both["visits"])


@dataclass(frozen=True)
class Case:
    """A view `v` with the feature `x`, and what brute force makes of the rows of one window."""

    views: Callable[["Objects"], list[Any]]
    expected: Callable[[Rows], Iterable[tuple[Any, tuple[datetime, datetime], float]]]


@dataclass(frozen=True)
class Objects:
    """What the views of a case are made of."""

    folder: Path
    user: Any

    def source(self, name: str = "stats", **more: Any) -> FileSource:
        more = {
            "path": str(self.folder / "stats.parquet"),
            "timestamp_field": "event_timestamp",
            "created_timestamp_column": "created",
        } | more
        return FileSource(name=name, **more)

    def visits(self) -> FileSource:
        path = str(self.folder / "visits.parquet")
        return FileSource(name="visits", path=path, timestamp_field="seen_at")

    def view(self, name: str, source: Any, features: Mapping[str, Any], **more: Any) -> Any:
        if udf := more.get("udf"):
            more = {"mode": "pandas", "udf_string": udf.__name__} | more
        return BatchFeatureView(
            name=name,
            source=source,
            online=True,
            **{
                "entities": [self.user],
                "schema": [KEY, *(Field(name=each, dtype=kind) for each, kind in features.items())],
            }
            | more,
        )

    def base(self) -> Any:
        return self.view("base", self.source(), {"amount": Float64})


VISITS = [(1, day(1, 3), 10), (2, day(1, 4), 20), (3, day(2, 5), 30), (1, day(3, 1), 40)]


def _transformed(it: Objects) -> list[Any]:
    return [it.view("v", it.source(), {"x": Float64}, udf=doubled)]


def _summed(it: Objects) -> list[Any]:
    return [it.view("v", it.source(), {"x": Float64}, udf=summed)]


def _chained(it: Objects) -> list[Any]:
    base = it.base()
    sink = it.source("first_sink")
    first = it.view("first", [base], {"x": Float64}, udf=doubled, sink_source=sink)
    sink = it.source("second_sink")
    return [base, first, it.view("v", [first], {"x": Float64}, udf=plus_one, sink_source=sink)]


def _renamed(it: Objects) -> list[Any]:
    mapped = it.source("mapped", field_mapping={"amount": "spent"})
    parent = it.view("parent", mapped, {"spent": Float64})
    sink = it.source("sink")
    return [parent, it.view("v", [parent], {"x": Float64}, udf=renamed, sink_source=sink)]


def _joined(it: Objects) -> list[Any]:
    paid = it.view("paid", it.source(), {"x": Float64}, udf=doubled)
    seen = it.view("seen", it.visits(), {"visits": Int64})
    features = {"x": Float64, "visits": Int64}
    return [paid, seen, it.view("v", [paid, seen], features, sink_source=it.source("sink"))]


def _merged(it: Objects) -> list[Any]:
    base, seen = it.base(), it.view("seen", it.visits(), {"visits": Int64})
    sink = it.source("sink")
    return [
        base,
        seen,
        it.view("v", [base, seen], {"x": Float64}, udf=merged, sink_source=sink),
    ]


def _keyless(it: Objects) -> list[Any]:
    field = [Field(name="x", dtype=Float64)]
    return [it.view("v", it.source(), {}, udf=doubled, entities=[], schema=field)]


def latest(rows: Rows) -> dict[Any, Mapping[str, Any]]:
    """The row with the greatest times of each user."""
    found: dict[Any, Mapping[str, Any]] = {}
    for each in rows:
        there = found.get(each["user_id"])
        if there is None or _times(each) > _times(there):
            found[each["user_id"]] = each
    return found


def _times(each: Mapping[str, Any]) -> tuple[datetime, datetime]:
    return each["event_timestamp"], each["created"]


def _of_latest(compute: Callable[[float], float]) -> Any:
    return lambda rows: [
        (user, _times(each), compute(each["amount"])) for user, each in latest(rows).items()
    ]


def _sums(rows: Rows) -> list[tuple[Any, tuple[datetime, datetime], float]]:
    users = {each["user_id"] for each in rows}
    of = {user: [each for each in rows if each["user_id"] == user] for user in users}
    return [
        (
            user,
            (max(r["event_timestamp"] for r in some), max(r["created"] for r in some)),
            sum(r["amount"] for r in some),
        )
        for user, some in of.items()
    ]


def _seen(rows: Rows, user: Any) -> list[tuple[datetime, int]]:
    """What the other table has of a user on the day of these rows."""
    days = {each["event_timestamp"].date() for each in rows}
    return [(at, count) for one, at, count in VISITS if one == user and at.date() in days]


def _join(rows: Rows) -> list[tuple[Any, tuple[datetime, datetime], float]]:
    return [
        (user, (max(each["event_timestamp"], at), each["created"]), each["amount"] * 2)
        for user, each in latest(rows).items()
        for at, _ in _seen(rows, user)
    ]


def _merge(rows: Rows) -> list[tuple[Any, tuple[datetime, datetime], float]]:
    return [
        (user, _times(each), each["amount"] + count)
        for user, each in latest(rows).items()
        for _, count in _seen(rows, user)
    ]


def _newest(rows: Rows) -> list[tuple[Any, tuple[datetime, datetime], float]]:
    found = max(latest(rows).values(), key=_times, default=None)
    return [] if found is None else [(user, _times(found), found["amount"] * 2) for user in USERS]


CASES = {
    "a transformation": Case(_transformed, _of_latest(lambda amount: amount * 2)),
    "a sum of the window": Case(_summed, _sums),
    "a chain": Case(_chained, _of_latest(lambda amount: amount * 2 + 1)),
    "a parent with a field mapping": Case(_renamed, _of_latest(lambda amount: amount * 2)),
    "parents joined": Case(_joined, _join),
    "parents merged by a transformation": Case(_merged, _merge),
    "no entities": Case(_keyless, _newest),
}

BEFORE = [
    row(1, day(1, 5), 3.0),
    row(1, day(1, 2), 1.0),
    row(2, day(1, 9), 5.0),
    row(3, day(2, 1), 8.0),
    row(1, day(2, 7), 10.0),
    row(1, day(3, 4), 12.0),
    row(2, day(3, 3), 6.0),
]
# A late row, a correction under a newer created time beside what it corrects, rows that left.
AFTER = [
    row(1, day(1, 5), 3.0),
    row(1, day(1, 2), 1.0),
    row(1, day(1, 5), 4.0, created=day(1, 6)),
    row(2, day(1, 9), 5.0),
    row(3, day(1, 11), 9.0),
    row(3, day(2, 1), 8.0),
    row(2, day(2, 3), 7.0),
]
ORDERS = [(1, 2, 3), (3, 1, 2), (2, 3, 1), (3, 2, 1), (1, 3, 2), (2, 1, 3)]
# Every order of one case, and of the others one each, which are then different ones.
PLAYED = [
    *(("a transformation", order) for order in ORDERS),
    *zip([name for name in CASES if name != "a transformation"], ORDERS, strict=True),
]


def opened(tmp_path: Path, online: Mapping[str, Any], views: Any, **more: Any) -> Any:
    """The repo and its store, with the views applied."""
    repo = SampleRepo(tmp_path, online=online, views=(), **more)
    visits = {
        "user_id": [user for user, _, _ in VISITS],
        "seen_at": pa.array([at for _, at, _ in VISITS], pa.timestamp("us", "UTC")),
        "visits": [count for _, _, count in VISITS],
    }
    pq.write_table(pa.table(visits), tmp_path / "visits.parquet")
    store = repo.applied()
    store.apply(views(Objects(tmp_path, store.get_entity("user"))))
    return repo, store


def materialized(store: FeatureStore, *days: int) -> list[MaterializationResult]:
    return [materialize_window(store, "v", day(number), day(number + 1)) for number in days]


def served(store: FeatureStore) -> list[Any]:
    rows = [{"user_id": user} for user in USERS]
    return list(store.get_online_features(["v:x"], rows).to_dict()["x"])


def brute_force(case: Case, rows: Rows, *days: int) -> list[float | None]:
    """The row of each user with the greatest times, over windows computed one by one."""
    found: dict[Any, tuple[tuple[datetime, datetime], float]] = {}
    for number in days:
        window = Window(day(number), day(number + 1))
        inside = [each for each in rows if each["event_timestamp"] in window]
        for user, times, value in case.expected(inside):
            if user not in found or times > found[user][0]:
                found[user] = times, value
    return [found[user][1] if user in found else None for user in USERS]


def _play(tmp_path: Path, online: Mapping[str, Any], case: Case, order: tuple[int, ...]) -> None:
    repo, store = opened(tmp_path, online, case.views)
    repo.write(BEFORE)
    done: list[int] = []
    for number in order:
        [result] = materialized(store, number)
        done.append(number)
        assert (result.path, result.rebuild_due) == ("stock", False)
        assert served(store) == brute_force(case, BEFORE, *done)
    repo.write(AFTER)
    again = materialized(store, *order)
    assert served(store) == brute_force(case, AFTER, *order)
    assert not any(result.rebuild_due for result in again)
    assert sum(result.keys_vanished for result in again)
    windows = [Window(day(number), day(number + 1)) for number in (1, 2, 3)]
    compared = compare_online(store, "v", windows)
    assert compared.keys_compared == (
        1 if case.views is _keyless else len(set(USERS)) - (served(store).count(None))
    )
    assert compared.mismatches == ()


@pytest.mark.parametrize(("name", "order"), PLAYED, ids=str)
def test_any_order_serves_what_brute_force_finds(
    tmp_path: Path, name: str, order: tuple[int, ...]
) -> None:
    _play(tmp_path, {"type": GUARDED["sqlite"]}, CASES[name], order)


def test_so_does_feasts_own_sqlite_store(tmp_path: Path) -> None:
    _play(tmp_path, {"type": "sqlite"}, CASES["a sum of the window"], (3, 1, 2))


@pytest.mark.server
@pytest.mark.parametrize("name", ["a transformation", "parents joined", "no entities"])
def test_so_does_redis(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    _play(tmp_path, online_config("guarded_redis", request), CASES[name], (2, 3, 1))


@pytest.mark.parametrize("name", ["a sum of the window", "parents merged by a transformation"])
def test_a_store_that_cannot_name_vanished_keys_says_that_a_rebuild_is_due(
    tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    repo, store = opened(tmp_path, {"type": UNKNOWN["sqlite"]}, case.views)
    repo.write(BEFORE)
    assert not any(result.rebuild_due for result in materialized(store, 3, 1, 2))
    assert served(store) == brute_force(case, BEFORE, 1, 2, 3)
    added = [*BEFORE, row(3, day(3, 8), 2.0)]
    repo.write(added)
    assert all(result.rebuild_due for result in materialized(store, 3, 1))
    assert served(store) == brute_force(case, added, 1, 2, 3)


@pytest.mark.parametrize("offline", ["dask", "feature_platform.plugins.PointInTimeOfflineStore"])
def test_every_offline_store_gives_a_transformation_all_columns(
    tmp_path: Path, offline: str
) -> None:
    case = CASES["a chain"]
    repo, store = opened(tmp_path, {"type": "sqlite"}, case.views, offline=offline)
    repo.write(BEFORE)
    materialized(store, 2, 1)
    assert served(store) == brute_force(case, BEFORE, 1, 2)


@pytest.mark.parametrize("name", ["a transformation", "a sum of the window", "a chain"])
def test_what_is_stored_is_what_feast_itself_would_store(tmp_path: Path, name: str) -> None:
    found = []
    for whose in ("theirs", "ours"):
        repo, store = opened(
            tmp_path / whose, {"type": "sqlite"}, CASES[name].views, offline="dask"
        )
        repo.write(BEFORE)
        if whose == "ours":
            materialized(store, 1)
        else:
            store.materialize(day(1), day(2) - timedelta(microseconds=1), ["v"])
        with sqlite3.connect(tmp_path / whose / "online.db") as online:
            stored = "SELECT entity_key, feature_name, value, event_ts, created_ts FROM shop_v"
            found.append(sorted(online.execute(stored)))
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_what_a_stream_has_pushed_stays_though_the_table_lacks_it(tmp_path: Path) -> None:
    def streamed(it: Objects) -> list[Any]:
        return [
            StreamFeatureView(
                name="v",
                entities=[it.user],
                schema=[KEY, Field(name="x", dtype=Float64)],
                mode="pandas",
                udf=doubled,
                udf_string="doubled",
                source=PushSource(name="pushed", batch_source=it.source()),
                online=True,
            )
        ]

    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, streamed)
    repo.write(BEFORE)
    materialized(store, 1, 2)
    assert served(store) == [20.0, 10.0, 16.0]
    pushed = pd.DataFrame(
        {"user_id": [2], "x": [99.0], "event_timestamp": [day(1, 20)], "created": [day(1, 20)]}
    )
    store.push("pushed", pushed)
    materialized(store, 1, 2)
    assert served(store) == [20.0, 99.0, 16.0]


def test_what_has_outlived_its_ttl_is_neither_written_nor_fallen_back_on(tmp_path: Path) -> None:
    ttl = datetime.now(UTC) - day(2)

    def expiring(it: Objects) -> list[Any]:
        return [it.view("v", it.source(), {"x": Float64}, udf=doubled, ttl=ttl)]

    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, expiring)
    repo.write(BEFORE)
    assert [result.keys_written for result in materialized(store, 1, 2, 3)] == [0, 2, 2]
    assert served(store) == [24.0, 12.0, 16.0]
    repo.write([each for each in BEFORE if each["event_timestamp"] < day(3)])
    [result] = materialized(store, 3)
    assert result.keys_vanished == 2
    assert served(store) == [20.0, None, 16.0]


def test_where_event_times_are_moved_nobody_can_tell_what_has_vanished(tmp_path: Path) -> None:
    def monthly(rows: pd.DataFrame) -> pd.DataFrame:
        start = rows["event_timestamp"].dt.floor("30D")
        return rows.assign(x=rows["amount"], event_timestamp=start)

    def moved(it: Objects) -> list[Any]:
        return [it.view("v", it.source(), {"x": Float64}, udf=monthly)]

    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, moved)
    repo.write(BEFORE)
    assert not any(result.rebuild_due for result in materialized(store, 1, 3))
    assert served(store) == [12.0, 6.0, None]
    [result] = materialized(store, 1)
    assert result.rebuild_due
    # The greater created time decides between equal event times.
    assert served(store) == [12.0, 6.0, None]


def test_of_rows_at_one_moment_the_file_does_not_choose(tmp_path: Path) -> None:
    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, _transformed, created=False)
    tied = [row(1, day(1, 5), amount) for amount in (3.0, 9.0, 4.0)]
    found = set()
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        repo.write([tied[place] for place in order])
        materialized(store, 1)
        found.add(served(store)[0])
    assert found == {18.0}


def test_keys_that_vanished_long_after_the_last_row_are_deleted_and_a_rebuild_is_due(
    tmp_path: Path,
) -> None:
    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, _transformed)
    old = [row(1, day(1, 5), 3.0)]
    repo.write([*old, row(1, day(40, 5), 4.0)])
    materialize_window(store, "v", day(1), day(40))
    materialized(store, 40)
    assert served(store)[0] == 8.0
    repo.write(old)
    [result] = materialized(store, 40)
    assert (result.keys_vanished, result.rebuild_due) == (1, True)
    assert served(store)[0] is None
    materialized(store, 1)
    assert served(store)[0] == 6.0


def test_a_lost_online_store_is_computed_again_window_by_window(tmp_path: Path) -> None:
    case = CASES["a sum of the window"]
    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, case.views)
    repo.write(BEFORE)
    materialized(store, 1, 2, 3)
    with sqlite3.connect(tmp_path / "online.db") as online:
        online.execute("DELETE FROM shop_v")
    assert served(store) == [None, None, None]
    seen: list[tuple[int, int]] = []
    result = rebuild_online(store, "v", progress=lambda done, parts: seen.append((done, parts)))
    assert (result.keys_written, seen) == (3, [(1, 3), (2, 3), (3, 3)])
    assert served(store) == brute_force(case, BEFORE, 1, 2, 3)
    assert compare_online(store, "v").mismatches == ()
    with pytest.raises(OnlineStoreError, match="cannot be put back to 2026-01-02"):
        rebuild_online(store, "v", as_of=day(2))


def test_a_rebuilt_store_knows_again_that_event_times_are_moved(tmp_path: Path) -> None:
    def a_day_on(rows: pd.DataFrame) -> pd.DataFrame:
        moved = rows["event_timestamp"] + pd.Timedelta(days=1)
        return rows.assign(x=rows["amount"], event_timestamp=moved)

    def moved(it: Objects) -> list[Any]:
        return [it.view("v", it.source(), {"x": Float64}, udf=a_day_on)]

    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, moved)
    repo.write([row(1, day(1, 5), 3.0)])
    materialized(store, 1, 2)
    for file in tmp_path.glob("online.db*"):
        file.unlink()
    rebuild_online(store, "v")
    [result] = materialized(store, 2)
    assert served(store) == [3.0, None, None]
    assert result.rebuild_due


def test_once_emptied_and_rebuilt_a_store_forgets_that_event_times_were_moved(
    tmp_path: Path,
) -> None:
    def late_ones_a_day_on(rows: pd.DataFrame) -> pd.DataFrame:
        late = pd.to_timedelta((rows["amount"] > 9).astype(int), unit="D")
        return rows.assign(x=rows["amount"], event_timestamp=rows["event_timestamp"] + late)

    def moved(it: Objects) -> list[Any]:
        return [it.view("v", it.source(), {"x": Float64}, udf=late_ones_a_day_on)]

    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, moved)
    repo.write([row(1, day(1, 5), 10.0)])
    assert [result.rebuild_due for result in materialized(store, 1, 1)] == [False, True]
    repo.write([row(1, day(1, 5), 3.0), row(2, day(1, 6), 4.0)])
    rebuild_online(store, "v", empty_first=True)
    repo.write([row(1, day(1, 5), 3.0)])
    [result] = materialized(store, 1)
    assert (result.rebuild_due, result.keys_vanished) == (False, 1)
    assert served(store) == [3.0, None, None]


def test_what_a_key_falls_back_on_was_computed_from_its_whole_window(tmp_path: Path) -> None:
    ttl = datetime.now(UTC) - day(1, 12)

    def expiring(it: Objects) -> list[Any]:
        return [it.view("v", it.source(), {"x": Float64}, udf=summed, ttl=ttl)]

    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, expiring)
    rows = [row(1, day(1, 6), 1.0), row(1, day(1, 18), 10.0)]
    repo.write([*rows, row(1, day(2, 6), 100.0)])
    materialized(store, 1)
    assert served(store)[0] == 11.0
    materialized(store, 2)
    assert served(store)[0] == 100.0
    repo.write(rows)
    materialized(store, 2)
    assert served(store)[0] == 11.0


def test_a_view_that_cannot_be_computed_is_not_emptied(tmp_path: Path) -> None:
    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, _transformed)
    repo.write(BEFORE)
    materialized(store, 1, 2, 3)
    (tmp_path / "stats.parquet").unlink()
    with pytest.raises(SourceError):
        rebuild_online(store, "v", empty_first=True)
    assert served(store) == [24.0, 12.0, 16.0]


@pytest.mark.parametrize("online", [GUARDED["sqlite"], UNKNOWN["sqlite"]])
def test_a_rebuild_keeps_rows_from_before_1970(tmp_path: Path, online: str) -> None:
    repo, store = opened(tmp_path, {"type": online}, _transformed)
    repo.write([row(1, datetime(1960, 1, 1, 5, tzinfo=UTC), 3.0)])
    first = datetime(1960, 1, 1, tzinfo=UTC)
    materialize_window(store, "v", first, first + timedelta(days=1))
    assert served(store) == [6.0, None, None]
    rebuild_online(store, "v", empty_first=True)
    assert served(store) == [6.0, None, None]


def test_what_a_killed_run_has_computed_is_not_served_after_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, _transformed)
    repo.write(BEFORE)
    materialized(store, 1)
    with monkeypatch.context() as patched:
        patched.setattr("feature_platform.materialize.materialize_window.record_window", killed)
        with pytest.raises(KeyboardInterrupt):
            materialized(store, 2)
    assert served(store) == [20.0, 10.0, 16.0]
    rebuild_online(store, "v")
    assert served(store) == [6.0, 10.0, None]
    with OnlineView(store, view_layout(load_view(store, "v"))) as online:
        assert online.note("attempts") is None


def test_another_engine_writes_where_it_runs_and_the_guarded_store_keeps_the_order(
    tmp_path: Path,
) -> None:
    case, engine = (
        CASES["a chain"],
        {"type": "worlds.unknown_engine.UnknownComputeEngine"},
    )
    online = {"type": GUARDED["sqlite"]}
    repo, store = opened(tmp_path, online, case.views, engine=engine)
    repo.write(BEFORE)
    assert not any(result.rebuild_due for result in materialized(store, 3, 1, 2))
    assert served(store) == brute_force(case, BEFORE, 1, 2, 3)
    assert [result.rebuild_due for result in materialized(store, 1)] == [True]
    assert served(store) == brute_force(case, BEFORE, 1, 2, 3)
    with pytest.raises(OnlineStoreError, match="it cannot be rebuilt here"):
        rebuild_online(store, "v")
    with pytest.raises(TransformationError, match="UnknownComputeEngine' computes it elsewhere"):
        compare_online(store, "v")


def _kept(it: Objects) -> list[Any]:
    base = it.base()
    sink = it.source("sink", path=str(it.folder / "sink.parquet"))
    more = {"udf": _kept_columns, "sink_source": sink, "offline": True}
    return [base, it.view("v", [base], {"x": Float64}, **more)]


def _kept_offline(tmp_path: Path) -> tuple[SampleRepo, FeatureStore, Path]:
    """A derived view that writes to a table too, which is empty."""
    tmp_path.mkdir(exist_ok=True)
    sink, time = tmp_path / "sink.parquet", pa.timestamp("us", "UTC")
    types = {"user_id": pa.int64(), "x": pa.float64(), "event_timestamp": time, "created": time}
    pq.write_table(pa.schema(types).empty_table(), sink)
    repo, store = opened(tmp_path, {"type": "sqlite"}, _kept)
    repo.write(BEFORE)
    return repo, store, sink


def _amounts(sink: Path) -> list[float]:
    return sorted(pq.read_table(sink)["x"].to_pylist())


def test_a_derived_view_that_is_kept_offline_too_is_added_to_its_table_once(
    tmp_path: Path,
) -> None:
    _, store, sink = _kept_offline(tmp_path)
    materialized(store, 1, 1)
    assert _amounts(sink) == [6.0, 10.0]


def test_what_comes_late_is_added_to_the_table_of_a_derived_view_as_well(tmp_path: Path) -> None:
    repo, store, sink = _kept_offline(tmp_path)
    materialized(store, 1, 2, 3)
    assert _amounts(sink) == [6.0, 10.0, 12.0, 16.0, 20.0, 24.0]
    repo.write(AFTER)
    materialized(store, 2, 1)
    # The sink is only ever added to: what was corrected, or has left its source, stays in it.
    assert _amounts(sink) == [6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0]


def test_a_table_that_cannot_be_read_for_a_moment_gets_no_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store, sink = _kept_offline(tmp_path)
    materialized(store, 1)

    def away(*_: Any) -> Any:
        raise SourceError("source 'sink'", "it cannot be read", "try again") from OSError("away")

    with monkeypatch.context() as patched:
        patched.setattr("feature_platform.materialize.computed_sink.open_relation", away)
        with pytest.raises(SourceError, match="source 'sink'") as caught:
            materialized(store, 1)
    assert caught.value.is_transient
    materialized(store, 1)
    assert _amounts(sink) == [6.0, 10.0]


def test_a_table_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    _, store, sink = _kept_offline(tmp_path)
    sink.unlink()
    materialized(store, 1, 1)
    assert _amounts(sink) == [6.0, 10.0]


def test_an_offline_store_that_takes_no_rows_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store, _ = _kept_offline(tmp_path)
    offline = type(store._get_provider().offline_store)

    def refuse(*_: Any) -> None:
        raise NotImplementedError  # as Feast's base class

    monkeypatch.setattr(offline, "offline_write_batch", staticmethod(refuse))
    said = r"cannot be added to its sink_source 'sink' \(NotImplementedError\)"
    with pytest.raises(SourceError, match=said) as caught:
        materialized(store, 1)
    assert not caught.value.is_transient


_KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path

import test_transformed
from worlds.sample_repos import SampleRepo
from feature_platform.materialize import computed_windows, materialize_window

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

for start, end, module, name in (
    ("2026-01-01", "2026-01-02", computed_windows.ComputedWindow, "write_offline"),
    ("2026-01-02", "2026-01-03", materialize_window, "record_window"),
):
    child = os.fork()
    if not child:
        setattr(module, name, kill)
        store = SampleRepo(Path(sys.argv[1]), {"type": "sqlite"}, keep=True).open()
        ends = (datetime.fromisoformat(each + "T00:00:00+00:00") for each in (start, end))
        materialize_window.materialize_window(store, "v", *ends)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def test_a_run_killed_between_its_two_writes_is_made_whole_when_it_runs_again(
    tmp_path: Path,
) -> None:
    _, store, sink = _kept_offline(tmp_path)
    program = [sys.executable, "-W", "ignore", "-c", _KILLED]
    own = environment(Path(__file__).parent)
    subprocess.run([*program, tmp_path], check=True, timeout=120, env=own)
    assert served(store) == [20.0, 10.0, 16.0]
    # Killed after the online write of the one day, and after both of the other.
    assert _amounts(sink) == [16.0, 20.0]
    assert materialized_windows(store, "v") == []
    materialized(store, 1, 2)
    assert _amounts(sink) == [6.0, 10.0, 16.0, 20.0]
    assert served(store) == [20.0, 10.0, 16.0]


def _kept_columns(rows: pd.DataFrame) -> pd.DataFrame:
    doubled = rows.assign(x=rows["amount"] * 2)
    return doubled[["user_id", "x", "event_timestamp", "created"]]


def _as_dict(rows: pd.DataFrame) -> Any:
    return {**rows, "x": [0.0 for _ in rows["amount"]]}


def _broken(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x=rows["ammount"])


def _timeless(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x=1.0)[["user_id", "x", "created"]]


def _untimed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x=1.0, event_timestamp=pd.NaT)


def _worded(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x="much")


def _as_is(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


def _by(udf: Any, mode: str = "pandas") -> Any:
    return lambda it: [it.view("v", it.source(), {"x": Float64}, udf=udf, mode=mode)]


def _aggregated(it: Objects) -> list[Any]:
    return [
        StreamFeatureView(
            name="v",
            entities=[it.user],
            schema=[KEY, Field(name="x", dtype=Float64)],
            timestamp_field="event_timestamp",
            aggregations=[
                Aggregation("amount", "sum", time_window=timedelta(days=1), name="x"),
            ],
            source=PushSource(name="pushed", batch_source=it.source()),
            online=True,
        )
    ]


def _clashing(it: Objects) -> list[Any]:
    one, two = (
        it.view(name, it.source(name), {"x": Float64}, udf=doubled) for name in ("one", "two")
    )
    sink = it.source("sink")
    return [one, two, it.view("v", [one, two], {"x": Float64}, sink_source=sink)]


@pytest.mark.parametrize(
    ("views", "problem", "remedy"),
    [
        (
            _by(_as_dict, "python"),
            "its transformation _as_dict returned dict",
            "let it return a frame (pandas)",
        ),
        (
            _by(_broken),
            "its transformation _broken failed (KeyError: 'ammount')",
            "correct it; it is given a frame with the columns user_id, event_timestamp, created",
        ),
        (
            _by(_as_is),
            "its transformation returns no column 'x' (but amount, city, created, event_timest",
            "return keys, features and the time columns of its source",
        ),
        (_by(_timeless), "its transformation returns no column 'event_timestamp'", "return keys"),
        (_by(_untimed), "the event times that were computed are null in 2 rows", "let its"),
        (_by(_worded), "what was computed does not fit its schema", "declare the types"),
        (
            _aggregated,
            "it cannot be computed: it aggregates, and Feast's local engine has no time windows",
            "compute it in the SQL of its source or in a transformation of mode 'pandas'",
        ),
        (_clashing, "more than one of its parents has a column 'x'", "give it another name"),
    ],
    ids=lambda value: getattr(value, "__name__", "") or None,
)
def test_what_cannot_be_computed_is_said_before_anything_is_written(
    tmp_path: Path, views: Any, problem: str, remedy: str
) -> None:
    repo, store = opened(tmp_path, {"type": GUARDED["sqlite"]}, views)
    repo.write(BEFORE)
    with pytest.raises(TransformationError) as caught:
        materialize_window(store, "v", day(1), day(2))
    assert caught.value.subject == "feature view 'v'"
    assert caught.value.problem.startswith(problem)
    assert caught.value.remedy.startswith(remedy)
    assert materialized_windows(store, "v") == []
    assert served(store) == [None, None, None]


def test_a_missing_table_of_a_parent_is_named(tmp_path: Path) -> None:
    repo, store = opened(tmp_path, {"type": "sqlite"}, _merged)
    repo.write(BEFORE)
    (tmp_path / "visits.parquet").unlink()
    with pytest.raises(FeaturePlatformError, match="source 'visits': there is no Parquet file"):
        materialize_window(store, "v", day(1), day(2))
