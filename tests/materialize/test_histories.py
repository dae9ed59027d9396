"""After any history of a source and its materializations, online is what an oracle says.

Histories are played by `history_machine`; how many of each kind of online store is printed at the
end of a test run. Each test plays the same ones every time; ``make soak`` plays others.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from worlds.histories.arenas import Arena, around_a_change_of_clocks, lately, one_duckdb
from worlds.histories.machine import play
from worlds.histories.oracle import SHAPES, Calendar
from worlds.histories.victim import Killer
from worlds.sample_repos import SampleRepo, online_config, row, served
from worlds.times import day

from feature_platform.materialize.materialize_window import materialize_window

EMBEDDED = [("sqlite", 500, 2), ("guarded_sqlite", 500, 3), ("unknown_sqlite", 500, 1)]
ON_SERVERS = [
    ("redis", 250, 2),
    ("guarded_redis", 250, 2),
    ("redis_cluster", 75, 1),
    ("guarded_redis_cluster", 75, 1),
    ("postgres", 100, 1),
    ("guarded_postgres", 150, 2),
    ("unknown_postgres", 120, 1),
    ("dynamodb", 120, 1),
]
"""Kind of online store, histories a test, and tests, which processes play side by side."""

# In each, clocks change at 1:00, 2:00 or 3:00, as times in UTC are read there by mistake.
ZONES = {
    "America/New_York in spring": datetime(2025, 3, 9, 1, tzinfo=UTC),
    "America/New_York in autumn": datetime(2025, 11, 2, 0, tzinfo=UTC),
    "Europe/Berlin in spring": datetime(2025, 3, 30, 1, tzinfo=UTC),
    "Europe/Berlin in autumn": datetime(2025, 10, 26, 1, tzinfo=UTC),
    "Australia/Lord_Howe in spring": datetime(2025, 10, 5, 1, tzinfo=UTC),
    "Australia/Lord_Howe in autumn": datetime(2025, 4, 6, 0, tzinfo=UTC),
}


Record = Callable[[str, object], None]


@contextmanager
def _arena(
    kind: str, request: pytest.FixtureRequest, calendar: Calendar | None = None, **more: Any
) -> Iterator[Arena]:
    with one_duckdb():
        arena = Arena(kind, online_config(kind, request), calendar or lately(), **more)
        try:
            yield arena
        finally:
            arena.close()


def _play(arena: Arena, count: int, seed: str, record: Record, **more: Any) -> None:
    played = play(arena, count, zlib.crc32(seed.encode()), **more)
    record(f"histories on {arena.kind}", played)
    # Hypothesis ends early when a space of examples is exhausted, which this one is not.
    assert played >= count


@pytest.mark.parametrize("kind", ["sqlite", "guarded_sqlite"])
def test_online_is_the_latest_row_of_what_was_materialized(
    kind: str, request: pytest.FixtureRequest, record_property: Record
) -> None:
    with _arena(kind, request) as arena:
        _play(arena, 100, kind, record_property)


@pytest.mark.parametrize(
    "kind",
    [
        "sqlite",
        "guarded_sqlite",
        *(pytest.param(each, marks=pytest.mark.server) for each in ("redis", "guarded_postgres")),
    ],
)
def test_online_is_the_latest_row_of_each_version_of_a_view(
    kind: str, request: pytest.FixtureRequest, record_property: Record
) -> None:
    # To apply few views takes less long.
    shapes = [shape for shape in SHAPES if shape.name in {"plain", "expiring", "streamed"}]
    with _arena(kind, request, shapes=shapes, versioned=True) as arena:
        _play(arena, 30, f"{kind} of versions", record_property)


def _parts(kinds: list[tuple[str, int, int]]) -> list[Any]:
    return [
        pytest.param(kind, count, part, id=f"{kind} {part + 1} of {parts}")
        for kind, count, parts in kinds
        for part in range(parts)
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "count", "part"), _parts(EMBEDDED))
def test_in_thousands_of_histories_too(
    kind: str, count: int, part: int, request: pytest.FixtureRequest, record_property: Record
) -> None:
    with _arena(kind, request) as arena:
        _play(arena, count, f"{kind} {part}", record_property)


@pytest.mark.server
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "count", "part"), _parts(ON_SERVERS))
def test_online_is_the_latest_row_on_a_server_too(
    kind: str, count: int, part: int, request: pytest.FixtureRequest, record_property: Record
) -> None:
    with _arena(kind, request) as arena:
        _play(arena, count, f"{kind} {part}", record_property)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("when", ZONES)
def test_online_is_the_latest_row_where_clocks_change(
    when: str,
    request: pytest.FixtureRequest,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", when.split(maxsplit=1)[0])
    time.tzset()
    # Its rows are long past any TTL.
    shapes = tuple(shape for shape in SHAPES if not shape.expires)
    try:
        for kind in ("sqlite", "guarded_sqlite"):
            calendar = around_a_change_of_clocks(ZONES[when])
            with _arena(kind, request, calendar, shapes=shapes) as arena:
                _play(arena, 40, f"{kind} {when}", record_property)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.server
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "guarded_redis", "guarded_postgres"])
def test_online_is_the_latest_row_after_processes_were_killed(
    kind: str, request: pytest.FixtureRequest, record_property: Record
) -> None:
    with _arena(kind, request) as arena, Killer(arena) as killer:
        _play(arena, 25, f"{kind} killed", record_property, crash_with=killer)
        record_property("processes killed in histories", killer.kills)
        assert killer.kills > 0


def test_a_bad_row_of_a_later_window_that_goes_again_hides_nothing(tmp_path: Path) -> None:
    repo = SampleRepo(tmp_path / "repo")
    good, bad = row(1, day(1, 5), 1.0), row(1, day(2, 5), 2.0)
    repo.write([])
    store = repo.applied()
    materialize_window(store, "user_stats", day(2), day(3))
    repo.write([good, bad])
    materialize_window(store, "user_stats", day(1), day(2))
    repo.write([good])
    materialize_window(store, "user_stats", day(2), day(3))
    assert served(store, 1) == [1.0]


def test_a_row_within_the_time_to_live_vanishes_though_an_older_one_is_left(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    repo = SampleRepo(tmp_path / "repo", ttl=timedelta(days=10))
    old, young = row(1, now - timedelta(days=11), 1.0), row(1, now - timedelta(days=9), 2.0)
    repo.write([old, young])
    store = repo.applied()
    start, end = now - timedelta(days=12), now - timedelta(days=8)
    materialize_window(store, "user_stats", start, end)
    assert served(store, 1) == [2.0]
    repo.write([old])
    materialize_window(store, "user_stats", start, end)
    assert served(store, 1) == [None]
