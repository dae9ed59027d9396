"""Skew of what is computed when it is asked for."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from feast import (
    FeatureService,
    Field,
    RequestSource,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float32, Float64
from worlds.skew_shop import USERS, Shop, counts, user_rows, write


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


def test_a_computed_number_is_no_skew_for_its_width_where_full_names_are_served(shop: Shop):
    """Feast forgets the declared type there, and serves what Python has."""
    users = shop.users

    @on_demand_feature_view(
        sources=[users[["visits"]]],
        schema=[Field(name="third", dtype=Float32), Field(name="thirds", dtype=Array(Float64))],
    )
    def shares(inputs: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        third = (inputs["visits"] / 3).astype("float32")
        return pd.DataFrame({"third": third, "thirds": [[float(each)] * 2 for each in third]})

    aliases = [
        users[["amount"]].with_name(name).with_join_key_map({"user_id": f"{name}_id"})
        for name in ("buyer", "seller")
    ]
    shop.apply(FeatureService(name="model", features=[*aliases, shares]), users, shares)
    shop.materialize("users")
    found = shop.skew()
    assert counts(found["shares__third"]) == {"match": 60}
    assert counts(found["shares__thirds"]) == {"match": 60}


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
