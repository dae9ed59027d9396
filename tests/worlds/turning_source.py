"""A source whose content turns from good to bad while it is read, on each engine.

Of each of two days a turn writes good rows, with amounts from 1 on, or bad ones, of which every
amount is infinite, so that the checks refuse the day whichever of the rows are read. A customer of
the good rows comes and goes. Whoever serves an infinite amount has served what no check let pass.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from feature_platform.core.windows import Window
from feature_platform.sources import opened_window
from feature_platform.sources.relation import Relation
from feature_platform.sources.sql.sql_warehouse import SqlSnapshot

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = [Window(START + timedelta(n), START + timedelta(n + 1)) for n in range(2)]
CUSTOMERS = range(1, 6)
VIEWS = """
from datetime import timedelta

from feast import BigQuerySource, Entity, FeatureView, Field, FileSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Float64, Int64

customer = Entity(name="customer")
view = FeatureView(
    name="amounts", entities=[customer], ttl=timedelta(days=11000),
    source={source}, tags={{"dagster/drift": "off"}},
    schema=[Field(name="customer", dtype=Int64), Field(name="amount", dtype=Float64)],
)
"""
STORE = """
project: turning
provider: local
registry: data/registry.db
offline_store: {offline}
online_store: {{type: feature_platform.plugins.GuardedSqliteOnlineStore, path: data/online.db}}
entity_key_serialization_version: 3
"""

Row = tuple[int, float, datetime]


class Turning:
    """Writes another content each time that it turns.

    Args:
        write: Replaces all rows of the source.
        dice: Says which days are good.
    """

    def __init__(self, write: Callable[[list[Row]], object], dice: random.Random) -> None:
        self._write = write
        self._dice = dice
        self.turns = 0

    def turn(self) -> None:
        """Write new rows of both days."""
        self.turns += 1
        rows: list[Row] = []
        for day in DAYS:
            is_good = self._dice.random() < 0.6
            for customer in CUSTOMERS:
                moment = day.start + timedelta(minutes=customer)
                if not is_good:
                    rows.append((customer, float("inf"), moment))
                elif customer != CUSTOMERS[-1] or self._dice.random() < 0.5:
                    rows.append((customer, float(self._dice.randint(1, 9)), moment))
        self._write(rows)

    @contextmanager
    def between_reads(self) -> Iterator[None]:
        """Before each read of a source or of opened rows it may turn."""

        def turned(call: Callable[..., Any]) -> Callable[..., Any]:
            def calls(*given: Any, **named: Any) -> Any:
                if self._dice.random() < 0.5:
                    self.turn()
                return call(*given, **named)

            return calls

        with ExitStack() as stack:
            for place, name in (
                (opened_window, "open_relation"),
                (Relation, "rows"),
                (Relation, "batches"),
                (Relation, "schema"),
                (SqlSnapshot, "sums"),
                (SqlSnapshot, "batches"),
            ):
                stack.enter_context(patch.object(place, name, turned(getattr(place, name))))
            yield


def table_of(rows: list[Row]) -> pa.Table:
    """Rows as Arrow columns."""
    customers, amounts, times = zip(*rows, strict=True)
    return pa.table(
        {
            "customer": pa.array(customers, pa.int64()),
            "amount": pa.array(amounts, pa.float64()),
            "ts": pa.array(times, pa.timestamp("us", "UTC")),
        }
    )


def replaced(path: Path) -> Callable[[list[Row]], object]:
    """A file that is replaced by a new one, and now and then written in its place."""
    written = [0]

    def write(rows: list[Row]) -> None:
        written[0] += 1
        aside = path.with_suffix(".aside")
        pq.write_table(table_of(rows), aside)
        if written[0] % 4:
            aside.replace(path)
        else:
            path.write_bytes(aside.read_bytes())

    return write


def scattered(folder: Path) -> Callable[[list[Row]], object]:
    """A folder of one file a row; files come and go one after the other."""

    def write(rows: list[Row]) -> None:
        folder.mkdir(exist_ok=True)
        wanted = {f"{moment:%d}-{customer}.parquet" for customer, _, moment in rows}
        for customer, amount, moment in rows:
            aside = folder / "aside"
            pq.write_table(table_of([(customer, amount, moment)]), aside)
            aside.replace(folder / f"{moment:%d}-{customer}.parquet")
        for file in folder.glob("*.parquet"):
            if file.name not in wanted:
                file.unlink()

    return write


def in_postgres(connection: psycopg.Connection[Any]) -> Callable[[list[Row]], object]:
    """A table in PostgreSQL that another transaction fills anew."""
    connection.execute("CREATE TABLE amounts (customer bigint, amount float8, ts timestamptz)")

    def write(rows: list[Row]) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            # TRUNCATE would wait for its readers, and empty the table for their snapshots.
            cursor.execute("DELETE FROM amounts")
            cursor.executemany("INSERT INTO amounts VALUES (%s, %s, %s)", rows)

    return write


def in_bigquery(answers: Any) -> Callable[[list[Row]], object]:
    """A table of the stand-in for BigQuery."""
    answers.connection.execute(
        "CREATE SCHEMA ml; CREATE TABLE ml.amounts (customer BIGINT, amount DOUBLE, ts TIMESTAMPTZ)"
    )
    fields = [{"name": "customer", "type": "INTEGER"}, {"name": "amount", "type": "FLOAT"}]
    answers.tables["cloud.ml.amounts"] = {
        "tableReference": {"projectId": "cloud", "datasetId": "ml", "tableId": "amounts"},
        "schema": {"fields": [*fields, {"name": "ts", "type": "TIMESTAMP"}]},
        "type": "TABLE",
    }

    def write(rows: list[Row]) -> None:
        values = ", ".join(f"({c}, '{a}'::DOUBLE, TIMESTAMPTZ '{t}')" for c, a, t in rows)
        answers.change(
            "ml.amounts", f"DELETE FROM ml.amounts; INSERT INTO ml.amounts VALUES {values}"
        )

    return write
