"""What a service serves against what it is trained on: every cause of a difference, found."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import (
    FeatureService,
    PushSource,
)
from feast.data_source import PushMode
from feast.types import Float64, Int64
from worlds.skew_shop import TODAY, USERS, Shop, ago, counts, user_rows, write

from feature_platform.skew import service_skew as skew
from feature_platform.skew.plain_values import python_value
from feature_platform.skew.sampled_requests import sampled_requests
from feature_platform.skew.served_service import served_service
from feature_platform.skew.service_skew import SkewThresholds
from feature_platform.skew.truth import training_truth


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
