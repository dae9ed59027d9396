"""The event times of a source: the newest, and how many are missing."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from feature_platform.core.sql import identifier
from feature_platform.core.times import from_microseconds
from feature_platform.core.windows import Window
from feature_platform.sources.relation import VIEW, open_relation
from feature_platform.sources.warehouse import NewestRows
from feature_platform.sources.warehouses import warehouse_of

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig


def newest_event(
    store: "FeatureStore", source: "DataSource", windows: Sequence[Window]
) -> datetime | None:
    """The greatest event time of the source's rows in the windows; None without a row.

    Raises:
        SourceError: The source cannot be read.
    """
    if not windows:
        return None
    with open_relation(store.config, source, windows, [], NewestRows(keys=())) as relation:
        time = identifier(relation.timestamp)
        # As a number: DuckDB needs another package to return times with a zone.
        ((newest,),) = relation.rows(f"SELECT epoch_us(max({time})) FROM {VIEW}")
    return None if newest is None else from_microseconds(int(newest))


def rows_without_event_time(config: "RepoConfig", source: "DataSource") -> int | None:
    """How many rows of a source have no event time, so that no window will ever hold them.

    Args:
        config: The repo's configuration.
        source: A batch source.

    Returns:
        None where an offline store only returns rows by their time.

    Raises:
        SourceError: The table or its event time column is missing or unreadable.
    """
    return warehouse_of(config, source).rows_without_event_time(config, source)
