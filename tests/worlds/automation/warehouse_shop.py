"""A shop whose tables PostgreSQL builds from raw orders, and one that somebody else fills."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from worlds.automation.shop import Shop, day
from worlds.times import key

from feature_platform.orchestration.repairs.repair_sensors import RepairTick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from worlds.local_servers import PostgresServer
    from worlds.samples import Sample

DAYS = 12
# The last seven days at the end of each window, and the window alone.
_TRAILING = """
WITH recent AS (
    SELECT customer, amount FROM raw.orders
    WHERE ordered_at >= $window_end - INTERVAL 7 DAY AND ordered_at < $window_end
)
SELECT
    CAST(customer AS BIGINT) AS customer,
    CAST(COUNT(*) AS BIGINT) AS orders,
    CAST(AVG(amount) AS REAL) AS amount,
    CAST($window_end - INTERVAL 1 MICROSECOND AS TIMESTAMPTZ) AS ts,
    CAST($computed_at AS TIMESTAMPTZ) AS created
FROM recent
GROUP BY customer
"""
_OF_THE_WINDOW = _TRAILING.replace("$window_end - INTERVAL 7 DAY", "$window_start")
_VIEWS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Float32, Int64

customer = Entity(name="customer")


def view(name, **more):
    source = PostgreSQLSource(name=name, table=f"ml.{name}", timestamp_field="ts", **more)
    return FeatureView(
        name=f"{name}_view", entities=[customer], source=source, ttl=timedelta(days=1100),
        schema=[
            Field(name="customer", dtype=Int64),
            Field(name="orders", dtype=Int64),
            Field(name="amount", dtype=Float32),
        ],
        tags={"dagster/drift": "off"},
    )


trailing = view("trailing", created_timestamp_column="created")
daily = view("daily", created_timestamp_column="created")
filled = view("filled")
"""
_STORE = """
project: shop
provider: local
registry: data/registry.db
offline_store:
  type: postgres
  host: 127.0.0.1
  port: {port}
  database: {database}
  user: tester
  password: secret
  db_schema: public
  sslmode: disable
online_store:
  type: sqlite
  path: data/online_store.db
entity_key_serialization_version: 3
"""


@dataclass
class WarehouseShop:
    """The shop, and a connection to its database."""

    shop: Shop
    database: psycopg.Connection
    looks: int = 0

    def sql(self, statement: str, *values: object) -> None:
        """Write something; the server counts it before this returns."""
        with self.database.transaction():
            # At its end; else it may take the server a second.
            self.database.execute("SELECT pg_stat_force_next_flush()")
            self.database.execute(statement, values)

    def order(self, number: float, customer: int = 1, amount: float = 10) -> None:
        """An order that many days after the first of March."""
        self.sql("INSERT INTO raw.orders VALUES (%s, %s, %s)", customer, amount, day(number))

    def look(self) -> RepairTick:
        """A tick of the sensor, a minute after the one before."""
        self._settle()
        self.looks += 1
        return self.shop.look("source_changed", day(DAYS + 0.5 + self.looks / 1440))

    def _settle(self) -> None:
        """Wait until the server has counted what was written, here and by sessions that ended."""
        with self.database.transaction():
            self.database.execute("SELECT pg_stat_force_next_flush()")
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        deadline = time.monotonic() + 60
        while self.database.execute(others).fetchone() != (0,):
            assert time.monotonic() < deadline, "a session was left open"
            time.sleep(0.02)

    def repaired(self) -> dict[str, list[tuple[str, str]]]:
        """Look, and run what is asked for: first and last partition by view."""
        found = self.look()
        assert found.plan.notes == []
        assert all(self.shop.start(found.requests))
        spans: dict[str, list[tuple[str, str]]] = {}
        for each in found.plan.repairs:
            for view in each.views:
                spans.setdefault(view, []).append((each.first, each.last))
        return spans


def open_shop(
    make_repo: "Callable[..., Sample]", server: "PostgresServer", connection: psycopg.Connection
) -> WarehouseShop:
    """Two orders a day by each of two customers, all of it online."""
    files = {
        "feature_store.yaml": _STORE.format(port=server.port, database=connection.info.dbname),
        "views.py": _VIEWS,
        "sql/trailing.sql": _TRAILING,
        "sql/daily.sql": _OF_THE_WINDOW,
    }
    connection.execute(
        "CREATE SCHEMA raw; CREATE SCHEMA ml;"
        "CREATE TABLE raw.orders (customer bigint, amount numeric(9, 2), ordered_at timestamptz);"
        "CREATE INDEX ON raw.orders (ordered_at);"
        "CREATE TABLE ml.filled (customer bigint, orders bigint, amount real, ts timestamptz)"
    )
    connection.execute(
        "INSERT INTO raw.orders SELECT c, c + h / 7.0, %s + d * interval '1 day' "
        "+ h * interval '1 hour' FROM generate_series(0, %s) d, generate_series(1, 2) c, "
        "unnest(ARRAY[5, 17]) h",
        [day(0), DAYS - 1],
    )
    connection.execute(
        "INSERT INTO ml.filled SELECT c, d, d / 7.0, %s + d * interval '1 day' "
        "FROM generate_series(0, %s) d, generate_series(1, 2) c",
        [day(0.5), DAYS - 1],
    )
    shop = Shop(make_repo(files), AutomationSettings())
    names = [
        f"{folder}/{name}{suffix}"
        for name in ("trailing", "daily", "filled")
        for folder, suffix in (("sources", ""), ("feature_views", "_view"))
    ]
    span = (key(day(0)), key(day(DAYS - 1)))
    assert shop.sample.run("registry", *names, span=span).success
    return WarehouseShop(shop, connection)
