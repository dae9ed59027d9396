"""Late and corrected raw rows in a warehouse: exactly the windows that they touch."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from worlds.automation.warehouse_shop import WarehouseShop, open_shop
from worlds.local_servers import PostgresServer

if TYPE_CHECKING:
    from worlds.samples import Sample


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    name = postgres_server.new_database()
    with psycopg.connect(postgres_server.conninfo(name), autocommit=True) as connection:
        # A time zone with daylight saving, which must make no difference.
        connection.execute(f"ALTER DATABASE {name} SET TimeZone = 'Europe/Berlin'")
        yield connection


@pytest.fixture
def warehouse(
    make_repo: "Callable[..., Sample]",
    postgres_server: PostgresServer,
    database: psycopg.Connection,
) -> WarehouseShop:
    return open_shop(make_repo, postgres_server, database)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to PostgreSQL."""
    said: list[str] = []
    execute = psycopg.Connection.execute

    def noting(self: psycopg.Connection, query: Any, *rest: Any, **more: Any) -> Any:
        said.append(str(query))
        return execute(self, query, *rest, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", noting)
    return said


@pytest.mark.server
def test_raw_rows_that_come_late_change_or_go_start_a_run_for_just_the_windows_they_touch(
    warehouse: WarehouseShop, statements: list[str]
):
    assert warehouse.repaired() == {}
    hashed = [each for each in statements if "hashtextextended" in each]
    assert len(hashed) == 3, "one statement a source, whatever the number of its windows"

    statements.clear()
    assert warehouse.repaired() == {}
    assert not [each for each in statements if "hashtextextended" in each], "nobody wrote anything"

    # Seven days hold an order of the fourth: the windows of the fourth to the tenth.
    week, window = [("2026-03-04", "2026-03-10")], [("2026-03-04", "2026-03-04")]
    warehouse.order(3.5)
    assert warehouse.repaired() == {"trailing_view": week, "daily_view": window}
    assert warehouse.repaired() == {}
    warehouse.sql("UPDATE raw.orders SET amount = amount + 1 WHERE amount = 10")
    assert warehouse.repaired() == {"trailing_view": week, "daily_view": window}
    warehouse.sql("DELETE FROM raw.orders WHERE amount = 11")
    assert warehouse.repaired() == {"trailing_view": week, "daily_view": window}
    assert warehouse.repaired() == {}


@pytest.mark.server
def test_what_a_late_raw_row_changes_is_served(warehouse: WarehouseShop):
    served = warehouse.shop.sample.online

    def orders() -> list[int]:
        views = ("daily_view", "trailing_view")
        return [served([f"{view}:orders"], [{"customer": 1}])["orders"][0] for view in views]

    assert orders() == [2, 14]
    warehouse.order(11.9)
    warehouse.repaired()
    assert orders() == [3, 15]


@pytest.mark.server
def test_a_table_that_somebody_else_fills_is_looked_after_too(warehouse: WarehouseShop):
    window = {"filled_view": [("2026-03-06", "2026-03-06")]}
    assert warehouse.repaired() == {}
    warehouse.sql("UPDATE ml.filled SET orders = 50 WHERE orders = 5 AND customer = 2")
    assert warehouse.repaired() == window
    warehouse.sql("DELETE FROM ml.filled WHERE orders = 50")
    assert warehouse.repaired() == window
    warehouse.sql("INSERT INTO ml.filled SELECT 3, 1, 1, ts FROM ml.filled WHERE orders = 5")
    assert warehouse.repaired() == window
    # As it was: written, but the same.
    warehouse.sql("UPDATE ml.filled SET orders = orders")
    assert warehouse.repaired() == {}


@pytest.mark.server
def test_a_server_that_is_slow_is_not_asked_all_the_time(
    warehouse: WarehouseShop, statements: list[str], monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.orchestration.repairs import source_changes

    monkeypatch.setattr(source_changes, "_SHARE", 1e6)  # as if each look had taken an hour
    assert warehouse.repaired() == {}
    warehouse.order(3.5)
    statements.clear()
    assert warehouse.repaired() == {}
    assert not [each for each in statements if "hashtextextended" in each]
    monkeypatch.setattr(source_changes, "_SHARE", 1)
    assert warehouse.repaired() != {}


@pytest.mark.server
def test_sql_that_lacks_a_column_is_named_and_holds_nobody_up(warehouse: WarehouseShop):
    file = warehouse.shop.sample.repo / "sql/daily.sql"
    file.write_text(file.read_text().replace("AS amount,", "AS amounts,"))
    warehouse.order(3.5)
    found = warehouse.look()
    assert [each.views for each in found.plan.repairs] == [("trailing_view",)]
    (note,) = found.plan.notes
    assert "source 'daily'" in note
    assert "gives no column 'amount'" in note
