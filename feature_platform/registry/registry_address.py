"""Where a registry is kept: its address without credentials, and the file of a local one."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig


def configured_address(config: "RepoConfig") -> str:
    """Path or URL of the registry, without user, password and parameters."""
    path = str(config.registry.path or "")
    if "://" not in path:
        return path
    if str(config.registry.registry_type) == "sql":
        from sqlalchemy.engine import URL, make_url
        from sqlalchemy.exc import SQLAlchemyError

        try:
            url = make_url(path)
        except (ValueError, SQLAlchemyError):  # whose message would hold the password
            return f"{path.partition('://')[0]}://"
        # An @ in a password that is not written %40 ends up in the host.
        host = url.host and url.host.rpartition("@")[2]
        bare = URL.create(url.drivername, host=host, port=url.port, database=url.database)
        return bare.render_as_string()
    parts = urlsplit(path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def registry_subject(store: "FeatureStore") -> str:
    """The registry as the subject of an error."""
    return f"registry '{configured_address(store.config)}'"


def is_sql(store: "FeatureStore") -> bool:
    """Whether it is Feast's SQL registry."""
    return str(store.config.registry.registry_type) == "sql"


def is_postgres(store: "FeatureStore") -> bool:
    """Whether it is a SQL registry on PostgreSQL."""
    return is_sql(store) and str(store.config.registry.path).startswith("postgres")


def local_registry_file(store: "FeatureStore") -> Path | None:
    """The file of a local registry, in Feast's own format or a SQLite database; else None."""
    return configured_registry_file(store.config, store.repo_path)


def configured_registry_file(
    config: "RepoConfig", repo_path: str | Path | None = None
) -> Path | None:
    """As `local_registry_file`, without opening the registry, which would create it."""
    path = str(config.registry.path or "")
    kind = str(config.registry.registry_type or "file")
    if kind == "sql":
        return _sqlite_file(path)
    if kind != "file" or ("://" in path and not path.startswith("file://")):
        return None
    plain = Path(path.removeprefix("file://"))
    root = repo_path if repo_path is not None else config.repo_path
    return plain if plain.is_absolute() or root is None else Path(root) / plain


def _sqlite_file(url: str) -> Path | None:
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return None if parsed.database == ":memory:" else Path(parsed.database).absolute()
