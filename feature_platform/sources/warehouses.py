"""The index of warehouses: which one stores a source."""

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import TYPE_CHECKING

from feature_platform.sources.files.warehouse import FileWarehouse
from feature_platform.sources.pulled.warehouse import PulledWarehouse
from feature_platform.sources.sql.sql_warehouse import SqlWarehouse

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

    from feature_platform.sources.warehouse import Warehouse

GROUP = "feature_platform.warehouses"
"""The entry point group through which another package adds a warehouse. The name of the entry
point is the offline store's ``type`` in feature_store.yaml, its value the subclass of
`Warehouse`."""

# Offline store type, and the class that is imported when it is configured.
_INDEX = (
    EntryPoint("bigquery", "feature_platform.sources.bigquery.warehouse:BigQueryWarehouse", GROUP),
    EntryPoint("postgres", "feature_platform.sources.postgres.warehouse:PostgresWarehouse", GROUP),
)


def warehouse_of(config: "RepoConfig", source: "DataSource") -> "Warehouse":
    """The warehouse that stores a source.

    Parquet files are read directly, whichever offline store is configured. A source that no
    warehouse holds is pulled through its Feast offline store.
    """
    files = FileWarehouse()
    if files.holds(source):
        return files
    configured = configured_warehouse(config)
    return configured if configured and configured.holds(source) else PulledWarehouse()


def sql_warehouse_of(config: "RepoConfig", source: "DataSource") -> SqlWarehouse | None:
    """The warehouse that stores a source, if it computes SQL itself."""
    found = warehouse_of(config, source)
    return found if isinstance(found, SqlWarehouse) else None


def configured_warehouse(config: "RepoConfig") -> "Warehouse | None":
    """The warehouse of the configured offline store; None for a store that is only pulled from."""
    return warehouse_named(str(config.offline_store.type))


def warehouse_named(kind: str) -> "Warehouse | None":
    """The warehouse of an ``offline_store.type``; None for a store that is only pulled from."""
    known = [each for each in _INDEX if each.name == kind]
    # The scan is slow, and only stores outside of the index need it.
    found = known or _installed(tuple(sys.path)).select(name=kind)
    return next((each.load()() for each in found), None)


@lru_cache(maxsize=1)
def _installed(search_path: tuple[str, ...]) -> EntryPoints:
    """The warehouses of other installed packages, which change with the search path."""
    del search_path
    return entry_points(group=GROUP)
