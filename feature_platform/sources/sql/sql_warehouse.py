"""The protocol of a warehouse that computes SQL: it hashes, chooses and builds rows itself.

Only results as small as one row per window come back. A hash is compared only with hashes that the
same warehouse computed, so each uses the functions it has.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from feature_platform.core.times import MICROSECOND
from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError
from feature_platform.sources.pulled.pulled_files import duckdb_rows_of, retrieval_job
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.source_errors import offline_store_failed, require_columns
from feature_platform.sources.sql.newest_sql import KEYS_TOTAL, newest_sql
from feature_platform.sources.warehouse import Sums, WantedRows, Warehouse

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

    from feature_platform.sources.sql.sql_dialect import SqlDialect

NUMBER = "window_number"
"""The column with the number of the window that a row belongs to, counted from 0."""


class Session(Protocol):
    """A connection that reads; times without a zone are UTC in it.

    All of its queries see the tables as they are at the first, unless the warehouse overrides
    `SqlWarehouse.snapshot`.
    """

    def rows(self, sql: str) -> Sequence[Sequence[Any]]:
        """Run a query and return its (few) rows."""

    def batches(self, sql: str) -> "Iterator[pa.Table]":
        """Run a query and stream its rows; at least one table, so that the columns are known."""

    def columns(self, sql: str) -> list[str]:
        """The columns of a query's result, without computing it."""

    def types(self, table: str) -> Mapping[str, str]:
        """The columns of a table and their types in SQL; empty where there is no such table."""

    def stamp(self, tables: Sequence[str]) -> str | None:
        """A text that stays the same until one of the tables is written to; None if unknown."""


@dataclass(frozen=True)
class BuildResource:
    """A Dagster resource that building takes, as data: `orchestration` imports and creates it.

    Attributes:
        module: Where its class is.
        name: Of the class.
        arguments: What it is created with.
        package: The package that has the module.
        extra: The extra of feature-platform that brings the package.
    """

    module: str
    name: str
    arguments: Mapping[str, Any]
    package: str
    extra: str


@contextmanager
def warehouse_errors(source: "DataSource") -> Iterator[None]:
    """Convert whatever a driver raises into a `SourceError` that names the source."""
    try:
        yield
    except FeaturePlatformError:
        raise
    except Exception as error:
        raise offline_store_failed(source.name, error) from error


class SqlWarehouse(Warehouse):
    """A warehouse that Feast's offline store queries with SQL; see `Warehouse`.

    A subclass gives a session, runs scripts, and says in SQL how a row is hashed.
    """

    min_rest = timedelta(0)
    label: ClassVar[str]
    """Its name in messages."""
    source_type: ClassVar[str]
    """The name of the class of its batch sources."""
    dialect: "ClassVar[SqlDialect]"
    whole_number_types: ClassVar[frozenset[str]] = frozenset()
    """Column types, as Feast names them, whose values compare with whole numbers as in DuckDB."""
    text_types: ClassVar[frozenset[str]] = frozenset()
    """Column types, as Feast names them, whose values compare with texts as in DuckDB."""
    hashes: ClassVar[tuple[str, str]]
    """Two 64-bit hashes of the text ``t``, in a type in which they can be summed."""

    @abstractmethod
    def session(self, config: "RepoConfig") -> AbstractContextManager[Session]:
        """Connect as Feast's offline store does."""

    @abstractmethod
    def run_scripts(self, config: "RepoConfig", scripts: Sequence[str], resources: Any) -> None:
        """Run scripts that write; `resources` has each of `build_resources` as an attribute."""

    @abstractmethod
    def row_text(self, columns: Mapping[str, str]) -> str:
        """SQL text of a row that no other row shares; columns are quoted name to expression."""

    @abstractmethod
    def bucket(self, time: str, starts: Sequence[str]) -> str:
        """SQL: how many of the ascending `starts` are not after `time`."""

    @abstractmethod
    def element(self, values: Sequence[str], place: str) -> str:
        """SQL: one of the values, counted from 1; null beyond them."""

    def sample_order(self, seed: int, keys: str) -> str:
        """SQL that orders keys (quoted columns) at random, but equally for equal seeds."""
        return f"md5(concat_ws(chr(31), '{seed}', {keys}))"

    def place(self, config: "RepoConfig") -> str:
        """What messages call the server that builds."""
        del config
        return self.label

    def build_resources(self, config: "RepoConfig") -> Mapping[str, BuildResource]:
        """The Dagster resources that `run_scripts` takes, by key."""
        del config
        return {}

    def table_of(self, source: "DataSource") -> str | None:
        """The dotted name of a source's table; None for a query."""
        origin = str(source.get_table_query_string())
        return None if origin.startswith("(") else origin

    def holds(self, source: "DataSource") -> bool:
        """Whether its class is the one of this warehouse."""
        return type(source).__name__ == self.source_type

    @contextmanager
    def opened(self, config: "RepoConfig", source: "DataSource") -> Iterator[Session]:
        """A session for questions about a source, and for nothing else.

        Raises:
            SourceError: The warehouse cannot be reached, or refuses a query.
        """
        with warehouse_errors(source), self.session(config) as session:
            yield session

    def duckdb_rows(self, connection: "duckdb.DuckDBPyConnection", wanted: WantedRows) -> str:
        """Stream the rows into files; only the newest ones, if those suffice."""
        snapshot = wanted.snapshot
        if isinstance(snapshot, SqlSnapshot):
            return duckdb_rows_of(
                connection,
                wanted,
                lambda windows, columns: snapshot.batches(wanted, windows, columns),
            )
        with self.snapshot(wanted.config, wanted.source, wanted.windows, held=False) as opened:
            return self.duckdb_rows(connection, replace(wanted, snapshot=opened))

    @contextmanager
    def snapshot(
        self,
        config: "RepoConfig",
        source: "DataSource",
        windows: Sequence[Window],
        *,
        held: bool = True,
    ) -> Iterator["SqlSnapshot"]:
        """A session of its own; see `Warehouse`."""
        del windows, held
        with ExitStack() as stack:
            with warehouse_errors(source):
                session = stack.enter_context(self.session(config))
            yield SqlSnapshot(self, session, source, str(source.get_table_query_string()))

    def sums_by_number(
        self, session: Session, rows: str, columns: Mapping[str, str]
    ) -> dict[int, Sums]:
        """Count and hash the rows of a query per window, with one statement.

        Args:
            session: A session of this warehouse.
            rows: A query that gives the columns and `NUMBER`.
            columns: Those that count, each with the type it is cast to; empty for no cast.
        """
        names = {self.dialect.identifier(name): kind for name, kind in columns.items()}
        text = self.row_text(
            {name: f"CAST({name} AS {kind})" if kind else name for name, kind in names.items()}
        )
        low, high = self.hashes
        found = session.rows(
            f"SELECT {NUMBER}, COUNT(*), SUM({low}), SUM({high}) "
            f"FROM (SELECT {NUMBER}, {text} AS t FROM ({rows}) AS r) AS texts GROUP BY {NUMBER}"
        )
        return {int(number): Sums(int(count), int(a), int(b)) for number, count, a, b in found}

    def numbered(self, origin: str, timestamp: str, windows: Sequence[Window]) -> str:
        """A query: the rows of a table in windows, ordered and disjoint, each with its number."""
        time, instant = self.dialect.identifier(timestamp), self.dialect.instant
        place = self.bucket(time, [instant(window.start) for window in windows])
        end = self.element([instant(window.end) for window in windows], place)
        return (
            f"SELECT {place} - 1 AS {NUMBER}, source_rows.* FROM {origin} AS source_rows "
            # The outer bounds on their own let the warehouse use an index or skip partitions.
            f"WHERE {time} >= {instant(windows[0].start)} AND {time} < {instant(windows[-1].end)} "
            f"AND {time} < {end}"
        )

    def rows_without_event_time(self, config: "RepoConfig", source: "DataSource") -> int:
        """Count them with one query."""
        column = self.dialect.identifier(time_columns(source)[0])
        origin = source.get_table_query_string()
        with self.opened(config, source) as session:
            ((rows,),) = session.rows(
                f"SELECT COUNT(*) FROM {origin} AS source_rows WHERE {column} IS NULL"
            )
            return int(rows)

    def stamp(
        self, config: "RepoConfig", source: "DataSource", tables: Sequence[str] | None = None
    ) -> list[str] | None:
        """What the warehouse records of writes; None for a query, which may read the clock."""
        if tables is None:
            table = self.table_of(source)
            if table is None:
                return None
            tables = [table]
        with self.opened(config, source) as session:
            found = session.stamp(tables)
        return None if found is None else [found]


@dataclass(frozen=True)
class SqlSnapshot:
    """A source as one session sees it; see `Snapshot`.

    Attributes:
        warehouse: Where it is stored.
        session: What is asked.
        source: The batch source.
        origin: What stands after FROM to read it, in place of the source's own table or query.
    """

    warehouse: SqlWarehouse
    session: Session
    source: "DataSource"
    origin: str

    def sums(
        self,
        windows: Sequence[Window],
        columns: Sequence[str] | None,
        exclude: Collection[str | None],
    ) -> tuple[list[str], list[Sums]]:
        """Hash them with one statement, unless windows overlap; see `Snapshot`."""
        timestamp, _ = time_columns(self.source)
        with warehouse_errors(self.source):
            present = self.session.columns(f"SELECT * FROM {self.origin} AS source_rows LIMIT 0")
            chosen = present if columns is None else columns
            counted = sorted(name for name in chosen if name not in exclude)
            require_columns(self.source.name, present, [*counted, timestamp])
            found: dict[Window, Sums] = {}
            for layer in _layers(windows):
                rows = self.warehouse.numbered(self.origin, timestamp, layer)
                sums = self.warehouse.sums_by_number(self.session, rows, dict.fromkeys(counted, ""))
                found |= {window: sums.get(number, Sums()) for number, window in enumerate(layer)}
        return counted, [found[window] for window in windows]

    def batches(
        self, wanted: WantedRows, windows: Sequence[Window], columns: list[str]
    ) -> "Iterator[tuple[Window, pa.Table]]":
        """The wanted rows of some windows, each batch with the window it was asked for."""
        columns = [name for name in columns if name != KEYS_TOTAL]
        own = str(self.source.get_table_query_string())

        def query(window: Window, columns: Sequence[str]) -> str:
            # Feast includes the end, the window does not, and both count microseconds.
            job = retrieval_job(wanted, columns, window.start, window.end - MICROSECOND)
            return str(job.to_sql()).replace(own, self.origin)

        queries = [(window, query(window, columns)) for window in windows]
        if wanted.newest is not None:
            rows = [sql for _, sql in queries]
            keys = [query(window, wanted.newest.keys) for window in windows]
            timestamp, _ = time_columns(self.source)
            sql = newest_sql(self.warehouse, wanted.newest, timestamp, rows, keys)
            queries = [(Window(windows[0].start, windows[-1].end), sql)]
        for window, sql in queries:
            for table in self.session.batches(sql):
                yield window, table


def _layers(windows: Sequence[Window]) -> list[list[Window]]:
    """Windows as lists without overlaps: one list, if no two windows overlap."""
    layers: list[list[Window]] = []
    for window in sorted(set(windows)):
        free = next((each for each in layers if each[-1].end <= window.start), None)
        if free is None:
            layers.append([window])
        else:
            free.append(window)
    return layers
