"""The latest row of each key of a source in a range of event time."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_platform.core.sql import identifier
from feature_platform.core.times import MICROSECOND, in_utc
from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import CREATED_TIME, EVENT_TIME, ServedColumn, ViewLayout
from feature_platform.sources.latest_rows import latest_rows_of_all
from feature_platform.sources.relation import VIEW, open_relation

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig


def latest_rows(
    config: "RepoConfig",
    source: "DataSource",
    keys: Sequence[str],
    features: Sequence[str],
    within: tuple[datetime, datetime],
) -> pa.Table:
    """The latest row of each key in a range, both ends included; see `sources.latest_rows`.

    Raises:
        SourceError: A column is missing, or the source cannot be read.
    """
    layout = ViewLayout(
        view=None,
        source=source,
        keys=tuple(ServedColumn(name, name, None) for name in dict.fromkeys(keys)),
        features=tuple(ServedColumn(name, name, None) for name in dict.fromkeys(features)),
        ttl=None,
    )
    window = Window(in_utc(within[0]), in_utc(within[1]) + MICROSECOND)
    columns = list(dict.fromkeys([*keys, *features]))
    with open_relation(config, source, [window], columns) as relation:
        batches = list(latest_rows_of_all(relation, layout))
        if not batches:
            # The columns of a result without rows.
            times = [source.timestamp_field, source.created_timestamp_column]
            wanted = ", ".join(identifier(name) for name in [*columns, *times] if name)
            schema = relation.schema(f"SELECT {wanted} FROM {VIEW}")
            return schema.empty_table()
        found = pa.Table.from_batches(batches)
    names = {EVENT_TIME: source.timestamp_field, CREATED_TIME: source.created_timestamp_column}
    if not source.created_timestamp_column:
        found = found.drop_columns([CREATED_TIME])
    return found.rename_columns([names.get(name) or name for name in found.column_names])
