"""What a check of 200 features costs: profile a million rows of each and compare with a reference.

Stock is DuckDB's time for minimum, maximum, mean and null rate of the same Arrow columns, with as
many threads. The two run alternately; each is the median of five.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from feature_platform.statistics import Reference, compare_many

FEATURES, ROWS, ROUNDS = 200, 1_000_000, 5
NULL_SHARE = 0.05


def window(seed: int, rows: int) -> pa.Table:
    """Half of the columns normal and whole, half of them lognormal with one null in twenty."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for place in range(FEATURES):
        if place % 2:
            nulls = random.random(rows) < NULL_SHARE
            columns[f"f{place}"] = pa.array(random.lognormal(size=rows), mask=nulls)
        else:
            columns[f"f{place}"] = pa.array(random.normal(size=rows))
    return pa.table(columns)


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    before = window(1, 50_000)
    stored = [
        json.dumps(Reference.of(before.column(name), name).to_json())
        for name in before.column_names
    ]
    now = window(2, ROWS)
    threads = os.cpu_count() or 1
    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}")
    connection.register("now", now)
    aggregates = ", ".join(
        f"min({name}), max({name}), avg({name}), 1 - count({name}) / count(*)"
        for name in now.column_names
    )

    def ours() -> None:
        references = [Reference.from_json(json.loads(each)) for each in stored]
        found = compare_many({each.feature: each for each in references}, now)
        if any(each.verdict != "ok" for each in found):
            raise RuntimeError([each.sentence for each in found if each.verdict != "ok"])

    def stock() -> None:
        connection.execute(f"select {aggregates} from now").fetchall()

    ours()
    stock()
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    for _ in range(ROUNDS):
        seconds["stock"].append(timed(stock))
        seconds["ours"].append(timed(ours))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(
        json.dumps(
            {
                "case": f"{FEATURES} features x {ROWS:,} rows against a stored reference",
                "ours": round(medians["ours"], 3),
                "stock": round(medians["stock"], 3),
                "ratio": round(medians["ours"] / medians["stock"], 2),
                "unit": "seconds",
                "threads": threads,
            }
        )
    )


if __name__ == "__main__":
    main()
