"""The table of a derived view, to which its computed rows are appended once (``offline=True``)."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.compute.computed_rows import ComputedRows
from feature_platform.core.feast_seams import provider_of
from feature_platform.core.sql import identifier
from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.errors import MissingTableError, SourceError, first_line
from feature_platform.offline.offline_write import append_rows, is_absent
from feature_platform.sources.relation import VIEW, open_relation

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

# What the clients of warehouses raise if there is no such table.
_NO_TABLE = ("UndefinedTable", "NotFound", "TableNotFoundError")


def append_missing_rows(store: "FeatureStore", layout: ViewLayout, computed: ComputedRows) -> None:
    """Append the rows that the table lacks.

    Feast's engine appends all of them in every run. Here a row is identified by its key and times,
    so a run that was killed is completed by the next, and late rows are added.

    Raises:
        SourceError: The table cannot be read or written.
    """
    config, source = store.config, layout.source
    rows = _missing_rows(config, layout, computed)
    if not rows.num_rows:
        return
    offline = provider_of(store).offline_store
    try:
        if is_absent(config, source):
            append_rows(config, source, rows)  # Feast's stores need an existing table
        else:
            offline.offline_write_batch(config, layout.view, rows, lambda _: None)
    except Exception as error:  # every offline store raises its own
        raise SourceError(
            f"feature view '{layout.name}'",
            f"its rows are online, but cannot be added to its sink_source '{source.name}' "
            f"({first_line(error)})",
            "let the table have the columns that are computed, in their order: "
            f"{', '.join(computed.table.column_names)}; or set offline=False",
        ) from error


def _missing_rows(config: "RepoConfig", layout: ViewLayout, computed: ComputedRows) -> pa.Table:
    """The computed rows whose key and times no row of the table has."""
    if not computed.table.num_rows:
        return computed.table
    first, last = pc.min_max(computed.event_times).values()
    span = Window(first.as_py(), last.as_py() + timedelta(microseconds=1))
    created = layout.source.created_timestamp_column
    keys = [key for key in layout.keys if key.source is not None]
    columns = {f"k{place}": computed.table[key.name] for place, key in enumerate(keys)}
    columns["event_time"] = computed.event_times
    if created:
        columns["created_time"] = _in_utc(computed.table[created])
    columns["place"] = pa.array(range(computed.table.num_rows), pa.int64())
    try:
        with open_relation(config, layout.source, [span], layout.source_keys) as relation:
            relation.connection.register("computed", pa.table(columns))
            pairs = [(f"k{place}", key.source) for place, key in enumerate(keys)]
            pairs += [("event_time", relation.timestamp)]
            pairs += [("created_time", relation.created)] if relation.created else []
            same = " AND ".join(
                f"c.{name} IS NOT DISTINCT FROM r.{identifier(str(column))}"
                for name, column in pairs
            )
            places = relation.rows(
                f"SELECT place FROM computed AS c ANTI JOIN {VIEW} AS r ON {same} ORDER BY place"
            )
    except MissingTableError:
        return computed.table
    except SourceError as error:
        if type(error.__cause__).__name__ in _NO_TABLE:
            return computed.table
        raise  # treated as empty, it would get every row again
    return computed.table.take(pa.array([place for (place,) in places], pa.int64()))


def _in_utc(column: Any) -> Any:
    """Times in microseconds; those without a zone are UTC."""
    cut = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return cut.cast(pa.timestamp("us", "UTC"))
