"""A copy of the fraud repo whose chargebacks may come late."""

from datetime import datetime
from pathlib import Path

import duckdb
from worlds.places import FRAUD_REPO, copied

_LATE = """

_as_it_was, _stamp = bind, stamp
_LATE = Path(__file__).parent / "late.parquet"


def bind(connection, window):
    _as_it_was(connection, window)
    if _LATE.exists():
        connection.execute(f"INSERT INTO raw.chargebacks SELECT * FROM read_parquet('{_LATE}')")


def stamp():
    return _stamp() + (str(_LATE.stat().st_mtime_ns) if _LATE.exists() else "")
"""


def fraud_repo(folder: Path) -> Path:
    """Copy the repo; its raw tables also read ``late.parquet``, once that is there."""
    repo = copied(FRAUD_REPO, folder / "feature_repo")
    raw = repo / "raw_tables.py"
    raw.write_text(raw.read_text() + _LATE)
    return repo


def charge_back(repo: Path, transaction_id: str, reported: datetime) -> None:
    """Let a chargeback arrive now that was reported at that time."""
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT '{transaction_id}' AS transaction_id, "
            f"TIMESTAMPTZ '{reported.isoformat()}' AS reported_timestamp) "
            f"TO '{repo / 'late.parquet'}' (FORMAT parquet)"
        )


def undisputed(repo: Path, start: datetime, end: datetime) -> str:
    """A transaction of a window that nobody has charged back."""
    from feature_platform import FeastProject
    from feature_platform.core.windows import Window
    from feature_platform.tables.raw_tables import raw_table_binder

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        raw_table_binder(FeastProject(repo))(connection, Window(start, end))
        found = connection.execute(
            "SELECT min(transaction_id) FROM raw.transactions WHERE amount > 0 "
            "AND transaction_timestamp >= $start AND transaction_id NOT IN "
            "(SELECT transaction_id FROM raw.chargebacks)",
            {"start": start},
        ).fetchone()
    assert found is not None
    return str(found[0])
