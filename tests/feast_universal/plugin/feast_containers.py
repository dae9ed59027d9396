"""Servers on loopback in place of the containers that Feast's tests ask for.

Feast's tests start their servers with the package testcontainers, which needs Docker. This module
answers to that name where the package is not installed: Redis and PostgreSQL are real servers, and
anything else fails when it is made. Other packages that are only imported, for stores that are not
tested here, are answered for likewise.
"""

import atexit
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from worlds.local_servers import PostgresServer, RedisServer, postgres_running, redis_running

NAMES = ("testcontainers", "minio", "keycloak")

_servers = ExitStack()
atexit.register(_servers.close)
_running: dict[str, Any] = {}


def redis() -> RedisServer:
    """The session's Redis."""
    if "redis" not in _running:
        _running["redis"] = _servers.enter_context(redis_running("--databases", "4000"))
    return _running["redis"]


def postgres() -> PostgresServer:
    """The session's PostgreSQL, with the roles that Feast's tests log in as."""
    if "postgres" not in _running:
        import psycopg

        server = _servers.enter_context(postgres_running())
        with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
            for role in ("root", "test"):
                connection.execute(f"CREATE ROLE {role} SUPERUSER LOGIN")
        _running["postgres"] = server
    return _running["postgres"]


class Absent:
    """What is not there: fails when it is made."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(f"{type(self).__name__} needs a container, and there are none here")


class _Container:
    def with_exposed_ports(self, *_: Any) -> "_Container":
        return self

    def get_container_host_ip(self) -> str:
        return "localhost"

    def stop(self) -> None:
        """The server goes on until the session ends."""


class RedisContainer(_Container):
    def __init__(self, image: str, **_: Any) -> None:
        assert "redis" in image

    def start(self) -> "RedisContainer":
        redis().client().flushall()
        return self

    def get_exposed_port(self, _: int | str) -> int:
        return redis().port


class PostgresContainer(_Container):
    def __init__(
        self,
        image: str,
        username: str = "test",
        password: str = "test",  # noqa: S107 - as testcontainers has it
        dbname: str = "test",
        **_: Any,
    ) -> None:
        assert image.startswith("postgres")
        self.username, self.password, self.dbname = username, password, dbname

    def start(self) -> "PostgresContainer":
        import psycopg

        with psycopg.connect(postgres().conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self.dbname}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{self.dbname}"')
        return self

    def get_exposed_port(self, _: int | str) -> int:
        return postgres().port


class _StandIn(ModuleType):
    """A module that has every name; a local server's container by its own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = {"RedisContainer": RedisContainer, "PostgresContainer": PostgresContainer}
        return found.get(name) or type(name, (Absent,), {})


class _Finder:
    """Finds packages of those names that nobody has installed."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        if fullname.partition(".")[0] not in self._names:
            return None
        return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def install() -> None:
    """Answer to the names that are not installed, and to the question for Docker."""
    missing = [name for name in NAMES if importlib.util.find_spec(name) is None]
    sys.meta_path.append(_Finder(missing))  # type: ignore[arg-type]
    which = shutil.which
    shutil.which = lambda cmd, *args, **kwargs: (  # type: ignore[assignment]
        sys.executable if cmd == "docker" else which(cmd, *args, **kwargs)
    )
