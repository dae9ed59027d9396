"""A compute engine that the product knows nothing of, and that writes where it runs."""

from typing import Any, Literal

from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.repo_config import FeastConfigBaseModel


class UnknownComputeEngineConfig(FeastConfigBaseModel):
    type: Literal["worlds.unknown_engine.UnknownComputeEngine"] = (
        "worlds.unknown_engine.UnknownComputeEngine"
    )


class UnknownComputeEngine(ComputeEngine):
    """Feast's local engine, as if it ran on another machine."""

    def update(self, *_: Any, **__: Any) -> None:
        pass

    def teardown_infra(self, *_: Any, **__: Any) -> None:
        pass

    def _materialize_one(self, registry: Any, task: Any, **more: Any) -> Any:
        stores = {"offline_store": self.offline_store, "online_store": self.online_store}
        engine = LocalComputeEngine(repo_config=self.repo_config, **stores)
        return engine._materialize_one(registry, task, **more)
