"""A retrieval job of Feast over a function that makes an Arrow table."""

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
    """What a retrieval will return, computed anew each time it is asked for.

    Args:
        evaluate: Makes the table, without on-demand features.
        config: The repo's configuration.
        metadata: Features, keys and times, for saved datasets.
        on_demand: On-demand feature views whose features are added.
        full_feature_names: Whether features carry the name of their view.
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
        """Whether features carry the name of their view."""
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
        """The result as a data frame; whole numbers with gaps are pandas' nullable integers."""
        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        gaps = {
            name: _INTEGERS[column.type]
            for name, column in zip(table.column_names, table.columns, strict=True)
            if column.null_count and column.type in _INTEGERS
        }
        plain = table.drop_columns(list(gaps)).to_pandas()
        for place, name in enumerate(table.column_names):
            if name in gaps:
                values = table.column(name).to_pandas(types_mapper=lambda kind: _INTEGERS[kind])
                plain.insert(place, name, values)
        frame: pd.DataFrame = plain
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
        """Write the result, on-demand features with it, to where a saved dataset is kept.

        Raises:
            SavedDatasetLocationAlreadyExists: Something is there, and may not be replaced.
        """
        source = storage.to_data_source()
        persist_table(
            self._config,
            source,
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
