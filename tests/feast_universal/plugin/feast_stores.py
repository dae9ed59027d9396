"""A pytest plugin: Feast's tests meet the classes of this package under the names of Feast's own.

Active when ``FEATURE_PLATFORM_CLASSES`` is ``ours``; with ``stock`` Feast's classes stay.
"""

import importlib
import os
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import feast_containers
import pytest

CLASSES = {
    ("feast.infra.online_stores.sqlite", "SqliteOnlineStore"): (
        "feature_platform.online.sqlite.store",
        "GuardedSqliteOnlineStore",
    ),
    ("feast.infra.online_stores.redis", "RedisOnlineStore"): (
        "feature_platform.online.redis.store",
        "GuardedRedisOnlineStore",
    ),
    ("feast.infra.online_stores.postgres_online_store.postgres", "PostgreSQLOnlineStore"): (
        "feature_platform.online.postgres.store",
        "GuardedPostgreSQLOnlineStore",
    ),
    ("feast.infra.compute_engines.local.compute", "LocalComputeEngine"): (
        "feature_platform.compute.compute_engine",
        "StreamingComputeEngine",
    ),
}

feast_containers.install()


@dataclass(frozen=True)
class LazyFixture:
    """A parameter that is a fixture's value."""

    name: str


# pytest-lazy-fixture, whose name Feast's tests import, does not work with any pytest since 8.
lazy = ModuleType("pytest_lazyfixture")
lazy.lazy_fixture = LazyFixture  # type: ignore[attr-defined]
sys.modules.setdefault(lazy.__name__, lazy)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> None:
    """Put the fixtures' values in the place of parameters that name them."""
    for name, value in pyfuncitem.funcargs.items():
        if isinstance(value, LazyFixture):
            pyfuncitem.funcargs[name] = pyfuncitem._request.getfixturevalue(value.name)


def is_ours() -> bool:
    """Whether this run is of the classes of this package."""
    return os.environ["FEATURE_PLATFORM_CLASSES"] == "ours"


def pytest_configure() -> None:
    """Put the classes in their places before any test module is imported."""
    if not is_ours():
        return
    found = {
        place: getattr(importlib.import_module(module), name)
        for place, (module, name) in CLASSES.items()
    }
    for (module, name), ours in found.items():
        setattr(importlib.import_module(module), name, ours)


def pytest_report_header() -> str:
    """Say whose classes are tested."""
    return f"online stores and compute engine: {os.environ['FEATURE_PLATFORM_CLASSES']}"
