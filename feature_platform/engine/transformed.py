"""Views that Feast computes while it materializes them: transformed, aggregated, derived."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from feature_platform.store.windows import Window

if TYPE_CHECKING:
    from feast import FeatureStore


def why_transformed(view: Any) -> str:
    """Why only Feast's compute engine can make the rows of a view; empty when it need not."""
    if getattr(view, "feature_transformation", None) is not None:
        return "it has a transformation"
    if getattr(view, "aggregations", None):
        return "it aggregates"
    if getattr(view, "source_views", None):
        return "it is derived from other views"
    return ""


def compute_rows(
    store: "FeatureStore", view: Any, window: Window, write: Callable[[list[Any]], None]
) -> bool:
    """Let Feast's compute engine make the rows of a window.

    With the local engine they are handed to `write`; any other engine writes them where it runs,
    through the online store's class.

    Args:
        store: The Feast store.
        view: The feature view.
        window: Half-open; Feast's inclusive end is put a microsecond before it.
        write: Takes Feast's rows: entity key, features, event time, created time.

    Returns:
        Whether `write` was used.
    """
    from feast.infra.common.materialization_job import (
        MaterializationJobStatus,
        MaterializationTask,
    )
    from feast.infra.compute_engines.local.compute import LocalComputeEngine
    from tqdm import tqdm  # type: ignore[import-untyped]

    provider = store._get_provider()  # noqa: SLF001 - as Feast's own materialize
    engine = provider.batch_engine
    local = isinstance(engine, LocalComputeEngine)
    if local:
        engine = LocalComputeEngine(
            repo_config=store.config,
            offline_store=provider.offline_store,
            online_store=_Handed(write),
            backend=engine.backend_name or "pandas",
        )
    task = MaterializationTask(
        project=store.project,
        feature_view=view,
        start_time=window.start,
        end_time=window.end - timedelta(microseconds=1),
        tqdm_builder=lambda length: tqdm(total=length, disable=True),
    )
    for job in engine.materialize(store.registry, task):
        if job.status() == MaterializationJobStatus.ERROR:
            raise job.error() or RuntimeError("the compute engine failed without saying why")
    return local


class _Handed:
    """What a compute engine takes for an online store."""

    def __init__(self, write: Callable[[list[Any]], None]) -> None:
        self._write = write

    def online_write_batch(
        self,
        config: Any,  # noqa: ARG002 - Feast's signature
        table: Any,  # noqa: ARG002
        data: list[Any],
        progress: Any,  # noqa: ARG002
    ) -> None:
        self._write(
            [(key, values, _aware(time), _aware(created)) for key, values, time, created in data]
        )


def _aware(moment: datetime | None) -> datetime | None:
    """Feast takes pandas times, and those of a transformation may have lost their zone, UTC."""
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
