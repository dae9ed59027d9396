"""A Feast retrieval job over a function that returns an Arrow table."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata

from feature_platform.offline.offline_write import persist_table, write_parts

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig
    from feast.saved_dataset import SavedDatasetStorage, ValidationReference

_INTEGERS = {
    getattr(pa, name.lower())(): getattr(pd, f"{name}Dtype")()
    for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
}


class ArrowRetrievalJob(RetrievalJob):  # type: ignore[misc]
    """The result of a retrieval, computed anew each time it is asked for.

    Args:
        evaluate: Computes the table, without on-demand features.
        config: The repo's configuration.
        metadata: Features, keys and times, for saved datasets.
        on_demand: On-demand feature views whose features are added.
        full_feature_names: Whether feature names have their view's name as a prefix.
    """

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        config: "RepoConfig",
        *,
        metadata: RetrievalMetadata | None = None,
        on_demand: Sequence[Any] = (),
        full_feature_names: bool = False,
    ) -> None:
        super().__init__()
        self._evaluate = evaluate
        self._config = config
        self._metadata = metadata
        self._on_demand = list(on_demand)
        self._full_feature_names = full_feature_names

    @property
    def full_feature_names(self) -> bool:
        """Whether feature names have their view's name as a prefix."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """The on-demand feature views whose features are added."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """Features, keys and times."""
        return self._metadata

    def to_df(
        self,
        validation_reference: "ValidationReference | None" = None,
        timeout: int | None = None,
    ) -> pd.DataFrame:
        """The result as a data frame; integers with nulls become pandas' nullable integers."""
        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        frame: pd.DataFrame = table.to_pandas()
        for name, column in zip(table.column_names, table.columns, strict=True):
            if column.null_count and column.type in _INTEGERS:
                frame[name] = column.to_pandas(types_mapper=_INTEGERS.get)
        return frame

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:  # noqa: ARG002
        frame: pd.DataFrame = self._evaluate().to_pandas()
        return frame

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002
        return self._evaluate()

    def persist(
        self,
        storage: "SavedDatasetStorage",
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        timeout: int | None = None,
    ) -> None:
        """Write the result, with on-demand features, to the storage of a saved dataset.

        Raises:
            SavedDatasetLocationAlreadyExists: The storage has data, which may not be replaced.
        """
        persist_table(
            self._config,
            storage.to_data_source(),
            lambda: self.to_arrow(timeout=timeout),
            overwrite=allow_overwrite,
        )

    def supports_remote_storage_export(self) -> bool:
        """Whether a staging location is configured."""
        return bool(getattr(self._config.offline_store, "staging_location", None))

    def to_remote_storage(self) -> list[str]:
        """Write the result as Parquet files below the staging location, and return their paths."""
        store = self._config.offline_store
        return write_parts(
            self.to_arrow(),
            f"{store.staging_location.rstrip('/')}/{uuid4()}",
            store.staging_location_endpoint_override or "",
        )
