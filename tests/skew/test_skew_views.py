"""Skew of services on several views, and of what cannot be compared."""

import pandas as pd
import pytest
from feast import (
    FeatureService,
    Field,
    PushSource,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String
from worlds.skew_shop import ENTITIES, Shop, ago, counts, user_rows, write

from feature_platform.errors import OnlineStoreError, RegistryError


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
    assert "nothing of this project writes it" in found["written__stored"].sentence
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
