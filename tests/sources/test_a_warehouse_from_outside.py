"""A warehouse that another package adds through the protocol alone."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from worlds.toy_warehouse import ToySession, ToyWarehouse, connected, installed

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.materialize.read_back import compare_online
from feature_platform.orchestration.validation.check_declarations import FRESH, TTL
from feature_platform.sources.event_times import newest_event, rows_without_event_time
from feature_platform.sources.opened_window import open_window
from feature_platform.sources.pulled.warehouse import PulledWarehouse
from feature_platform.sources.warehouses import sql_warehouse_of, warehouse_of
from feature_platform.sources.window_digests import read_window_table, window_digests
from feature_platform.tables.fingerprints import WarehouseBuild, source_contents, source_stamp

if TYPE_CHECKING:
    from worlds.samples import Sample

STORE = """
project: shop
provider: local
registry: data/registry.db
offline_store: {{type: worlds.toy_warehouse.ToyOfflineStore, path: {path}}}
online_store: {{type: sqlite, path: data/online.db}}
entity_key_serialization_version: 3
"""
VIEWS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field
from feast.types import Float64, Int64
from worlds.toy_warehouse import ToySource

customer = Entity(name="customer")


def view(name):
    return FeatureView(
        name=f"{name}_view", entities=[customer], ttl=timedelta(days=1100),
        source=ToySource(name, timestamp_field="ts"),
        schema=[Field(name="customer", dtype=Int64), Field(name="amount", dtype=Float64)],
        tags={"dagster/drift": "off"},
    )


totals, filled = view("totals"), view("filled")
"""
SQL = """
SELECT
    CAST(customer AS BIGINT) AS customer,
    CAST(SUM(amount) AS DOUBLE) AS amount,
    CAST($window_end - INTERVAL 1 MICROSECOND AS TIMESTAMPTZ) AS ts
FROM orders
WHERE ordered_at >= $window_start AND ordered_at < $window_end
GROUP BY customer
"""
START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = [Window(START + timedelta(n), START + timedelta(n + 1)) for n in range(3)]
SPAN = ("2026-03-01", "2026-03-03")
NAMES = ("sources/totals", "feature_views/totals_view", "feature_views/filled_view")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the search path, with the toy's package."""
    installed(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def sample(make_repo: Callable[..., "Sample"], tmp_path: Path, site: Path) -> "Sample":
    """Two tables of the toy: `totals` is built from orders, somebody else fills `filled`."""
    del site
    path = tmp_path / "toy.duckdb"
    files = {
        "feature_store.yaml": STORE.format(path=path),
        "views.py": VIEWS,
        "sql/totals.sql": SQL,
    }
    return make_repo(files)


@pytest.fixture
def toy(sample: "Sample") -> Iterator[duckdb.DuckDBPyConnection]:
    """Its database: customers 1 to 3 with an order of 10 on each of three days."""
    with connected(sample.project.config.offline_store.path) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT c AS customer, 10.0::DOUBLE AS amount, "
            "TIMESTAMPTZ '2026-03-01 12:00+00' + to_days(d::INT) AS ordered_at "
            "FROM range(1, 4) AS cs(c), range(3) AS ds(d);"
            "CREATE TABLE filled AS SELECT customer, customer * 1.5::DOUBLE AS amount, "
            "ordered_at AS ts FROM orders"
        )
        yield connection


def amounts(sample: "Sample", view: str) -> list[float]:
    rows = [{"customer": number} for number in (1, 2, 3)]
    return list(sample.online([f"{view}:amount"], rows)["amount"])


def test_windows_are_built_checked_and_put_online(sample: "Sample", toy: duckdb.DuckDBPyConnection):
    toy.execute("UPDATE orders SET amount = 7 WHERE customer = 2 AND ordered_at > '2026-03-03'")
    result = sample.run("registry", "sources/filled", *NAMES, span=SPAN)
    assert result.success
    evaluations = [
        each
        for each in result.get_asset_check_evaluations()
        if each.check_name not in (FRESH.name, TTL.name)  # the rows are old
    ]
    assert {"schema", "keys", "event_time", "row_count"} <= {
        each.check_name for each in evaluations
    }
    assert all(each.passed for each in evaluations)
    assert amounts(sample, "totals_view") == [10.0, 7.0, 10.0]
    assert amounts(sample, "filled_view") == [1.5, 3.0, 4.5]
    assert toy.execute("SELECT count(*) FROM totals").fetchall() == [(9,)]
    # A row that the checks refuse, in one window.
    toy.execute("INSERT INTO filled VALUES (NULL, 1, '2026-03-02 12:00+00')")
    again = sample.run("sources/filled", "feature_views/filled_view", partition="2026-03-02")
    assert not again.success
    failed = {each.check_name for each in again.get_asset_check_evaluations() if not each.passed}
    assert "keys" in failed


def test_a_row_outside_of_its_window_is_named_and_keeps_the_table(
    sample: "Sample", toy: duckdb.DuckDBPyConnection
):
    assert sample.run("registry", "sources/totals", partition=SPAN[0]).success
    file = sample.repo / "sql/totals.sql"
    file.write_text(SQL.replace("INTERVAL 1 MICROSECOND", "INTERVAL 2 DAY"))
    result = sample.run("sources/totals", partition=SPAN[0])
    (failure,) = [each for each in result.all_events if each.is_step_failure]
    said = str(failure.step_failure_data.error_display_string)
    assert "source 'totals': window 2026-03-01..2026-03-02 was not built" in said
    assert toy.execute("SELECT min(ts)::DATE::VARCHAR, count(*) FROM totals").fetchall() == [
        ("2026-03-01", 3)
    ]


def test_the_toy_hashes_counts_and_chooses_its_rows_itself(
    sample: "Sample", toy: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
):
    sent: list[int] = []
    batches = ToySession.batches

    def counted(self: ToySession, sql: str) -> Any:
        for table in batches(self, sql):
            sent.append(table.num_rows)
            yield table

    monkeypatch.setattr(ToySession, "batches", counted)
    assert sample.run("registry", "sources/filled", NAMES[2], span=SPAN).success
    sent.clear()
    store = sample.project.store()
    source = store.get_data_source("filled")
    before = window_digests(store, source, DAYS)
    assert [each.rows for each in before] == [3, 3, 3]
    assert sent == []
    found = compare_online(store, "filled_view", limit=2)
    assert (found.keys_compared, found.keys_total, found.mismatches) == (2, 3, ())
    assert newest_event(store, source, DAYS) == DAYS[2].start + timedelta(hours=12)
    assert sent == [2, 3]
    table = read_window_table(store, source, DAYS[1], ["customer", "amount"])
    assert sorted(table.column("amount").to_pylist()) == [1.5, 3.0, 4.5]
    stamp = source_stamp(store, source, None)
    assert stamp == source_stamp(store, source, None)
    toy.execute("UPDATE filled SET amount = 0 WHERE ts < '2026-03-02' AND customer = 1")
    toy.execute("INSERT INTO filled VALUES (4, 1, NULL)")
    assert source_stamp(store, source, None) != stamp
    after = window_digests(store, source, DAYS)
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, True]
    assert rows_without_event_time(store.config, source) == 1


def test_what_the_sql_gives_is_hashed_as_the_table_that_is_built_from_it(
    sample: "Sample", toy: duckdb.DuckDBPyConnection
):
    assert sample.run("registry", "sources/totals", span=SPAN).success
    store = sample.project.store()
    source = store.get_data_source("totals")
    build = WarehouseBuild(sample.repo / "sql/totals.sql", "totals")

    def as_built() -> list[Any]:
        found = source_contents(store, source, DAYS, None, build, START)
        return [found[day] for day in DAYS]

    assert as_built() == window_digests(store, source, DAYS)
    stamp = source_stamp(store, source, build)
    toy.execute("DELETE FROM orders WHERE customer = 3 AND ordered_at > '2026-03-03'")
    assert source_stamp(store, source, build) != stamp
    same = zip(window_digests(store, source, DAYS), as_built(), strict=True)
    assert [old == new for old, new in same] == [True, True, False]


def test_an_error_of_whoever_works_on_an_opened_window_is_not_the_warehouses(
    sample: "Sample", toy: duckdb.DuckDBPyConnection
):
    assert sample.run("registry").success
    store = sample.project.store()
    source = store.get_data_source("filled")

    def work() -> None:
        with open_window(store.config, source, DAYS) as opened:
            assert [each.rows for each in opened.digests(DAYS)] == [3, 3, 3]
            raise KeyError("of the work")

    with pytest.raises(KeyError, match="of the work"):
        work()
    toy.execute("DROP TABLE filled")
    with (
        open_window(store.config, source, DAYS) as opened,
        pytest.raises(SourceError, match="source 'filled': the offline store could not read it"),
    ):
        opened.digests(DAYS)


def test_without_its_package_the_same_source_is_pulled(
    sample: "Sample", toy: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, site: Path
):
    del toy
    assert sample.run("registry").success
    store = sample.project.store()
    source = store.get_data_source("filled")
    assert isinstance(sql_warehouse_of(store.config, source), ToyWarehouse)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "path", [each for each in sys.path if each != str(site)])
        assert isinstance(warehouse_of(store.config, source), PulledWarehouse)
        assert [each.rows for each in window_digests(store, source, DAYS)] == [3, 3, 3]
        assert rows_without_event_time(store.config, source) is None
    assert isinstance(sql_warehouse_of(store.config, source), ToyWarehouse)
