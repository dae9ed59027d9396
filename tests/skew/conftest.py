from pathlib import Path

import pytest
from feast import FeatureService
from worlds.skew_shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def served(shop: Shop) -> Shop:
    """Users, materialized whole, and a service on them."""
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users")
    return shop
