"""PostgreSQL: Feast's online store and ours."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import postgres_address, postgres_connection
from feature_platform.errors import OnlineStoreError
from feature_platform.online.online_backend import OnlineBackend
from feature_platform.online.online_size import OnlineSize
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
    packages = ("psycopg",)
    extra = "postgres"

    def writer(self, online: Any, config: "RepoConfig") -> "OnlineWriter | None":  # noqa: ARG002
        """A writer over connections of its own; none where there are columns of vectors."""
        from feature_platform.online.postgres.writer import PostgresWriter

        return PostgresWriter(config) if is_plain(config) else None

    def size(self, store: "FeatureStore", views: Sequence[str]) -> OnlineSize:
        """Count the rows of each view's table, or take PostgreSQL's estimate of a large one."""
        keys, sizes = dict.fromkeys(views, 0), dict.fromkeys(views, 0)
        with closing(postgres_connection(store.config.online_store)) as connection:
            for view, (table, features) in view_tables(store, views).items():
                known = connection.execute(
                    "SELECT reltuples, pg_total_relation_size(oid) FROM pg_class "
                    "WHERE oid = to_regclass(%s)",
                    (table,),
                ).fetchone()
                if known is None:
                    continue
                rows, sizes[view] = known
                if rows >= _MANY_ROWS:
                    keys[view] = round(rows / len(features))
                    continue
                [keys[view]] = connection.execute(
                    f"SELECT COUNT(*) FROM {table} WHERE feature_name = %s", (features[0],)
                ).fetchone()
        return OnlineSize(keys, sum(sizes.values()), sizes)

    def examine(self, config: "RepoConfig", timeout: float) -> None:
        """Refuse a time zone with daylight saving time.

        Feast's sessions read its UTC times as local times of the server's zone.
        """
        import psycopg

        store: Any = config.online_store
        address, options = postgres_address(store)
        with psycopg.connect(address, connect_timeout=int(timeout), **options) as connection:
            found = connection.execute(_YEAR_OF_OFFSETS).fetchone()
        if found is not None and found[1] > 1:
            raise OnlineStoreError(
                f"time zone '{found[0]}' of database '{store.database}'",
                "it has daylight saving time: two times around the skipped hour become one",
                f"ALTER DATABASE \"{store.database}\" SET timezone = 'UTC', "
                "then feature-platform rebuild-online",
            )
