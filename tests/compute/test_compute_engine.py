"""The compute engine and store classes as Feast plug-ins, without the rest."""

from datetime import timedelta
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Float64
from worlds.sample_repos import GUARDED, SampleRepo, row, served
from worlds.times import day

from feature_platform.compute import compute_engine
from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.sources.window_digests import window_digests

ENGINE = {"type": "feature_platform.plugins.StreamingComputeEngine"}


@pytest.fixture
def streaming(tmp_path: Any) -> SampleRepo:
    return SampleRepo(tmp_path, engine=ENGINE, online={"type": GUARDED["sqlite"]})


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[ViewLayout]:
    used: list[ViewLayout] = []
    whole = compute_engine.view_layout

    def counted(view: Any) -> ViewLayout:
        used.append(whole(view))
        return used[-1]

    monkeypatch.setattr(compute_engine, "view_layout", counted)
    return used


def test_feast_materialize_streams_through_it(
    streaming: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = _counted(monkeypatch)
    streaming.write([row(1, day(1), 1.0), row(1, day(2), 2.0), row(2, day(3), 3.0)])
    store = streaming.applied()
    store.materialize(day(1), day(2))
    assert served(store, 1, 2) == [2.0, None]  # Feast's windows hold both ends
    store.materialize_incremental(end_date=day(4))
    assert served(store, 1, 2) == [2.0, 3.0]
    assert [layout.name for layout in used] == ["user_stats", "user_stats"]


def test_an_older_window_does_not_go_back_in_time(streaming: SampleRepo) -> None:
    streaming.write([row(1, day(1), 1.0), row(1, day(3), 3.0)])
    store = streaming.applied()
    store.materialize(day(3), day(4))
    store.materialize(day(1), day(2))
    assert served(store, 1) == [3.0]


def test_a_view_without_entities_which_stock_feast_cannot_write(streaming: SampleRepo) -> None:
    streaming.write([row(1, day(1), 1.0)])
    store = streaming.applied()
    view = FeatureView(
        name="totals", schema=[Field(name="amount", dtype=Float64)], source=streaming.source
    )
    store.apply([view])
    store.materialize(day(1), day(2), feature_views=["totals"])
    answer = store.get_online_features(["totals:amount"], [{"__dummy_id": ""}]).to_dict()
    assert answer["amount"] == [1.0]


def test_what_is_written_offline_too_goes_the_way_of_feast(
    streaming: SampleRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = _counted(monkeypatch)
    streaming.write([row(1, day(1), 1.0)])
    store = streaming.applied()
    view = store.get_feature_view("user_stats")
    view.enable_validation = True
    store.apply([view])
    store.materialize(day(1), day(2))
    assert served(store, 1) == [1.0]
    assert used == []


def test_an_error_of_the_source_ends_the_run(streaming: SampleRepo) -> None:
    store = streaming.applied()
    (streaming.folder / "stats.parquet").unlink()
    with pytest.raises(Exception, match="there is no Parquet file"):
        store.materialize(day(1), day(2))


def test_an_incremental_run_that_would_begin_after_its_end_does_nothing(
    streaming: SampleRepo,
) -> None:
    streaming.ttl = timedelta(hours=1)  # Feast begins at the present less the TTL
    streaming.write([row(1, day(1), 1.0)])
    store = streaming.applied()
    store.materialize_incremental(end_date=day(2))
    assert served(store, 1) == [None]


@pytest.mark.parametrize("engine", [ENGINE, "local"])
def test_times_may_be_named_as_the_field_mapping_names_them(tmp_path: Any, engine: Any) -> None:
    repo = SampleRepo(tmp_path, engine=engine)
    repo.write([row(1, day(1), 1.0), row(1, day(1), 2.0, created=day(2)), row(1, day(3), 3.0)])
    source = repo.source
    source.field_mapping = {"event_timestamp": "ts", "created": "made"}
    source.timestamp_field, source.created_timestamp_column = "ts", "made"
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="user_stats",
        entities=[user],
        schema=[Field(name="amount", dtype=Float64)],
        source=source,
    )
    store = repo.open()
    store.apply([user, source, view])
    store.materialize(day(1), day(2))
    assert served(store, 1) == [2.0]
    materialize_window(store, "user_stats", day(1), day(4))
    assert served(store, 1) == [3.0]
    assert compare_online(store, "user_stats").mismatches == ()
    assert rebuild_online(store, "user_stats").keys_written == 1
    days = [Window(day(1), day(2))]
    assert window_digests(store, source, days) == window_digests(
        store, source, days, exclude=["created"]
    )
