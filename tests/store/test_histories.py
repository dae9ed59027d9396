"""After any history of a source and its materializations, online is what an oracle says."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sample_repos import SampleRepo, day, online_config, row

from feature_platform.store.materialization import Materialization
from feature_platform.store.materialize import materialize_window
from feature_platform.store.registry import materialized_windows
from feature_platform.store.windows import Window, merge

# Few users, days and moments, so that ties, corrections and removals meet.
USERS = range(2)
DAYS = range(1, 4)
MOMENTS = [
    day(number, hours) + timedelta(microseconds=micro)
    for number in DAYS
    for hours, micro in ((0, 0), (5, 0), (5, 1))
]


@dataclass
class Oracle:
    """By brute force: the rows, the windows, and what has changed since they were read."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    changed: set[datetime] = field(default_factory=set)

    def latest(self, user: int) -> dict[str, Any] | None:
        served = [
            each
            for each in self.rows
            if each["user_id"] == user
            and any(each["event_timestamp"] in window for window in self.windows)
        ]
        return max(served, key=_rank, default=None)

    def dirty(self) -> list[Window]:
        """Windows that hold a changed moment: what an orchestrator would run again."""
        days = {Window(day(number), day(number + 1)) for number in DAYS}
        return [
            window
            for window in sorted(days)
            if any(moment in window for moment in self.changed)
            and any(window.overlaps(other) for other in self.windows)
        ]


def _rank(each: dict[str, Any]) -> tuple[Any, ...]:
    created = each["created"]
    content = tuple((each[name] is not None, each[name] or 0) for name in ("amount", "visits"))
    return (
        each["event_timestamp"],
        created is not None,
        created or day(1),
        content,
        (each["city"] is not None, each["city"] or ""),
    )


rows = st.builds(
    row,
    st.sampled_from(USERS),
    st.sampled_from(MOMENTS),
    st.one_of(st.none(), st.integers(0, 5).map(float)),
    created=st.one_of(st.none(), st.sampled_from([day(7), day(8), day(8, 1)])),
    visits=st.one_of(st.none(), st.integers(-2, 2**53)),
    city=st.sampled_from([None, "", "Köln", "Rome"]),
)
windows = st.tuples(st.sampled_from(DAYS), st.integers(1, 2)).map(
    lambda ends: Window(day(ends[0]), day(min(ends[0] + ends[1], DAYS.stop)))
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(rows, min_size=1, max_size=4)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 5), min_size=1, max_size=3)),
        st.tuples(st.just("vanish"), st.sampled_from(USERS), st.sampled_from(DAYS)),
        st.tuples(st.just("materialize"), windows),
        st.tuples(st.just("materialize"), windows),
        st.tuples(st.just("crash"), windows, st.integers(0, 3)),
        st.tuples(st.just("reopen"), st.none()),
    ),
    min_size=5,
    max_size=12,
)


class _Crash(BaseException):
    """The process ends here."""


def _crash_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the materialization die at its n-th step against the online store."""
    left = [calls]
    for name in ("_begin", "_put", "_replace_vanished", "finish"):
        whole = getattr(Materialization, name)

        def step(self: Any, *args: Any, whole: Any = whole) -> Any:
            if not left[0]:
                raise _Crash
            left[0] -= 1
            return whole(self, *args)

        monkeypatch.setattr(Materialization, name, step)


def _play(repo: SampleRepo, store: FeatureStore, history: list[Any]) -> None:
    oracle = Oracle()
    repo.write([])
    for kind, what, *more in history:
        if kind == "add":
            oracle.rows += what
            oracle.changed |= {each["event_timestamp"] for each in what}
            repo.write(oracle.rows)
        elif kind == "remove":
            for place in what:
                if place < len(oracle.rows):
                    oracle.changed.add(oracle.rows.pop(place)["event_timestamp"])
            repo.write(oracle.rows)
        elif kind == "vanish":
            gone = [
                each
                for each in oracle.rows
                if each["user_id"] == what
                and day(more[0]) <= each["event_timestamp"] < day(more[0] + 1)
            ]
            oracle.rows = [each for each in oracle.rows if each not in gone]
            oracle.changed |= {each["event_timestamp"] for each in gone}
            repo.write(oracle.rows)
        elif kind == "reopen":
            store = repo.open()
        elif kind == "crash":
            with pytest.MonkeyPatch.context() as patched:
                _crash_after(more[0], patched)
                try:
                    materialize_window(store, "user_stats", what.start, what.end)
                except _Crash:
                    store = repo.open()
            _materialize(store, oracle, what)
        else:
            _materialize(store, oracle, what)
    for window in oracle.dirty():
        _materialize(store, oracle, window)
    assert materialized_windows(store, "user_stats") == oracle.windows
    _compare(store, oracle)


def _materialize(store: FeatureStore, oracle: Oracle, window: Window) -> None:
    materialize_window(store, "user_stats", window.start, window.end)
    oracle.windows = merge([*oracle.windows, window])
    oracle.changed = {moment for moment in oracle.changed if moment not in window}


def _compare(store: FeatureStore, oracle: Oracle) -> None:
    features = ("amount", "visits", "city")
    served = store.get_online_features(
        features=[f"user_stats:{name}" for name in features],
        entity_rows=[{"user_id": user} for user in USERS],
    ).to_dict()
    for user in USERS:
        truth = oracle.latest(user) or dict.fromkeys(features)
        assert {name: served[name][user] for name in features} == {
            name: truth[name] for name in features
        }, f"user {user}"


def _run(kind: str, request: pytest.FixtureRequest, tmp_path: Path, examples: int) -> None:
    online = online_config(kind, request)
    count = 0

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # A dozen steps can be read as they are; shrinking replays minutes of materializations.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        print_blob=True,
    )
    @given(history=steps)
    def play(history: list[Any]) -> None:
        nonlocal count
        count += 1
        # A project of its own for every history: nothing online, nothing registered.
        repo = SampleRepo(tmp_path / str(count), online=online, project=f"shop{count}")
        store = repo.applied()
        try:
            _play(repo, store, history)
        finally:
            if kind.startswith(("redis", "guarded_redis")):
                store.teardown()

    play()


@pytest.mark.parametrize("kind", ["sqlite", "guarded_sqlite"])
def test_online_is_the_latest_row_of_what_was_materialized(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _run(kind, request, tmp_path, examples=40)


@pytest.mark.server
@pytest.mark.parametrize("kind", ["redis", "guarded_redis", "redis_cluster", "postgres"])
def test_online_is_the_latest_row_on_a_server_too(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _run(kind, request, tmp_path, examples=60)
