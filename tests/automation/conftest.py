"""Shops to look after."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feature_platform.orchestration.watch.automation_settings import AutomationSettings

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "services"))
from local_servers import *  # noqa: F403 - fixtures
from shop import Shop

if TYPE_CHECKING:
    from conftest import Sample


@pytest.fixture
def make_shop(make_repo: Callable[..., "Sample"]) -> Callable[..., Shop]:
    """A shop with so many days of orders."""

    def make(views: str, days: int = 12, **settings: Any) -> Shop:
        shop = Shop(make_repo({"views.py": views}), AutomationSettings(**settings))
        for number in range(days):
            shop.write(number)
        return shop

    return make
