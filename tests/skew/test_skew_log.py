"""Skew of what a log says was served."""

import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
from feast import (
    FeatureService,
)
from feast.protos.feast.types.Value_pb2 import Value
from worlds.skew_shop import TIME, TODAY, Shop, ago, counts

from feature_platform.core.windows import Window
from feature_platform.skew.parity import Cause, parity
from feature_platform.skew.service_skew import SkewThresholds
from feature_platform.skew.skew_verdict import judged
from feature_platform.statistics import compare


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
