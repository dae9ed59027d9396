import sys
from pathlib import Path

import pytest
from feast import FeatureService

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "services"))

from local_servers import *  # noqa: F403 - fixtures
from sample_repos import SampleRepo
from skew_shop import Shop


@pytest.fixture
def repo(tmp_path: Path) -> SampleRepo:
    return SampleRepo(tmp_path / "repo")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def served(shop: Shop) -> Shop:
    """Users, materialized whole, and a service on them."""
    shop.apply(FeatureService(name="model", features=[shop.users]), shop.users)
    shop.materialize("users")
    return shop
