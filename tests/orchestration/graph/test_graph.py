"""What a repo consists of, before Dagster sees it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from feature_platform.errors import RepoError, SourceError
from feature_platform.registry.registry_apply import apply
from feature_platform.tables.sql_tables import tables_read

if TYPE_CHECKING:
    from pathlib import Path

    from worlds.samples import Sample

REPO = """
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Int64

key = Entity(name="key")
schema = [Field(name="key", dtype=Int64), Field(name="value", dtype=Int64)]
table = FileSource(name="table", path="data/table/*.parquet", timestamp_field="ts")
hourly = FeatureView(
    name="hourly", entities=[key], schema=schema, source=table,
    tags={"dagster/partitions": "hourly"}, online=HOURLY_ONLINE,
)
daily = FeatureView(name="daily", entities=[key], schema=schema, source=table)
"""


def test_a_source_has_the_partitions_of_its_most_frequent_view(make_repo: Callable[..., "Sample"]):
    graph = make_repo({"views.py": REPO.replace("HOURLY_ONLINE", "True")}).graph
    assert isinstance(graph.sources["table"].partitions, dg.HourlyPartitionsDefinition)


def test_a_view_that_is_never_materialized_has_no_say_in_that(make_repo: Callable[..., "Sample"]):
    graph = make_repo({"views.py": REPO.replace("HOURLY_ONLINE", "False")}).graph
    assert isinstance(graph.sources["table"].partitions, dg.DailyPartitionsDefinition)


def test_the_tables_that_the_sql_of_a_source_reads_are_upstream_of_it(
    make_repo: Callable[..., "Sample"],
):
    sql = """
        WITH recent AS (SELECT * FROM shop.orders WHERE ts >= $window_start)
        SELECT o.key, r.value, o.ts FROM recent AS o JOIN "shop"."returns" AS r USING (key)
    """
    sample = make_repo({"views.py": REPO.replace("HOURLY_ONLINE", "True"), "sql/table.sql": sql})
    graph = sample.graph
    assert list(graph.raw_tables) == ["shop.orders", "shop.returns"]
    specs = sample.definitions().resolve_all_asset_specs()
    [source] = [spec for spec in specs if spec.key.path[-2:] == ["sources", "table"]]
    assert {dep.asset_key.to_user_string() for dep in source.deps} == {
        "shop/orders",
        "shop/returns",
    }
    reference = source.metadata["dagster/code_references"].code_references[0]
    assert reference.file_path.endswith("sql/table.sql")


@pytest.mark.parametrize(
    ("asks", "problem"),
    [
        ("features=[ghost]", "asks for feature view 'ghost', which project 'weather' lacks"),
        (
            'features=["ghost:value"]',
            "asks for feature view 'ghost', which project 'weather' lacks",
        ),
    ],
)
def test_a_service_that_asks_for_what_is_not_there(
    asks: str, problem: str, make_repo: Callable[..., "Sample"]
):
    text = REPO.replace("HOURLY_ONLINE", "True")
    text += "ghosts = {'it': FeatureView(name='ghost', entities=[key], source=table)}\n"
    text += f"service = FeatureService(name='service', {asks.replace('ghost]', 'ghosts[%s]]')})\n"
    sample = make_repo({"views.py": text.replace("%s", "'it'")})
    with pytest.raises(RepoError) as caught:
        _ = sample.graph.services
    assert str(caught.value) == (
        f"feature service 'service': {problem}; define it in the repo, or remove it"
    )


def test_a_version_in_a_reference_is_no_part_of_the_views_name(make_repo: Callable[..., "Sample"]):
    text = REPO.replace("HOURLY_ONLINE", "True")
    text += 'service = FeatureService(name="s", features=["daily@v2:value"])\n'
    service = make_repo({"views.py": text}).graph.services["s"]
    assert [each.name for each in service.upstream] == ["daily"]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1", []),
        ("SELECT * FROM a", ["a"]),
        ("SELECT * FROM a.b, c", ["a.b", "c"]),
        ("WITH a AS (SELECT * FROM b) SELECT * FROM a", ["b"]),
        ("SELECT * FROM a WHERE x IN (SELECT x FROM d.e)", ["a", "d.e"]),
        ("SELECT * FROM range(10)", []),
        ("SELECT * FROM a UNION ALL SELECT * FROM b", ["a", "b"]),
    ],
)
def test_the_tables_that_a_query_reads(sql: str, tables: list[str], tmp_path: "Path"):
    path = tmp_path / "source.sql"
    path.write_text(sql)
    assert tables_read(path) == tables


def test_sql_that_is_none_is_named(tmp_path: "Path"):
    path = tmp_path / "orders.sql"
    path.write_text("SELEKT * FRUM x WHERE (")
    with pytest.raises(SourceError) as caught:
        tables_read(path)
    assert str(caught.value).startswith(
        "source 'orders': orders.sql is not SQL that DuckDB reads: "
    )
    assert str(caught.value).endswith(f"; correct {path}")


COMPUTED = """
from datetime import timedelta
from feast import BatchFeatureView, Entity, Field, FileSource, PushSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.types import Int64

key = Entity(name="key")
schema = [Field(name="key", dtype=Int64), Field(name="value", dtype=Int64)]
table = FileSource(name="table", path="data/table.parquet", timestamp_field="ts")
sink = FileSource(name="sink", path="data/sink.parquet", timestamp_field="ts")
common = dict(entities=[key], schema=schema, online=True)

def made(rows): return rows

parent = BatchFeatureView(
    name="parent", source=table, mode="pandas", udf=made, udf_string="made", **common
)
view = VIEW
"""
STREAM = (
    'StreamFeatureView(name="view", entities=[key], schema=schema, timestamp_field="ts", '
    'source=PushSource(name="pushed", batch_source=table), aggregations=[Aggregation('
    'column="value", function="sum", time_window=timedelta(days=1))])'
)
IN_SQL = (
    'BatchFeatureView(name="other", source=table, mode="sql", udf=made, udf_string="made", '
    "**common)"
)
DERIVED = 'BatchFeatureView(name="view", source=[parent], sink_source=sink, MORE **common)'


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (
            STREAM,
            (
                "it aggregates, and Feast's local engine has no time windows and gives "
                "an aggregate no event time"
            ),
        ),
        (
            (
                'BatchFeatureView(name="view", source=table, **common, aggregations=['
                'Aggregation(column="value", function="sum")])'
            ),
            "it aggregates, and Feast's registry keeps no aggregations of batch views",
        ),
        (
            IN_SQL.replace("other", "view"),
            "its transformation is of mode 'sql', which Feast cannot read from a registry",
        ),
        (
            DERIVED.replace("MORE", 'tags={"dagster/drift": "block"},'),
            (
                "its tag dagster/drift is 'block', and drift is measured in sources, which do not "
                "hold the features Feast computes"
            ),
        ),
        (
            DERIVED.replace("MORE", "").replace("parent", f"other := {IN_SQL}"),
            (
                "its parent 'other': its transformation is of mode 'sql', which Feast cannot "
                "read from a registry"
            ),
        ),
        (DERIVED.replace("MORE", ""), None),
    ],
)
def test_why_a_view_cannot_be_computed(
    view: str, why: str | None, make_repo: Callable[..., "Sample"]
):
    graph = make_repo({"views.py": COMPUTED.replace("VIEW", view)}).graph
    if why is None:
        assert "view" in graph.materializable
    else:
        assert graph.views["view"].refusal == why


def test_a_derived_view_reads_the_tables_of_its_parents_in_their_most_frequent_partitions(
    make_repo: Callable[..., "Sample"],
):
    hourly = DERIVED.replace("MORE", 'tags={"dagster/partitions": "hourly"},')
    graph = make_repo({"views.py": COMPUTED.replace("VIEW", hourly)}).graph
    view = graph.views["view"]
    assert [(each.kind, each.name) for each in view.upstream] == [
        ("source", "table"),
        ("feature_view", "parent"),
        ("registry", "registry"),
    ]
    assert isinstance(view.partitions, dg.HourlyPartitionsDefinition)
    assert graph.sources["table"].partitions == view.partitions
    assert list(graph.sources) == ["table"]
    assert graph.drifts["view"].refusal == (
        "drift is measured in sources, which do not hold the features Feast computes"
    )


def test_a_view_that_would_make_the_registry_unreadable_is_not_applied(
    make_repo: "Callable[[dict[str, str]], Sample]",
) -> None:
    project = make_repo({"views.py": COMPUTED.replace("VIEW", IN_SQL)}).project
    with pytest.raises(RepoError, match=r"'other'.*mode 'sql'.*lock everybody out"):
        apply(project.store(), project.contents)
    assert project.store().list_feature_views() == []
