import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import duckdb
import pandas as pd
import psycopg
import pytest
from worlds.places import FRAUD_REPO

from feature_platform.core.windows import Window
from feature_platform.tables.source_sql import SourceSql


@pytest.fixture(scope="session")
def repo() -> Path:
    return FRAUD_REPO


@pytest.fixture(scope="session")
def raw_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fraud_raw_tables", FRAUD_REPO / "raw_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bound(
    raw_tables: ModuleType,
) -> Iterator[Callable[[Window], duckdb.DuckDBPyConnection]]:
    """A DuckDB connection that holds the raw tables of a window."""
    opened = []

    def bind(window: Window) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(":memory:")
        opened.append(connection)
        connection.execute("SET TimeZone = 'UTC'")
        raw_tables.bind(connection, window)
        return connection

    yield bind
    for connection in opened:
        connection.close()


@pytest.fixture(scope="session")
def source_table() -> Callable[..., pd.DataFrame]:
    """A source table's window, computed by the repo's SQL on a connection's raw tables."""

    def compute(
        connection: duckdb.DuckDBPyConnection,
        source: str,
        window: Window,
        computed_at: datetime = datetime(2030, 1, 1, tzinfo=UTC),
    ) -> pd.DataFrame:
        sql = (FRAUD_REPO / "sql" / f"{source}.sql").read_text()
        return connection.execute(SourceSql(sql).render(window, computed_at)).df()

    return compute


@pytest.fixture(scope="session")
def postgres() -> Iterator[psycopg.Connection]:
    """A real PostgreSQL of its own, reached through a socket in its own folder."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    # PostgreSQL refuses to run as root, which is who runs tests in a container.
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user, user)
    data = folder / "data"

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)

    # A time zone with summer time, which must make no difference to UTC windows.
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c TimeZone=Europe/Berlin"
    try:
        run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            with psycopg.connect(host=str(folder), user="postgres", autocommit=True) as connection:
                yield connection
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
