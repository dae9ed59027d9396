"""What a service serves against what it is trained on: every cause of a difference, found."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    RequestSource,
    ValueType,
)
from feast.data_source import PushMode
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float64, Int64, String

from feature_platform.errors import OnlineStoreError, RegistryError
from feature_platform.statistics import compare
from feature_platform.store import skew
from feature_platform.store.materialize import materialize_window
from feature_platform.store.skew import FeatureSkew, ServiceSkew, SkewThresholds, service_skew
from feature_platform.store.skew_parity import Cause, parity
from feature_platform.store.skew_requests import sampled_requests
from feature_platform.store.skew_service import served_service
from feature_platform.store.skew_truth import training_truth
from feature_platform.store.skew_values import python_value
from feature_platform.store.skew_verdict import judged
from feature_platform.store.windows import Window

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
TIME = pa.timestamp("us", "UTC")
USERS = range(1, 61)
ENTITIES = {
    "user_id": Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64),
    "shop": Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING),
}


def ago(days: float) -> datetime:
    return TODAY - timedelta(days=days)


def user_rows(days: Sequence[int] = (3, 2, 1)) -> dict[str, list[Any]]:
    """Sixty users, a row a day at noon; every seventh without an amount, every fifth with none."""
    rows = [(user, day) for day in days for user in USERS]
    return {
        "user_id": [user for user, _ in rows],
        "ts": [ago(day - 0.5) for _, day in rows],
        "created": [ago(day - 0.6) for _, day in rows],
        "amount": [None if u % 7 == 0 else 10.0 * u + d for u, d in rows],
        "visits": [0 if u % 5 == 0 else u for u, _ in rows],
        "city": [("SEL", "TYO", "NYC")[u % 3] for u, _ in rows],
        "scores": [[float(u), float(d)] if u % 4 else None for u, d in rows],
    }


def write(path: Path, columns: Mapping[str, Any]) -> None:
    types = {"ts": TIME, "created": TIME, "scores": pa.list_(pa.float64()), "amount": pa.float64()}
    arrays = {name: pa.array(values, types.get(name)) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path, use_compliant_nested_type=False)


@dataclasses.dataclass
class Shop:
    """A Feast store of users, pairs of users and shops, and services on them."""

    folder: Path
    ttl: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        write(self.folder / "users.parquet", user_rows())
        pairs = [(user, shop) for user in range(1, 41) for shop in ("a", "b") if user % 2]
        write(
            self.folder / "pairs.parquet",
            {
                "user_id": [user for user, _ in pairs],
                "shop": [shop for _, shop in pairs],
                "ts": [ago(1.2)] * len(pairs),
                "orders": [user + len(shop) for user, shop in pairs],
            },
        )
        shops = {"shop": ["a", "b", "c"], "ts": [ago(1.5)] * 3, "rating": [4.0, 3.0, 5.0]}
        write(self.folder / "shops.parquet", shops)

    def source(self, name: str, *, created: bool = False) -> FileSource:
        return FileSource(
            name=name,
            path=str(self.folder / f"{name}.parquet"),
            timestamp_field="ts",
            created_timestamp_column="created" if created else "",
        )

    def open(self) -> FeatureStore:
        return FeatureStore(
            config=RepoConfig(
                project="shop",
                provider="local",
                registry=str(self.folder / "registry.db"),
                online_store={"type": "sqlite", "path": str(self.folder / "online.db")},
                offline_store={"type": "duckdb"},
                entity_key_serialization_version=3,
                repo_path=self.folder,
            )
        )

    def view(self, name: str, keys: Sequence[str], source: Any, **fields: Any) -> FeatureView:
        return FeatureView(
            name=name,
            entities=[ENTITIES[key] for key in keys],
            schema=[Field(name=field, dtype=dtype) for field, dtype in fields.items()],
            source=source,
            ttl=self.ttl,
        )

    @property
    def users(self) -> FeatureView:
        return self.view(
            *("users", ["user_id"], self.source("users", created=True)),
            amount=Float64,
            visits=Int64,
            city=String,
            scores=Array(Float64),
        )

    @property
    def pairs(self) -> FeatureView:
        return self.view("pairs", ["user_id", "shop"], self.source("pairs"), orders=Int64)

    @property
    def shops(self) -> FeatureView:
        return self.view("shops", ["shop"], self.source("shops"), rating=Float64)

    def apply(self, service: FeatureService, *objects: Any) -> FeatureStore:
        store = self.open()
        store.apply([*ENTITIES.values(), *objects, service])
        return self.open()

    def materialize(self, view: str, first: float = 3, last: float = 0) -> None:
        materialize_window(self.open(), view, ago(first), ago(last))

    def skew(self, service: str = "model", **arguments: Any) -> dict[str, FeatureSkew]:
        return {each.name: each for each in self.found(service, **arguments).features}

    def found(self, service: str = "model", **arguments: Any) -> ServiceSkew:
        return service_skew(self.open(), service, **arguments)

    def overwrite(self, users: Sequence[int], day: int = 1, **values: Any) -> None:
        """What somebody else writes online, at the event time of the day's own row."""
        rows = pd.DataFrame(user_rows((day,))).astype({"amount": object})
        rows = rows[rows.user_id.isin(users)]
        for name, value in values.items():
            rows[name] = [value] * len(rows)
        self.open().write_to_online_store("users", rows)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def served(shop: Shop) -> Shop:
    """Users, materialized whole, and a service on them."""
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users")
    return shop


def counts(found: FeatureSkew) -> dict[str, int]:
    assert found.parity is not None
    return dict(found.parity.counts)


def test_what_is_served_as_trained_passes_and_says_how_much_was_compared(served: Shop):
    found = served.found()
    assert [each.verdict for each in found.features] == ["ok"] * 4
    assert found.populations == {"users": 60}
    assert found.features[0].sentence == (
        "users__amount: 100.00% of 60 values are served as trained, 0.00% are wrong "
        "(threshold 1.00%)."
    )
    assert [each.statistic("psi") for each in found.features[:2]] == [0.0, 0.0]
    assert found.features[0].statistic("ks") == 0.0


def test_keys_are_real_and_their_choice_can_be_repeated(served: Shop):
    store = served.open()
    service = served_service(store, "model")

    def drawn(seed: int) -> list[Any]:
        moment = datetime.now(UTC)
        asked = sampled_requests(store, service, moment=moment, limit=20, seed=seed, data={})
        return list(asked.keys["user_id"])

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 20
    assert set(drawn(1)) | set(drawn(2)) <= set(USERS)


def test_only_keys_that_are_online_are_asked_for(shop: Shop):
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    rows = user_rows()
    rows["user_id"] = [
        u + 100 if ts < ago(2) else u
        for u, ts in zip(*map(rows.get, ("user_id", "ts")), strict=True)
    ]
    write(shop.folder / "users.parquet", rows)
    shop.materialize("users", 1, 0)
    found = shop.found()
    assert found.populations == {"users": 60}
    assert all(each.verdict == "ok" for each in found.features)


def test_training_truth_is_what_feast_joins_point_in_time(shop: Shop):
    """Random moments, ties broken by created time, TTL, aliases, keys of two, nulls, lists."""
    shop.ttl = timedelta(days=2)
    random = np.random.default_rng(7)
    days = random.integers(0, 6, 400) + random.integers(0, 4, 400) / 4
    users = random.integers(1, 30, 400)
    write(
        shop.folder / "users.parquet",
        {
            "user_id": users.tolist(),
            "ts": [ago(float(day)) for day in days],
            "created": [ago(float(day)) + timedelta(minutes=i) for i, day in enumerate(days)],
            "amount": [None if i % 9 == 0 else float(i) for i in range(400)],
            "visits": list(range(400)),
            "city": [("SEL", "TYO", None)[i % 3] for i in range(400)],
            "scores": [[float(i), 1.0] for i in range(400)],
        },
    )
    friend = shop.users[["amount", "city"]].with_name("friend")
    service = FeatureService(
        name="model",
        features=[
            shop.users.with_name("me"),
            shop.pairs,
            friend.with_join_key_map({"user_id": "friend_id"}),
        ],
    )
    store = shop.apply(service, shop.users, shop.pairs)
    moments = [ago(float(day)) for day in random.uniform(0, 5, 50)]
    asked = {
        "user_id": random.integers(1, 32, 50).tolist(),
        "friend_id": random.integers(1, 32, 50).tolist(),
        "shop": random.choice(["a", "b", "c"], 50).tolist(),
    }
    resolved = served_service(store, "model")
    requests = dataclasses.replace(
        sampled_requests(store, resolved, moment=TODAY, limit=1, seed=0, data={}),
        moments=tuple(moments),
        keys=asked,
    )
    truth = training_truth(store, resolved, requests)
    frame = pd.DataFrame({**asked, "event_timestamp": moments, "row": range(50)})
    expected = (
        store.get_historical_features(
            frame, store.get_feature_service("model"), full_feature_names=True
        )
        .to_df()
        .sort_values("row")
    )
    assert len(expected) == 50
    held = 0
    for name, cells in truth.cells.items():
        for ours, theirs in zip(map(python_value, cells), expected[name], strict=True):
            if isinstance(theirs, np.ndarray):
                assert ours == theirs.tolist()
            else:
                assert ours == (None if pd.isna(theirs) else theirs), name
            held += ours is not None
    assert held > 100


def test_an_online_store_that_was_lost_is_skew_in_every_feature(served: Shop):
    (served.folder / "online.db").unlink()
    served.apply(FeatureService(name="model", features=[served.users]), served.users)
    found = served.skew()
    assert {each.verdict for each in found.values()} == {"drift"}
    assert counts(found["users__visits"]) == {"null": 60}
    # Training has a row without an amount there, which is served just so.
    assert counts(found["users__amount"]) == {"null": 52, "match": 8}
    assert "52 null on one side" in found["users__amount"].sentence


def test_a_few_wrong_values_warn_and_many_are_an_error(served: Shop):
    served.overwrite([8], amount=-1.0)
    assert served.skew(thresholds=SkewThresholds(mismatch=0.02))["users__amount"].verdict == "warn"
    served.overwrite([8, 9, 11], amount=-1.0)
    found = served.skew(thresholds=SkewThresholds(mismatch=0.02))
    assert found["users__amount"].verdict == "drift"
    assert counts(found["users__amount"]) == {"match": 57, "value": 3}
    assert found["users__city"].verdict == "ok"
    example = found["users__amount"].parity.examples[0]
    assert (example.served, example.cause) == (-1.0, "value")
    assert example.training == 10.0 * example.key["user_id"] + 1


def test_a_default_in_place_of_nothing_is_told_from_another_value(served: Shop):
    served.overwrite([7, 14], amount=0.0)
    served.overwrite([1, 2], visits=0)
    found = served.skew()
    assert counts(found["users__amount"]) == {"match": 58, "default": 2}
    assert counts(found["users__visits"]) == {"match": 58, "default": 2}
    assert "2 a default on one side" in found["users__visits"].sentence


def test_what_is_not_due_yet_is_stale_and_what_is_overdue_is_late(shop: Shop):
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users", 3, 1)
    calm = shop.skew(allowed_lag={"users": timedelta(days=2)})
    assert counts(calm["users__amount"]) == {"match": 8, "stale": 52}
    assert "60 served from older rows, by 24 hours in the median" in calm["users__amount"].sentence
    assert calm["users__city"].verdict == "ok"
    overdue = shop.skew(allowed_lag={"users": timedelta(hours=1)})
    assert counts(overdue["users__amount"]) == {"match": 8, "late": 52}
    assert overdue["users__amount"].verdict == "drift"
    assert "52 should be newer by now" in overdue["users__amount"].sentence


def test_a_key_with_a_row_too_new_to_be_online_is_late_for_the_one_before_it(shop: Shop):
    rows = user_rows()
    for name, column in rows.items():
        column.append(column[-1] if name not in ("ts", "created") else datetime.now(UTC))
    write(shop.folder / "users.parquet", rows)
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users", 3, 1)
    late = shop.skew(allowed_lag={"users": timedelta(hours=1)})["users__amount"]
    assert counts(late) == {"match": 8, "late": 52}
    shop.materialize("users", 1, 0)
    found = shop.skew(allowed_lag={"users": timedelta(hours=1)})["users__amount"]
    assert (found.verdict, len(found.parity.lags)) == ("ok", 1)


def test_a_stale_value_that_is_wrong_besides_is_wrong(shop: Shop):
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users", 3, 1)
    shop.overwrite([1, 2, 3], day=2, amount=-5.0)
    assert counts(shop.skew()["users__amount"]) == {"match": 8, "stale": 49, "value": 3}


def test_a_row_that_was_materialized_and_is_not_served_is_wrong_however_new(served: Shop):
    served.overwrite([1, 2], day=3, amount=13.0)
    store = served.open()
    for user in (1, 2):
        row = store.get_online_features(["users:amount"], [{"user_id": user}]).to_dict()
        assert row["amount"] == [13.0]
    found = served.skew(allowed_lag={"users": timedelta(days=30)})
    assert counts(found["users__amount"]) == {"match": 58, "value": 2}


def test_what_is_served_beyond_its_ttl_is_told_and_does_not_alarm(shop: Shop):
    shop.ttl = timedelta(hours=36)
    rows = user_rows((3, 2))
    for name, column in user_rows((1,)).items():
        rows[name] += [each for each, user in zip(column, USERS, strict=True) if user <= 50]
    write(shop.folder / "users.parquet", rows)
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users")
    shop.overwrite(range(51, 61), day=2)
    found = shop.skew()["users__amount"]
    assert counts(found) == {"match": 50, "expired": 9, "absent": 1}
    assert found.verdict == "ok"
    assert "9 older than the TTL, where training has null" in found.sentence


def test_a_value_pushed_since_is_ahead(shop: Shop):
    pushed = PushSource(name="pushed", batch_source=shop.source("users", created=True))
    view = shop.view("users", ["user_id"], pushed, amount=Float64, visits=Int64)
    shop.apply(FeatureService(name="model", features=[view]), view)
    shop.materialize("users")
    now = pd.DataFrame({"user_id": [1, 2], "ts": [ago(-0.01)] * 2, "created": [ago(-0.01)] * 2})
    shop.open().push("pushed", now.assign(amount=7.5, visits=[1, 2]), to=PushMode.ONLINE)
    found = shop.skew()
    assert counts(found["users__amount"]) == {"match": 58, "ahead": 2}
    assert counts(found["users__visits"]) == {"match": 60}
    assert found["users__amount"].verdict == "ok"


def test_a_type_that_changed_without_a_rebuild_is_skew(served: Shop):
    changed = served.view(
        "users", ["user_id"], served.source("users", created=True), visits=Float64
    )
    rows = user_rows()
    rows["visits"] = [float(each) for each in rows["visits"]]
    write(served.folder / "users.parquet", rows)
    served.apply(FeatureService(name="model", features=[changed]), changed)
    found = served.skew()["users__visits"]
    assert counts(found) == {"type": 60}
    assert "60 of another type" in found.sentence
    assert found.verdict == "drift"


def test_a_source_of_another_type_than_declared_cannot_be_compared_and_says_so(served: Shop):
    rows = user_rows()
    rows["visits"] = ["many"] * len(rows["visits"])
    write(served.folder / "users.parquet", rows)
    found = served.skew()["users__visits"]
    assert found.verdict == "insufficient"
    assert "users:visits" in found.sentence
    assert "no INT64" in found.sentence


def test_a_correction_that_is_written_between_the_two_readings_is_no_skew(
    served: Shop, monkeypatch: pytest.MonkeyPatch
):
    read, readings = skew.served_online, []

    def read_and_correct(*arguments: Any) -> Any:
        answers = read(*arguments)
        readings.append(answers)
        if len(readings) == 1:
            rows = user_rows()
            rows["amount"] = [value and value + 1 for value in rows["amount"]]
            write(served.folder / "users.parquet", rows)
            served.materialize("users")
        return answers

    monkeypatch.setattr(skew, "served_online", read_and_correct)
    assert {each.verdict for each in served.skew().values()} == {"ok"}
    assert len(readings) == 2


def test_views_of_different_keys_are_asked_with_pairs_that_exist(shop: Shop):
    service = FeatureService(name="model", features=[shop.users, shop.pairs, shop.shops])
    shop.apply(service, shop.users, shop.pairs, shop.shops)
    for view in ("users", "pairs", "shops"):
        shop.materialize(view)
    found = shop.found()
    assert found.populations == {"users": 60, "pairs": 40, "shops": 3}
    by_name = {each.name: each for each in found.features}
    assert {each.verdict for each in by_name.values()} == {"ok"}
    # Pairs that no source holds count for nothing, and every shop is asked for once.
    assert counts(by_name["pairs__orders"])["match"] >= 35
    assert counts(by_name["shops__rating"]) == {"match": 3}
    assert counts(by_name["users__city"])["match"] == 60


def test_keys_without_rows_count_for_nothing(shop: Shop):
    """Half of the users have no pair; neither side has anything of them."""
    service = FeatureService(name="model", features=[shop.users, shop.pairs])
    shop.apply(service, shop.users, shop.pairs)
    shop.materialize("users")
    shop.materialize("pairs")
    found = counts(shop.skew()["pairs__orders"])
    assert found["absent"] > 0
    assert set(found) == {"absent", "match"}


def test_lists_and_nan_are_compared_as_they_are_trained(served: Shop):
    rows = user_rows()
    rows["amount"] = [float("nan") if each is None else each for each in rows["amount"]]
    write(served.folder / "users.parquet", rows)
    served.overwrite([1], scores=[1.0, 9.0])
    found = served.skew()
    assert counts(found["users__amount"]) == {"match": 60}
    assert counts(found["users__scores"]) == {"match": 59, "value": 1}


def test_a_view_that_is_not_materialized_cannot_be_compared_and_the_others_are(shop: Shop):
    service = FeatureService(name="model", features=[shop.users, shop.shops])
    shop.apply(service, shop.users, shop.shops)
    shop.materialize("users")
    found = shop.skew()
    assert found["users__visits"].verdict == "ok"
    assert found["shops__rating"].verdict == "insufficient"
    assert "nothing of 'shops' is online" in found["shops__rating"].sentence


def test_a_service_of_which_nothing_is_online_cannot_be_compared(shop: Shop):
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    assert {each.verdict for each in shop.skew().values()} == {"insufficient"}


def test_a_view_that_is_not_served_is_said_to_be_and_the_others_are_compared(shop: Shop):
    hidden = shop.pairs
    hidden.online = False
    shop.apply(FeatureService(name="model", features=[shop.users, hidden]), shop.users, hidden)
    shop.materialize("users")
    found = shop.skew()
    assert found["users__visits"].verdict == "ok"
    assert found["pairs__orders"].verdict == "insufficient"
    assert "online=False" in found["pairs__orders"].sentence


def test_a_view_without_entities_is_compared_once(shop: Shop):
    weather = {"ts": [ago(2.5), ago(0.5)], "celsius": [3.0, 4.5], "sky": ["clear", None]}
    write(shop.folder / "weather.parquet", weather)
    view = shop.view("weather", [], shop.source("weather"), celsius=Float64, sky=String)
    for service in (
        FeatureService(name="model", features=[view]),
        FeatureService(name="both", features=[view, shop.users]),
    ):
        shop.apply(service, view, shop.users)
    shop.materialize("weather")
    shop.materialize("users")
    for service in ("model", "both"):
        found = shop.skew(service)
        assert counts(found["weather__celsius"]) == {"match": 1}
        assert found["weather__celsius"].parity.served == (4.5,)
        assert counts(found["weather__sky"]) == {"match": 1}


def test_labels_and_views_computed_on_writing_are_said_to_have_no_truth(shop: Shop):
    from feast.labeling.label_view import LabelView

    pushed = PushSource(name="labels", batch_source=shop.source("users", created=True))
    labels = LabelView(
        name="labels",
        entities=[ENTITIES["user_id"]],
        schema=[Field(name="user_id", dtype=Int64), Field(name="quality", dtype=Float64)],
        source=pushed,
    )
    users = shop.users

    @on_demand_feature_view(
        sources=[users[["visits"]]],
        schema=[Field(name="stored", dtype=Int64)],
        write_to_online_store=True,
        entities=[ENTITIES["user_id"]],
    )
    def written(inputs: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({"stored": inputs["visits"]})

    shop.apply(
        FeatureService(name="model", features=[users, labels, written]), users, labels, written
    )
    shop.materialize("users")
    found = shop.skew()
    assert "labels are pushed to it" in found["labels__quality"].sentence
    assert "computed when it is written" in found["written__stored"].sentence
    assert found["users__visits"].verdict == "ok"


def test_a_service_that_is_not_registered_is_named(served: Shop):
    with pytest.raises(RegistryError, match=r"feature service 'nobody'.*apply the repo"):
        served.found("nobody")


def test_a_view_that_is_gone_from_the_registry_is_named(served: Shop):
    store = served.open()
    store.registry.delete_feature_view("users", "shop")
    with pytest.raises(RegistryError, match=r"feature service 'model'.*users"):
        served.found()


def test_an_online_store_that_cannot_be_read_is_an_error(served: Shop):
    for path in served.folder.glob("online.db*"):
        path.unlink()
    (served.folder / "online.db").mkdir()
    with pytest.raises(
        OnlineStoreError, match=r"feature service 'model': reading it online failed"
    ):
        served.found()


def test_a_source_that_cannot_be_read_leaves_the_other_views_compared(shop: Shop):
    service = FeatureService(name="model", features=[shop.users, shop.pairs])
    shop.apply(service, shop.users, shop.pairs)
    shop.materialize("users")
    shop.materialize("pairs")
    (shop.folder / "pairs.parquet").write_bytes(b"no parquet")
    found = shop.skew()
    assert found["users__visits"].verdict == "ok"
    assert found["pairs__orders"].verdict == "insufficient"
    assert "source 'pairs'" in found["pairs__orders"].sentence


def test_served_distributions_are_measured_against_training(shop: Shop):
    rows = user_rows((2, 1))
    rows["amount"] = [
        value and value * 3 if ts > ago(1) else value
        for value, ts in zip(rows["amount"], rows["ts"], strict=True)
    ]
    write(shop.folder / "users.parquet", rows)
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users", 2, 1)
    found = shop.skew()["users__amount"]
    # All of it is stale and not due, and yet a model sees a third of what it was trained on.
    assert found.verdict == "drift"
    assert found.statistic("ks") > 0.5
    assert found.statistic("psi") > 0.5
    assert "Kolmogorov-Smirnov distance" in found.sentence


# ------------------------------------------------------------------------------------- on demand


def on_demand_service(
    shop: Shop, function: Callable[..., Any], mode: str = "pandas", *, whole: bool = True
) -> None:
    request = RequestSource(name="request", schema=[Field(name="factor", dtype=Float64)])
    users = shop.users
    view = on_demand_feature_view(
        sources=[users[["amount", "visits"]], request],
        schema=[Field(name="weighted", dtype=Float64)],
        mode=mode,
    )(function())
    asked = [users, view] if whole else [view]
    shop.apply(FeatureService(name="model", features=asked), users, view)
    shop.materialize("users")


# Feast changes the function it is given, so that each test needs one of its own.
def weighted() -> Callable[..., Any]:
    def weighted(inputs: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        out = pd.DataFrame()
        out["weighted"] = inputs["amount"] * inputs["factor"] + inputs["visits"]
        return out

    return weighted


def weighted_in_python() -> Callable[..., Any]:
    def weighted(inputs: dict[str, Any]) -> dict[str, Any]:
        amounts = [0.0 if each is None else each for each in inputs["amount"]]
        return {"weighted": [a * f for a, f in zip(amounts, inputs["factor"], strict=True)]}

    return weighted


def dice() -> Callable[..., Any]:
    def dice(inputs: pd.DataFrame) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        out = pd.DataFrame()
        out["weighted"] = np.random.default_rng().normal(size=len(inputs)) + inputs["amount"]
        return out

    return dice


@pytest.mark.parametrize(
    ("function", "mode"), [(weighted, "pandas"), (weighted_in_python, "python")]
)
@pytest.mark.parametrize("whole", [True, False])
def test_on_demand_features_are_computed_both_ways(
    shop: Shop, function: Callable[..., Any], mode: str, *, whole: bool
):
    on_demand_service(shop, function, mode, whole=whole)
    found = shop.found()
    by_name = {each.name: each for each in found.features}
    assert by_name["weighted__weighted"].verdict == "ok"
    assert counts(by_name["weighted__weighted"]) == {"match": 60}
    assert found.notes == ("request data (factor) was drawn by type; both sides got the same",)


def test_request_data_is_the_users(shop: Shop):
    on_demand_service(shop, weighted)
    found = shop.found(request_data={"factor": [0.0]})
    assert found.notes == ()
    computed = next(each for each in found.features if each.name == "weighted__weighted")
    values = {value for value in computed.parity.served if value is not None}
    assert values <= set(map(float, USERS)) | {0.0}


def test_a_transformation_that_computes_otherwise_when_serving_is_skew(shop: Shop):
    on_demand_service(shop, dice)
    found = shop.skew()
    assert found["dice__weighted"].verdict == "drift"
    assert counts(found["dice__weighted"])["value"] >= 50
    assert found["users__amount"].verdict == "ok"


def test_a_computed_difference_has_the_cause_of_its_input(shop: Shop):
    on_demand_service(shop, weighted, whole=False)
    shop.overwrite([1, 2], amount=-1.0)
    assert counts(shop.skew()["weighted__weighted"]) == {"match": 58, "value": 2}


def test_a_computed_value_of_a_stale_input_is_stale(shop: Shop):
    on_demand_service(shop, weighted, whole=False)
    rows = user_rows((3, 2, 1))
    more = {name: [*values, values[-1]] for name, values in rows.items()}
    more["ts"][-1], more["amount"][-1] = datetime.now(UTC) - timedelta(seconds=30), 5.0
    write(shop.folder / "users.parquet", more)
    assert counts(shop.skew()["weighted__weighted"]) == {"match": 59, "stale": 1}


def test_a_service_of_requests_alone_is_computed_both_ways(shop: Shop):
    request = RequestSource(name="request", schema=[Field(name="factor", dtype=Float64)])

    @on_demand_feature_view(sources=[request], schema=[Field(name="twice", dtype=Float64)])
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({"twice": inputs["factor"] * 2})

    shop.apply(FeatureService(name="model", features=[doubled]), doubled)
    found = shop.skew(limit=50)
    assert counts(found["doubled__twice"]) == {"match": 50}
    assert found["doubled__twice"].verdict == "ok"


def test_an_alias_that_feast_serves_by_the_plain_key_is_found(shop: Shop):
    """Feast 0.67 takes the plain key for an alias of it when a request carries both."""
    users = shop.users
    friend = users[["amount"]].with_name("friend").with_join_key_map({"user_id": "friend_id"})
    service = FeatureService(name="model", features=[users[["amount"]].with_name("me"), friend])
    shop.apply(service, users)
    shop.materialize("users")
    found = shop.skew(seed=3)
    assert found["me__amount"].verdict == "ok"
    assert found["friend__amount"].verdict == "drift"
    example = found["friend__amount"].parity.examples[0]
    user = example.key["friend_id"]
    assert example.training == (None if user % 7 == 0 else 10.0 * user + 1)


# ------------------------------------------------------------------------------------ the log


def logged(
    shop: Shop, moments: Mapping[int, datetime], amounts: Mapping[int, float | None]
) -> None:
    """Vectors as Feast's feature server logs them."""
    users = list(moments)
    table = pa.table(
        {
            "user_id": pa.array(users, pa.int64()),
            "users__amount": pa.array([amounts[u] for u in users], pa.float64()),
            "users__amount__timestamp": pa.array([ago(1.5)] * len(users), TIME),
            "users__amount__status": pa.array([2] * len(users), pa.int32()),
            "__log_timestamp": pa.array(list(moments.values()), TIME),
            "__log_date": pa.array([each.date() for each in moments.values()], pa.date32()),
            "__request_id": pa.array([f"request {u}" for u in users]),
        }
    )
    store = shop.open()
    store.write_logged_features(table, store.get_feature_service("model"))


@pytest.fixture
def logging(shop: Shop) -> Shop:
    from feast.feature_logging import LoggingConfig
    from feast.infra.offline_stores.file_source import FileLoggingDestination

    (shop.folder / "log").mkdir()
    destination = FileLoggingDestination(path=str(shop.folder / "log"))
    service = FeatureService(
        name="model",
        features=[shop.users[["amount"]]],
        logging_config=LoggingConfig(destination=destination),
    )
    shop.apply(service, shop.users)
    shop.materialize("users")
    return shop


def test_logged_vectors_are_compared_with_the_truth_of_their_own_moments(logging: Shop):
    users = [u for u in range(1, 41) if u % 7]
    # Day 2's row was the newest one until noon of day 1.
    moments = {u: ago(1) + timedelta(minutes=u) for u in users}
    logged(logging, moments, {u: 10.0 * u + 2 for u in users})
    found = logging.found(log_window=Window(ago(2), ago(0)))
    (vectors,) = found.logged
    assert found.vectors == (35, 35)
    assert counts(vectors) == {"match": 35}
    assert vectors.verdict == "ok"
    assert found.notes == (f"35 of 35 vectors logged in {Window(ago(2), ago(0))} were compared",)


def test_a_logged_value_that_training_does_not_hold_is_skew(logging: Shop):
    users = [u for u in range(1, 41) if u % 7]
    moments = {u: ago(1) + timedelta(minutes=u) for u in users}
    wrong = {u: 0.0 if u % 4 == 0 else 10.0 * u + 2 for u in users}
    logged(logging, moments, wrong)
    (vectors,) = logging.found(log_window=Window(ago(2), ago(0))).logged
    assert counts(vectors) == {"match": 26, "default": 9}
    assert (vectors.verdict, vectors.origin) == ("drift", "logged")


def test_a_log_outside_of_the_window_or_not_there_yet_is_said_to_hold_nothing(logging: Shop):
    assert "the log holds no vector" in logging.found().notes[0]
    logged(logging, {1: ago(40)}, {1: 1.0})
    assert "the log holds no vector" in logging.found().notes[0]
    shutil.rmtree(logging.folder / "log")
    found = logging.found()
    assert "there is no Parquet file" in found.notes[0]
    assert (found.vectors, found.logged) == ((0, 0), ())


def test_what_a_log_shows_to_be_served_beyond_its_ttl_is_skew():
    """Its keys were really asked for; of all keys there are, most are perhaps never again."""
    causes: list[Cause] = ["expired"] * 4 + ["match"] * 96
    served = [Value(double_val=float(number)) for number in range(100)]
    found = parity(
        causes,
        served,
        [Value()] * 4 + served[4:],
        keys=[{"user_id": number} for number in range(100)],
        moments=[TODAY] * 100,
        lags=[None] * 100,
    )
    same = compare(pd.Series(found.served), pd.Series(found.served), feature="users__amount")
    verdicts = {
        origin: judged("users__amount", found, same, SkewThresholds(), origin).verdict
        for origin in ("online", "logged")
    }
    assert verdicts == {"online": "ok", "logged": "drift"}
