"""A warehouse that the product knows nothing of: DuckDB in a file, with its own Feast store.

It is added as another package would add one: an offline store and a source of Feast, a subclass of
`SqlWarehouse`, and an entry point, see `installed`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import duckdb
import pyarrow as pa
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.value_type import ValueType

from feature_platform.sources.sql.sql_dialect import DUCKDB
from feature_platform.sources.sql.sql_warehouse import BuildResource, SqlWarehouse

TYPE = "worlds.toy_warehouse.ToyOfflineStore"
_TYPES = {"BIGINT": ValueType.INT64, "DOUBLE": ValueType.DOUBLE, "VARCHAR": ValueType.STRING}


def installed(site: Path) -> None:
    """Write what installing the toy's package writes to a folder of the search path."""
    info = site / "toy_warehouse-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-warehouse\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[feature_platform.warehouses]\n{TYPE} = worlds.toy_warehouse:ToyWarehouse\n"
    )


def connected(path: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(path)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


class ToyOfflineStoreConfig(FeastConfigBaseModel):
    type: Literal["worlds.toy_warehouse.ToyOfflineStore"] = TYPE
    path: str


class ToyOfflineStore(OfflineStore):
    """Gives SQL for the rows of a range, as all of Feast's SQL stores do."""

    @staticmethod
    def pull_all_from_table_or_query(  # noqa: PLR0917 - Feast's signature
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> "ToyJob":
        created = [created_timestamp_column] if created_timestamp_column else []
        columns = [*join_key_columns, *feature_name_columns, timestamp_field, *created]
        return ToyJob(
            config.offline_store.path,
            f"SELECT {', '.join(columns)} FROM {data_source.get_table_query_string()} "
            f"WHERE {timestamp_field} BETWEEN '{start_date}' AND '{end_date}'",
        )


@dataclass
class ToyJob(RetrievalJob):
    path: str
    sql: str

    def to_sql(self) -> str:
        return self.sql

    def to_arrow(self, *_: Any, **__: Any) -> pa.Table:
        with connected(self.path) as connection:
            return connection.sql(self.sql).to_arrow_table()


class ToySource(DataSource):
    """A table of the toy; its name is the source's."""

    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(name=name, **more)

    def source_type(self) -> Any:
        return DataSourceProto.CUSTOM_SOURCE

    @staticmethod
    def from_proto(data_source: Any) -> "ToySource":
        return ToySource(
            data_source.name,
            timestamp_field=data_source.timestamp_field,
            created_timestamp_column=data_source.created_timestamp_column,
        )

    def _to_proto_impl(self) -> Any:
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type="worlds.toy_warehouse.ToySource",
            custom_options=DataSourceProto.CustomSourceOptions(configuration=b"{}"),
            timestamp_field=self.timestamp_field,
            created_timestamp_column=self.created_timestamp_column,
        )

    def validate(self, config: RepoConfig) -> None:
        pass

    @staticmethod
    def source_datatype_to_feast_value_type() -> Any:
        return lambda kind: _TYPES.get(kind, ValueType.UNIX_TIMESTAMP)

    def get_table_column_names_and_types(self, config: RepoConfig) -> Iterable[tuple[str, str]]:
        with connected(config.offline_store.path) as connection:
            return list(ToySession(connection).types(self.name).items())

    def get_table_query_string(self) -> str:
        return self.name


@dataclass(frozen=True)
class ToySession:
    connection: duckdb.DuckDBPyConnection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def batches(self, sql: str) -> Iterator[pa.Table]:
        yield self.connection.sql(sql).to_arrow_table()

    def columns(self, sql: str) -> list[str]:
        return [str(name) for name, *_ in self.connection.execute(sql).description or ()]

    def types(self, table: str) -> Mapping[str, str]:
        found = self.connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name || '.' || table_name IN (?, 'main.' || ?) ORDER BY column_index",
            [table, table],
        )
        return {str(name): str(kind) for name, kind in found.fetchall()}

    def stamp(self, tables: Sequence[str]) -> str | None:
        return " ".join(
            str(self.connection.execute(f"SELECT count(*), sum(hash(t)) FROM {name} t").fetchall())
            for name in tables
        )


class ToyWarehouse(SqlWarehouse):
    label = "The toy"
    source_type = "ToySource"
    dialect = DUCKDB
    whole_number_types = frozenset({"BIGINT"})
    hashes = ("md5_number_lower(t)", "md5_number_upper(t)")

    @contextmanager
    def session(self, config: RepoConfig) -> Iterator[ToySession]:
        with connected(config.offline_store.path) as connection:
            yield ToySession(connection)

    def run_scripts(self, config: RepoConfig, scripts: Sequence[str], resources: Any) -> None:
        del config
        with connected(resources.toy.path) as connection:
            for script in scripts:
                connection.execute(script)

    def build_resources(self, config: RepoConfig) -> Mapping[str, BuildResource]:
        path = {"path": config.offline_store.path}
        return {"toy": BuildResource("worlds.toy_warehouse", "ToyResource", path, "toy", "toy")}

    def row_text(self, columns: Mapping[str, str]) -> str:
        fields = ", ".join(f"{name} := {expression}" for name, expression in columns.items())
        return f"to_json(struct_pack({fields}))::VARCHAR"

    def bucket(self, time: str, starts: Sequence[str]) -> str:
        return f"len(list_filter([{', '.join(starts)}], lambda start: start <= {time}))"

    def element(self, values: Sequence[str], place: str) -> str:
        return f"[{', '.join(values)}][{place}]"


class ToyResource(dg.ConfigurableResource):
    path: str
