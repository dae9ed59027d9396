"""Content hashes computed inside BigQuery."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from feature_platform.core.feast_seams import bigquery_client
from feature_platform.sources.warehouse import NUMBER, Sums, numbered_rows

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

    from feature_platform.core.windows import Window


@dataclass(frozen=True)
class BigQueryWarehouse:
    """See `Warehouse`.

    Attributes:
        run: Runs a query and gives its rows.
        schema: Columns of a query's result, without running it.
        table: Metadata of a table, which costs nothing: a ``google.cloud.bigquery.Table``, or None.
        kind: Its dialect.
    """

    run: Callable[[str], Sequence[Sequence[Any]]]
    schema: Callable[[str], list[str]]
    table: Callable[[str], Any]
    kind: Literal["bigquery"] = "bigquery"

    def columns(self, origin: str) -> list[str]:
        """The columns of a table, or of a query in parentheses."""
        return self.schema(f"SELECT * FROM {origin}")

    def types(self, table: str) -> Mapping[str, str]:
        """Columns and types of a table; empty where there is no such table."""
        found = self.table(table)
        return {} if found is None else {field.name: _type(field) for field in found.schema}

    def numbered(self, origin: str, timestamp: str, windows: "Sequence[Window]") -> str:
        """The rows of windows, each with the window's number, found by bisection."""
        return numbered_rows(
            origin,
            _identifier(timestamp),
            windows,
            _instant,
            array="[{}]",
            bucket="RANGE_BUCKET",
            element="{array}[SAFE_ORDINAL({place})]",
        )

    def sums(self, rows: str, columns: Mapping[str, str]) -> dict[int, Sums]:
        """Count and hash rows by window; a row's text is JSON."""
        fields = ", ".join(
            f"CAST({_identifier(name)} AS {kind}) AS {_identifier(name)}"
            if kind
            else _identifier(name)
            for name, kind in columns.items()
        )
        text = f"TO_JSON_STRING(STRUCT({fields}))" if fields else "''"
        # One 64-bit fingerprint of the text, one of the text behind a letter.
        low, high = (
            f"SUM(CAST(FARM_FINGERPRINT({each}) AS BIGNUMERIC))" for each in ("t", "CONCAT('b', t)")
        )
        found = self.run(
            f"SELECT {NUMBER}, COUNT(*), {low}, {high} "
            f"FROM (SELECT {NUMBER}, {text} AS t FROM ({rows}) AS r) AS texts GROUP BY {NUMBER}"
        )
        return {int(number): Sums(int(count), int(a), int(b)) for number, count, a, b in found}

    def stamp(self, tables: Sequence[str]) -> str | None:
        """When the tables were written, and how many rows they have."""
        said = [datetime.now(UTC).date().isoformat()]
        for name in tables:
            table = self.table(name)
            # Rows that are streamed in are there before the table counts as modified.
            if table is None or table.table_type != "TABLE" or table.streaming_buffer is not None:
                return None
            said.append(f"{table.full_table_id} {table.etag} {table.modified} {table.num_rows}")
        return " ".join(said)


@contextmanager
def bigquery_warehouse(config: "RepoConfig") -> "Iterator[BigQueryWarehouse]":
    """Connect as Feast's offline store does."""
    from google.api_core.exceptions import NotFound
    from google.cloud.bigquery import QueryJobConfig

    store = config.offline_store
    project = store.billing_project_id or store.project_id
    with closing(bigquery_client(project, store.location)) as client:

        def run(sql: str) -> list[Any]:
            return [row.values() for row in client.query_and_wait(sql)]

        def schema(sql: str) -> list[str]:
            job = client.query(sql, job_config=QueryJobConfig(dry_run=True, use_query_cache=False))
            return [field.name for field in job.schema]

        def table(name: str) -> Any:
            try:
                # A name without a project is one of the configured project's.
                return client.get_table(name if name.count(".") > 1 else f"{client.project}.{name}")
            except NotFound:
                return None

        yield BigQueryWarehouse(run, schema, table)


def _type(field: Any) -> str:
    """A column's type as a cast says it; empty for a nested one, which is taken as it is."""
    if field.field_type in ("RECORD", "STRUCT"):
        return ""
    names = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
    kind = names.get(field.field_type, field.field_type)
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else str(kind)


def _identifier(name: str) -> str:
    return f"`{name}`"


def _instant(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
