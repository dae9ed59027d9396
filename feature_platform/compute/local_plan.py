"""Feast's local engine, corrected: the rows of a transformed or derived view in one window.

The plan is that of Feast 0.67 except where it fails or mixes up tables:

- A transformation gets every column of the source, whatever the offline store.
- Nodes have unique names: Feast keeps results by name, so one parent overwrites the other.
- Each view is read through its own field mapping.
- Joined parents have one event time, the later.
- A transformation of several views gets all of them, as with Spark.
- Which of equally late rows is kept does not depend on their order in the file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from feast.infra.compute_engines.dag.plan import ExecutionPlan
from feast.infra.compute_engines.local.arrow_table_value import ArrowTableValue
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.local_node import LocalNode

from feature_platform.core.sql import identifier, inside
from feature_platform.core.windows import Window
from feature_platform.errors import TransformationError, type_and_line
from feature_platform.sources.opened_window import OpenedWindow
from feature_platform.sources.relation import VIEW
from feature_platform.sources.source_errors import require_columns as require_source_columns

_PLACE = "__place"
_EVENT_TIME = "__event_time_"
_CREATED_TIME = "__created_time_"
# The index of a pandas frame becomes columns with this prefix if rows were dropped.
_INDEX = "__index_level_"


class WindowPlan(LocalFeatureBuilder):  # type: ignore[misc]
    """Builds the plan of one view for one window.

    Attributes:
        rows_read: Source rows read, once the plan has run.
        rows_without_key: How many of them lack a part of their key.
    """

    def __init__(
        self,
        registry: Any,
        task: Any,
        backend: Any,
        opened: Mapping[str, OpenedWindow],
        window: Window,
    ) -> None:
        super().__init__(registry, task, backend)
        self._opened = opened
        self._window = window
        self.rows_read = 0
        self.rows_without_key = 0

    def build(self) -> ExecutionPlan:
        """The plan, with unique node names."""
        plan = super().build()
        for number, node in enumerate(plan.nodes):
            node.name = f"{number} {node.name}"
        return plan

    def get_column_info(self, view: Any) -> Any:
        """As Feast's, but with the field mapping of the view itself, not of its derived view."""
        mapping = dict(view.batch_source.field_mapping or {})
        return replace(super().get_column_info(view), field_mapping=mapping)

    def build_source_node(self, view: Any) -> LocalNode:
        """Read the window of a view's batch source, for stream feature views too."""
        info = self.get_column_info(view)
        return self._added("source", [], lambda _: self._read(view, info))

    def build_transformation_node(self, view: Any, input_nodes: Sequence[Any]) -> LocalNode:
        """Run the view's function on its inputs."""
        return self._added("transform", input_nodes, partial(_transformed, view, self.backend))

    def build_join_node(self, view: Any, input_nodes: Sequence[Any]) -> LocalNode:
        """Join the parents of a view without a transformation."""
        parents = [self.get_column_info(parent) for parent in view.source_views]
        info = self.get_column_info(view)
        return self._added("join", input_nodes, partial(_joined, view, info, parents))

    def build_dedup_node(self, view: Any, input_node: Any) -> LocalNode:
        """Keep the latest row of every key."""
        info = self.get_column_info(view)
        return self._added("dedup", [input_node], partial(_latest, view, info))

    def build_output_nodes(self, view: Any, input_node: Any) -> Any:  # noqa: ARG002
        """Write nothing: the rows are returned."""
        return input_node

    def _read(self, view: Any, info: Any) -> pa.Table:
        """The window's rows of a view's source, in an order that does not depend on the file."""
        relation = self._opened[view.batch_source.name].relation
        times = [relation.timestamp, *([relation.created] if relation.created else [])]
        wanted = list(relation.columns)
        if info.feature_cols:
            wanted = list(dict.fromkeys([*info.join_keys, *info.feature_cols, *times]))
            require_source_columns(view.batch_source.name, relation.columns, wanted)
        order = [*times, *(name for name in wanted if name not in times)]
        listed = ", ".join(f"{identifier(name)} NULLS FIRST" for name in order)
        sql = (
            f"SELECT {', '.join(map(identifier, wanted))} FROM {VIEW} "
            f"WHERE {inside(relation.timestamp, [self._window])}"
        )
        schema = relation.schema(sql)
        rows = relation.batches(f"{sql} ORDER BY {listed}")
        table = pa.Table.from_batches(rows, schema).combine_chunks()
        self.rows_read += table.num_rows
        keys = [table[name] for name in info.join_keys if name in table.column_names]
        self.rows_without_key += table.num_rows - whole_rows(table, keys).num_rows
        mapped = info.field_mapping
        return table.rename_columns([mapped.get(name, name) for name in table.column_names])

    def _added(
        self, name: str, inputs: Sequence[Any], compute: Callable[[list[pa.Table]], pa.Table]
    ) -> LocalNode:
        node = _Node(name, list(inputs))
        node.compute = compute
        self.nodes.append(node)
        return node


class _Node(LocalNode):  # type: ignore[misc]
    """A step of the plan: a function from the tables of its inputs to a table."""

    compute: Callable[[list[pa.Table]], pa.Table]

    def execute(self, context: Any) -> ArrowTableValue:
        return ArrowTableValue(self.compute([each.data for each in self.get_input_tables(context)]))


def _transformed(view: Any, backend: Any, tables: Sequence[pa.Table]) -> pa.Table:
    frames = [backend.from_arrow(table) for table in tables]
    function = view.feature_transformation.udf
    name = str(getattr(function, "__name__", type(function).__name__))
    expected = type(frames[0])

    def failed(problem: str, remedy: str) -> TransformationError:
        subject = f"feature view '{view.name}'"
        return TransformationError(subject, f"its transformation {problem}", remedy)

    try:
        made = function(*frames)
    except Exception as error:  # whatever a function of the repo raises
        listed = "; ".join(", ".join(map(str, frame.columns)) for frame in frames)
        raise failed(
            f"{name} failed ({type_and_line(error)})",
            f"correct it; it is given a frame with the columns {listed}",
        ) from error
    if not isinstance(made, expected):
        raise failed(
            f"{name} returned {type(made).__name__}",
            f"let it return a frame ({expected.__module__.split('.')[0]}), as Feast's local "
            "engine expects of every mode; Feast runs the text in udf_string where it can",
        )
    try:
        table = backend.to_arrow(made)
        extra = [column for column in table.column_names if column.startswith(_INDEX)]
        return table.drop_columns(extra)
    except Exception as error:  # mixed types in a column
        raise failed(
            f"what {name} returned cannot be converted ({type_and_line(error)})",
            "let every column of its frame have one type",
        ) from error


def _joined(view: Any, info: Any, parents: Sequence[Any], tables: Sequence[pa.Table]) -> pa.Table:
    moment, created = info.timestamp_column, info.created_timestamp_column
    if len(tables) == 1 and {moment, created or moment} <= set(tables[0].column_names):
        return tables[0]
    inputs = zip(tables, view.source_views, parents, strict=True)
    parts = [_part(number, *each) for number, each in enumerate(inputs)]
    joined = reduce(partial(_join, view, info.join_keys_columns), parts)
    moments = [joined[name] for name in joined.column_names if name.startswith(_EVENT_TIME)]
    creations = [joined[name] for name in joined.column_names if name.startswith(_CREATED_TIME)]
    times = (_EVENT_TIME, _CREATED_TIME)
    whole = joined.select([name for name in joined.column_names if not name.startswith(times)])
    whole = whole.append_column(moment, _latest_of(moments))
    if created and created != moment:
        whole = whole.append_column(created, _latest_of(creations or moments))
    return whole


def _part(number: int, table: pa.Table, view: Any, info: Any) -> pa.Table:
    """A parent's keys and features, and its times under names of their own."""
    moment, created = info.timestamp_column, info.created_timestamp_column
    names = [*info.join_keys_columns, *(feature.name for feature in view.features)]
    require_columns(view, table, [*names, moment])
    part = table.select(list(dict.fromkeys(names)))
    part = part.append_column(f"{_EVENT_TIME}{number}", table[moment])
    if created in table.column_names:
        part = part.append_column(f"{_CREATED_TIME}{number}", table[created])
    return part


def _join(view: Any, keys: Sequence[str], left: pa.Table, right: pa.Table) -> pa.Table:
    rest = [name for name in right.column_names if name not in keys]
    if twice := sorted(set(left.column_names) & set(rest)):
        raise TransformationError(
            f"feature view '{view.name}'",
            f"more than one of its parents has a column '{twice[0]}'",
            "give it another name in one of them, or merge the parents in a transformation "
            "(udf), which is given a frame of each",
        )
    using = f"JOIN r USING ({', '.join(map(identifier, keys))})" if keys else "CROSS JOIN r"
    places = _places(
        f"SELECT l.{_PLACE}, r.{_PLACE} FROM l {using} ORDER BY 1, 2",
        l=left.select(keys),
        r=right.select(keys),
    )
    joined, other = left.take(places[0]), right.take(places[1])
    for name in rest:
        joined = joined.append_column(name, other[name])
    return joined


def _latest(view: Any, info: Any, tables: Sequence[pa.Table]) -> pa.Table:
    [table] = tables
    keys = info.join_keys_columns
    require_columns(view, table, [*keys, info.timestamp_column])
    created = info.created_timestamp_column
    times = [info.timestamp_column, *([created] if created in table.column_names else [])]
    order = ", ".join(f"{identifier(name)} DESC NULLS LAST" for name in [*times, _PLACE])
    groups = ", ".join(identifier(name) for name in keys) or "true"
    chosen = _places(
        f"SELECT {_PLACE} FROM r QUALIFY row_number() OVER "
        f"(PARTITION BY {groups} ORDER BY {order}) = 1 ORDER BY 1",
        r=table.select(list(dict.fromkeys([*keys, *times]))),
    )
    return table.take(chosen[0])


def require_columns(view: Any, table: pa.Table, names: Sequence[str]) -> None:
    """Raise unless the rows computed for a view have these columns.

    Raises:
        TransformationError: One is missing.
    """
    missing = [name for name in names if name not in table.column_names]
    if missing:
        transformed = getattr(view, "feature_transformation", None) is not None
        raise TransformationError(
            f"feature view '{view.name}'",
            f"{'its transformation returns' if transformed else 'its parents have'} no column "
            f"'{missing[0]}' (but {', '.join(sorted(table.column_names))})",
            "return keys, features and the time columns of its source (of its sink_source, if it "
            "is derived), or drop the feature; aggregations are not computed here",
        )


def whole_rows(table: pa.Table, keys: Sequence[Any]) -> pa.Table:
    """The rows of a table in which none of the key columns `keys` is null."""
    if not keys:
        return table
    return table.filter(reduce(pc.and_, [pc.is_valid(column) for column in keys]))


def _places(sql: str, **tables: pa.Table) -> list[pa.Array]:
    """The result columns of a query that returns row numbers of the tables."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            numbered = table.append_column(_PLACE, pa.array(range(table.num_rows), pa.int64()))
            connection.register(name, numbered)
        found = connection.execute(sql).fetchnumpy()
    return [pa.array(column, pa.int64()) for column in found.values()]


def _latest_of(moments: Sequence[Any]) -> Any:
    if len(moments) == 1:
        return moments[0]
    numbers = [
        each.cast(pa.timestamp("us", each.type.tz), safe=False).cast(pa.int64()) for each in moments
    ]
    return pc.max_element_wise(*numbers).cast(pa.timestamp("us", "UTC"))
