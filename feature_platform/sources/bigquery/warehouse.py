"""Batch sources in BigQuery."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.core.feast_seams import bigquery_client, bigquery_storage_client
from feature_platform.core.times import in_utc
from feature_platform.sources.bigquery.dialect import BigQueryDialect
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.sql.sql_warehouse import (
    BuildResource,
    SqlSnapshot,
    SqlWarehouse,
    warehouse_errors,
)

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

    from feature_platform.core.windows import Window

# Each stream holds a batch in memory.
_STREAMS = 4


@dataclass(frozen=True)
class BigQuerySession:
    """A client of BigQuery; see `Session`."""

    client: Any

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        return [row.values() for row in self.client.query_and_wait(sql)]

    def batches(self, sql: str) -> Iterator[pa.Table]:
        """Read through the Storage API, waiting for the query as Feast's own retrieval does."""
        from feast.infra.offline_stores.bigquery import block_until_done

        job = self.client.query(sql)
        block_until_done(client=self.client, bq_job=job)
        storage = bigquery_storage_client(self.client)
        is_empty = True
        try:
            for batch in job.result().to_arrow_iterable(
                bqstorage_client=storage, max_stream_count=_STREAMS
            ):
                if batch.num_rows:
                    is_empty = False
                    yield pa.Table.from_batches([batch])
        finally:
            if storage is not None:
                storage.transport.close()
        if is_empty:
            yield job.to_arrow()

    def columns(self, sql: str) -> list[str]:
        """The columns that a dry run tells, which costs nothing."""
        from google.cloud.bigquery import QueryJobConfig

        dry_run = QueryJobConfig(dry_run=True, use_query_cache=False)
        return [field.name for field in self.client.query(sql, job_config=dry_run).schema]

    def types(self, table: str) -> Mapping[str, str]:
        """The columns of a table and their types."""
        found = self._table(table)
        return {} if found is None else {field.name: _type(field) for field in found.schema}

    def stamp(self, tables: Sequence[str]) -> str | None:
        """When the tables were last written, and how many rows they have; changes once a day."""
        stamps = [datetime.now(UTC).date().isoformat()]
        for name in tables:
            table = self._table(name)
            # Rows that are streamed in can be read before the table counts as modified.
            if table is None or table.table_type != "TABLE" or table.streaming_buffer is not None:
                return None
            stamps.append(f"{table.full_table_id} {table.etag} {table.modified} {table.num_rows}")
        return " ".join(stamps)

    def has_time_travel(self, table: str) -> bool:
        """Whether it is a table, not a view, and has no rows that are still being streamed in."""
        found = self._table(table)
        return found is not None and found.table_type == "TABLE" and found.streaming_buffer is None

    def now(self) -> str:
        """The present moment of BigQuery's clock, as a literal."""
        ((moment,),) = self.rows("SELECT CURRENT_TIMESTAMP()")
        return BigQueryDialect().instant(in_utc(moment))

    def result_table(self, sql: str) -> str:
        """Run a query; the name of the table that has its result."""
        job = self.client.query(sql)
        job.result(max_results=0)
        table = job.destination
        return f"{table.project}.{table.dataset_id}.{table.table_id}"

    def _table(self, name: str) -> Any:
        """Metadata of a table, which costs nothing; None if there is no such table."""
        from google.api_core.exceptions import NotFound

        # A name without a project is in the configured project.
        full_name = name if name.count(".") > 1 else f"{self.client.project}.{name}"
        try:
            return self.client.get_table(full_name)
        except NotFound:
            return None


class BigQueryWarehouse(SqlWarehouse):
    """BigQuery; see `SqlWarehouse`."""

    label = "BigQuery"
    source_type = "BigQuerySource"
    dialect = BigQueryDialect()
    min_rest = timedelta(hours=1)  # BigQuery charges for each scan
    packages = ("google.cloud.bigquery",)
    extra = "gcp"
    whole_number_types = frozenset({"INTEGER", "INT64"})
    text_types = frozenset({"STRING"})
    # A fingerprint of the text, and one of the text after a letter.
    hashes = (
        "CAST(FARM_FINGERPRINT(t) AS BIGNUMERIC)",
        "CAST(FARM_FINGERPRINT(CONCAT('b', t)) AS BIGNUMERIC)",
    )

    def examine(self, config: "RepoConfig") -> str:
        """Look for the credentials of the environment."""
        import google.auth

        google.auth.default()
        return f"project {config.offline_store.project_id}; credentials found"

    @contextmanager
    def session(self, config: "RepoConfig") -> Iterator[BigQuerySession]:
        """Make a client; BigQuery's times are UTC."""
        store = config.offline_store
        project = store.billing_project_id or store.project_id
        with closing(bigquery_client(project, store.location)) as client:
            yield BigQuerySession(client)

    @contextmanager
    def snapshot(
        self,
        config: "RepoConfig",
        source: "DataSource",
        windows: "Sequence[Window]",
        *,
        held: bool = True,
    ) -> Iterator[SqlSnapshot]:
        """Time travel for a table; of anything else, the result of a query on its windows.

        Views and queries have no time travel. BigQuery keeps the result of a query in a table that
        nobody writes to, for a day.
        """
        if not held:
            with super().snapshot(config, source, windows) as found:
                yield found
            return
        with ExitStack() as stack:
            with warehouse_errors(source):
                session = stack.enter_context(self.session(config))
                origin = self._held_origin(session, source, windows)
            yield SqlSnapshot(self, session, source, origin)

    def _held_origin(
        self, session: BigQuerySession, source: "DataSource", windows: "Sequence[Window]"
    ) -> str:
        own, table = str(source.get_table_query_string()), self.table_of(source)
        if table is not None and session.has_time_travel(table):
            return f"(SELECT * FROM {own} FOR SYSTEM_TIME AS OF {session.now()})"
        time = self.dialect.identifier(time_columns(source)[0])
        at = self.dialect.instant
        inside = " OR ".join(
            f"({time} >= {at(each.start)} AND {time} < {at(each.end)})" for each in windows
        )
        rows = f"SELECT * FROM {own} AS source_rows WHERE {inside or 'FALSE'}"
        return f"`{session.result_table(rows)}`"

    def run_scripts(self, config: "RepoConfig", scripts: Sequence[str], resources: Any) -> None:
        """Run them through dagster-gcp's resource ``bigquery``."""
        del config
        with resources.bigquery.get_client() as client:
            for script in scripts:
                client.query_and_wait(script)

    def build_resources(self, config: "RepoConfig") -> Mapping[str, BuildResource]:
        """dagster-gcp's ``bigquery``."""
        store = config.offline_store
        arguments = {"project": store.project_id, "location": store.location}
        return {
            "bigquery": BuildResource(
                "dagster_gcp", "BigQueryResource", arguments, package="dagster-gcp", extra="gcp"
            )
        }

    def row_text(self, columns: Mapping[str, str]) -> str:
        """JSON."""
        if not columns:
            return "''"
        fields = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
        return f"TO_JSON_STRING(STRUCT({fields}))"

    def bucket(self, time: str, starts: Sequence[str]) -> str:
        """By bisection."""
        return f"RANGE_BUCKET({time}, [{', '.join(starts)}])"

    def element(self, values: Sequence[str], place: str) -> str:
        """An array's element."""
        return f"[{', '.join(values)}][SAFE_ORDINAL({place})]"

    def sample_order(self, seed: int, keys: str) -> str:
        """A fingerprint of the keys as JSON."""
        return f"FARM_FINGERPRINT(CONCAT('{seed}', TO_JSON_STRING(STRUCT({keys}))))"

    def table_of(self, source: "DataSource") -> str | None:
        """The name without its backticks."""
        table = super().table_of(source)
        return None if table is None else table.strip("`")


def _type(field: Any) -> str:
    """A column's type as a cast names it; empty for a nested one, which is not cast."""
    if field.field_type in ("RECORD", "STRUCT"):
        return ""
    names = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
    kind = names.get(field.field_type, field.field_type)
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else str(kind)
