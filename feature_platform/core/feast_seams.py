"""Every use of Feast's (0.67) private names, each behind one function with a public name.

After an upgrade of Feast, check this module and :mod:`feature_platform.registry`. A subclass of one
of Feast's classes may override its private methods; nothing else may use private names. Feast is
imported when a function is called, not when this module is.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from feast import FeatureService, FeatureStore, FeatureView
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig
    from feast.repo_contents import RepoContents


def provider_of(store: "FeatureStore") -> Any:
    """The provider of a store: its online store, offline store, and compute engine."""
    return store._get_provider()


def online_store_of(store: "FeatureStore") -> Any:
    """The ``OnlineStore`` instance of a store."""
    return provider_of(store).online_store


def parse_files(repo_dir: "Path", files: "Iterable[Path]") -> "RepoContents":
    """``parse_repo`` of some files instead of all that Feast finds below the folder."""
    from feast import repo_operations

    stock = repo_operations.get_repo_files
    repo_operations.get_repo_files = lambda _: files
    try:
        return repo_operations.parse_repo(repo_dir)
    finally:
        repo_operations.get_repo_files = stock


def redis_client_of(store: "FeatureStore") -> Any:
    """The client of a store's Redis online store."""
    return online_store_of(store)._get_client(store.config.online_store)


def sqlite_connection_of(online: Any, config: "RepoConfig") -> Any:
    """The connection of a SQLite online store."""
    return online._get_conn(config)


def prepare_online_store_with(store: "FeatureStore", prepare: Callable[[Any], None]) -> None:
    """Let `prepare` have the ``OnlineStore`` instance of a store before anybody uses it."""
    create = store._get_provider
    prepared: list[Any] = []

    def provider() -> Any:
        found = create()
        if found not in prepared:
            prepared.append(found)
            if found.online_store is not None:
                prepare(found.online_store)
        return found

    store._get_provider = provider


def replace_redis_client(online: Any, make: Callable[[Any], Any]) -> None:
    """Let `make` create the client of a Redis online store from its section, on first use."""

    def client(section: Any) -> Any:
        if not online._client:
            online._client = make(section)
        return online._client

    online._get_client = client


def replace_dynamodb_clients(online: Any, make: Callable[..., Any]) -> None:
    """Let `make` create both clients of a DynamoDB online store, on first use.

    It gets ``client`` or ``resource``, region, endpoint, and whether a session authenticates.
    """

    def client(*where: Any) -> Any:
        if online._dynamodb_client is None:
            online._dynamodb_client = make("client", *where)
        return online._dynamodb_client

    def resource(*where: Any) -> Any:
        if online._dynamodb_resource is None:
            online._dynamodb_resource = make("resource", *where)
        return online._dynamodb_resource

    online._get_dynamodb_client, online._get_dynamodb_resource = client, resource


def wrap_postgres_connections(
    online: Any, wrap: Callable[[Any, Any], AbstractContextManager[Any]]
) -> None:
    """Let `wrap` surround each use of a connection of a PostgreSQL online store.

    It gets the store's section of the configuration, and the context that yields the connection.
    """
    get = online._get_conn

    def wrapped(config: Any, autocommit: bool = False) -> Any:  # noqa: FBT001, FBT002 - Feast's
        return wrap(config.online_store, get(config, autocommit))

    online._get_conn = wrapped


def connect_postgres(online: Any, section: Any, seconds: int) -> None:
    """Give a PostgreSQL online store a connection, or a pool, if it has none that works.

    Args:
        online: The store.
        section: Its section of the configuration.
        seconds: How long connecting may take.
    """
    import psycopg
    from psycopg_pool import ConnectionPool

    address, options = postgres_address(section)
    options["connect_timeout"] = seconds
    if getattr(section.conn_type, "value", section.conn_type) == "pool":
        if not online._conn_pool:
            online._conn_pool = ConnectionPool(
                conninfo=address,
                min_size=section.min_conn,
                max_size=section.max_conn,
                timeout=seconds,
                open=True,
                kwargs=options,
            )
    elif online._conn is None or online._conn.closed:
        online._conn = psycopg.connect(address, keepalives_idle=section.keepalives_idle, **options)


def give_back_postgres(online: Any, connection: Any) -> None:
    """Give a connection back to the pool of a PostgreSQL store, which Feast forgets on errors."""
    if online._conn_pool:
        online._conn_pool.putconn(connection)


def redis_nodes(connection_string: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The nodes and client options in a Redis connection string."""
    from feast.infra.online_stores.redis import RedisOnlineStore

    nodes, options = RedisOnlineStore._parse_connection_string(connection_string)
    return nodes, options


def redis_key_hash(name: str) -> bytes:
    """The hash that names a feature's field in Redis (MurmurHash3, 4 bytes)."""
    from feast.infra.online_stores.helpers import _mmh3

    hashed: bytes = _mmh3(name)
    return hashed


def postgres_connection(config: Any) -> Any:
    """A connection to PostgreSQL, made from a store's section of the configuration."""
    from feast.infra.utils.postgres.connection_utils import _get_conn

    return _get_conn(config)


def postgres_address(config: Any) -> tuple[str, dict[str, Any]]:
    """The connection string and the keyword arguments that Feast gives psycopg."""
    from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo

    return _get_conninfo(config), _get_conn_kwargs(config)


def bigquery_client(project: str | None, location: str | None) -> Any:
    """The BigQuery client that Feast's offline store makes."""
    from feast.infra.offline_stores.bigquery import _get_bigquery_client

    return _get_bigquery_client(project=project, location=location)


def bigquery_storage_client(client: Any) -> Any:
    """The Storage API client of a BigQuery client; None where its package is not installed."""
    return client._ensure_bqstorage_client()


def unique_entities(
    table: "FeatureView", entity_values: Any, join_key_values: Any
) -> tuple[Any, Any, int]:
    """Distinct entity rows, the places of each in the request, and the request's length."""
    from feast import utils

    unique, places, count = utils._get_unique_entities(table, entity_values, join_key_values)
    return unique, places, count


def entity_key_messages(rows: int, columns: Any, join_keys: Any) -> list[Any]:
    """An ``EntityKey`` message per row."""
    from feast.utils import _build_entity_keys

    keys: list[Any] = _build_entity_keys(rows, columns, join_keys)
    return keys


def rows_for_online_store(
    table: "pa.Table", view: "FeatureView", join_keys: dict[str, Any]
) -> list[Any]:
    """The rows of a table as Feast's engine passes them to an online store."""
    from feast.utils import _convert_arrow_to_proto

    rows: list[Any] = _convert_arrow_to_proto(table, view, join_keys)
    return rows


def parse_feature_reference(reference: str) -> tuple[str, int | None, str]:
    """View, version and feature of ``view[@v2]:feature``."""
    from feast.utils import _parse_feature_ref

    view, version, feature = _parse_feature_ref(reference)
    return view, version, feature


def views_to_use(registry: Any, project: str, features: Any) -> tuple[list[Any], list[Any]]:
    """Feature views and on-demand views that a request uses, those without entities included."""
    from feast.utils import _get_feature_views_to_use

    views, on_demand = _get_feature_views_to_use(
        registry, project, features, allow_cache=False, hide_dummy_entity=False
    )
    return views, on_demand


def unresolved_features(service: "FeatureService") -> Sequence[Any]:
    """The features that a service was declared with, before Feast resolves them."""
    found: Sequence[Any] = getattr(service, "_features", ())
    return found


def dataframe_backend(engine: Any, context: Any) -> Any:
    """The dataframe backend that Feast's local engine is configured with."""
    return engine._get_backend(context)


def read_file_source(source: "DataSource", repo_path: str) -> Any:
    """A file source as the ibis table of Feast's DuckDB store."""
    from feast.infra.offline_stores.duckdb import _read_data_source

    return _read_data_source(source, repo_path)


def write_file_source(
    table: Any, source: "DataSource", repo_path: str, mode: str, *, overwrite: bool
) -> None:
    """Write an ibis table to a file source as Feast's DuckDB store does."""
    from feast.infra.offline_stores.duckdb import _write_data_source

    _write_data_source(table, source, repo_path, mode, overwrite)


def create_registry_with(
    store: "FeatureStore", creating: Callable[[Callable[[], Any]], Any]
) -> None:
    """Let `creating` wrap the call that creates a store's registry on first use."""
    create = store._create_registry
    store._create_registry = lambda: creating(create)
