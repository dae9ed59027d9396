"""PostgreSQL: Feast's online store and ours."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import postgres_address, wrap_postgres_connections
from feature_platform.errors import OnlineStoreError
from feature_platform.online.deadline import deadline
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.online_size import OnlineSize
from feature_platform.online.postgres import connections
from feature_platform.online.postgres.connections import in_time
from feature_platform.online.store_faults import GONE, WITHOUT_TABLE, Signs, StoreFault
from feature_platform.online.view_tables import is_plain, view_tables

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from feature_platform.online.guarded_writer import OnlineWriter

_MANY_ROWS = 1_000_000
"""From this many rows on, PostgreSQL's estimate is taken instead of a count."""
_YEAR_OF_OFFSETS = """
SELECT current_setting('TimeZone'), count(DISTINCT extract(timezone FROM day))
FROM generate_series(now() - interval '1 year', now(), interval '1 day') AS day
"""


class PostgresBackend(OnlineBackend):
    """A PostgreSQL database."""

    types = (
        "postgres",
        "feast.infra.online_stores.postgres_online_store.postgres.PostgreSQLOnlineStore",
    )
    plugin = "feature_platform.online.postgres.store.GuardedPostgreSQLOnlineStore"
    signs = (
        Signs(
            StoreFault(
                "refuses the credentials",
                "correct user and password in the online_store section of feature_store.yaml",
            ),
            classes=("InvalidPassword", "InvalidAuthorizationSpecification"),
            codes=("28P01", "28000"),
            texts=(
                *("password authentication failed", "no password supplied", "no pg_hba.conf entry"),
                *('fatal:  role "', "is not permitted to log in"),
            ),
        ),
        Signs(
            StoreFault(
                "does not let this user do that",
                "GRANT the user SELECT, INSERT, UPDATE and DELETE on the tables of the feature "
                "views, TEMPORARY on the database, and CREATE on the schema",
            ),
            codes=("42501",),
            texts=("permission denied for",),
        ),
        Signs(
            StoreFault(
                "has no disk space left",
                "free space on the database's disk, or give it more; see the runbook "
                "online-store-fills-up",
            ),
            codes=("53100",),
            texts=("no space left on device",),
        ),
        Signs(
            StoreFault(
                "takes no writes: it is a standby, or read-only",
                "write to the primary: correct host and port in feature_store.yaml, or end "
                "default_transaction_read_only",
                is_transient=True,
            ),
            codes=("25006",),
            texts=("read-only transaction",),
        ),
        Signs(
            StoreFault(
                "got a key or text larger than an index of Feast's table takes",
                "shorten it: keys keep below 2,700 bytes, texts below 1 MB",
                is_too_large=True,
            ),
            codes=("54000",),
            texts=("index row size", "too long for tsvector"),
        ),
        Signs(
            StoreFault(
                "has no connection left to give",
                "raise max_connections, put a pooler before it, or run fewer steps at once",
                is_transient=True,
            ),
            codes=("53300",),
            texts=("too many clients", "remaining connection slots", "too many connections"),
        ),
        Signs(
            StoreFault(
                "has no memory left",
                "run fewer steps at once, or give the server more memory",
                is_transient=True,
            ),
            codes=("53200",),
        ),
        Signs(
            WITHOUT_TABLE,
            codes=("42P01",),
        ),
        Signs(
            StoreFault(
                "has no such database",
                "create it, or correct database in the online_store section",
            ),
            codes=("3D000",),
            texts=('fatal:  database "',),
        ),
        Signs(GONE, texts=("connection failed", "server closed the connection", "is lost")),
    )
    packages = ("psycopg",)
    extra = "postgres"

    def writer(self, online: Any, config: "RepoConfig") -> "OnlineWriter | None":  # noqa: ARG002
        """A writer over connections of its own; none where there are columns of vectors."""
        from feature_platform.online.postgres.writer import PostgresWriter

        return PostgresWriter(config) if is_plain(config) else None

    def size(self, store: "FeatureStore", views: Sequence[str]) -> OnlineSize:
        """Count the rows of each view's table, or take PostgreSQL's estimate of a large one."""
        keys, sizes = dict.fromkeys(views, 0), dict.fromkeys(views, 0)
        with closing(_connected(store.config.online_store)) as connection:
            for view, (table, features) in view_tables(store, views).items():
                with _answering(connection, connections.ANSWER_SECONDS):
                    keys[view], sizes[view] = _rows_and_bytes(connection, table, features)
        return OnlineSize(keys, sum(sizes.values()), sizes)

    def prepare(self, online: Any) -> None:
        """Let each use of a connection end in time."""
        wrap_postgres_connections(online, partial(in_time, online))

    def examine(self, config: "RepoConfig", timeout: float) -> None:
        """Refuse a time zone with daylight saving time.

        Feast's sessions read its UTC times as local times of the server's zone.
        """
        store: Any = config.online_store
        with (
            closing(_connected(store, int(timeout))) as connection,
            _answering(connection, timeout),
        ):
            found = connection.execute(_YEAR_OF_OFFSETS).fetchone()
        if found is not None and found[1] > 1:
            raise OnlineStoreError(
                f"time zone '{found[0]}' of database '{store.database}'",
                "it has daylight saving time: two times around the skipped hour become one",
                f"ALTER DATABASE \"{store.database}\" SET timezone = 'UTC', "
                "then feature-platform rebuild-online",
            )


def _connected(section: Any, seconds: int = connections.CONNECT_SECONDS) -> Any:
    import psycopg

    address, options = postgres_address(section)
    return psycopg.connect(address, connect_timeout=seconds, **options)


def _answering(connection: Any, seconds: float) -> AbstractContextManager[None]:
    return deadline(seconds, lambda: int(connection.pgconn.socket))


def _rows_and_bytes(connection: Any, table: str, features: Sequence[str]) -> tuple[int, int]:
    """The keys and bytes of a view's table; none if there is no such table."""
    known = connection.execute(
        "SELECT reltuples, pg_total_relation_size(oid) FROM pg_class WHERE oid = to_regclass(%s)",
        (table,),
    ).fetchone()
    if known is None:
        return 0, 0
    rows, size = known
    if rows >= _MANY_ROWS:
        return round(rows / len(features)), size
    select = f"SELECT COUNT(*) FROM {table} WHERE feature_name = %s"
    [keys] = connection.execute(select, (features[0],)).fetchone()
    return keys, size
