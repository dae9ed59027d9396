"""The point-in-time join against Feast's duckdb and dask stores: one JSON line a case.

    python benchmarks/point_in_time_join.py                   # the sizes of the table in README.md
    python benchmarks/point_in_time_join.py --scale 0.05      # a twentieth of all rows
    python benchmarks/point_in_time_join.py --only 1M hot     # some of the cases

Every measurement is a process of its own, so that peak memory is its own; ours and stock take
turns, and medians are printed. `limit` is the time to scan just the columns that the join needs,
keys, times and features, with DuckDB. Seconds and memory include neither imports nor entity rows:
`peak_mb` is what the process took at most beyond what it held before the join.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
OURS = "feature_platform.plugins.PointInTimeOfflineStore"
DAYS = 90
FEATURES = 5

_LATE = """
    SELECT row_number, {names} FROM entities LEFT JOIN k USING (row_number)
    LEFT JOIN {origin} AS s ON s.file_row_number = k.r ORDER BY row_number
"""
METHODS = {
    "range_join_and_max_by": """
        WITH k AS (SELECT row_number, max_by(file_row_number, s.event_timestamp) AS r
        FROM entities AS e JOIN {origin} AS s ON s.user_id = e.user_id
        AND s.event_timestamp <= e.event_timestamp
        AND s.event_timestamp >= e.event_timestamp - INTERVAL 60 DAY GROUP BY row_number)
    """
    + _LATE,
    "asof_join": """
        WITH k AS (SELECT row_number, file_row_number AS r FROM entities AS e
        ASOF JOIN (SELECT user_id, event_timestamp, file_row_number FROM {origin}) AS s
        ON s.user_id = e.user_id AND s.event_timestamp <= e.event_timestamp
        WHERE s.event_timestamp >= e.event_timestamp - INTERVAL 60 DAY)
    """
    + _LATE,
    "window": """
        WITH k AS (SELECT row_number, file_row_number AS r FROM entities AS e
        JOIN {origin} AS s ON s.user_id = e.user_id
        AND s.event_timestamp <= e.event_timestamp
        AND s.event_timestamp >= e.event_timestamp - INTERVAL 60 DAY
        QUALIFY row_number() OVER (PARTITION BY row_number ORDER BY s.event_timestamp DESC) = 1)
    """
    + _LATE,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--patience", type=int, default=1800, help="seconds a measurement may take")
    parser.add_argument("--folder", help="where the tables are kept from run to run")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(work(json.loads(asked.worker))))
        return
    entities = int(100_000 * asked.scale)
    million = int(1_000_000 * asked.scale)
    keys = int(100_000 * asked.scale)
    cases: dict[str, dict[str, Any]] = {
        # Where keys of 90 days have 1,500 rows, 60 days (the TTL) hold a thousand.
        "1M": {"rows": million, "keys": keys, "entities": entities},
        "5M": {"rows": 5 * million, "keys": keys, "entities": entities},
        "hot": {"rows": million, "keys": max(million // 1500, 1), "entities": entities},
        "20views": {"rows": million, "keys": keys, "entities": million, "views": 20},
        "50M": {"rows": 50 * million, "keys": keys, "entities": entities, "limit": "1GB"},
        "dask": {"rows": million, "keys": keys, "entities": entities, "stock": "dask"},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(asked.folder or temporary)
        for name, case in cases.items():
            if not asked.only or name in asked.only:
                case |= {"patience": asked.patience}
                line = compared(name, folder, case, 1 if "limit" in case else asked.rounds)
                print(json.dumps(line), flush=True)


def compared(name: str, folder: Path, case: dict[str, Any], rounds: int) -> dict[str, Any]:
    """One case, ours and stock in turns."""
    case = {"views": 2, "stock": "duckdb", **case}
    tables = folder / f"{case['rows']}-{case['keys']}"
    if not tables.exists():
        write_tables(tables, case["rows"], case["keys"], min(case["views"], 2))
    stores = {"ours": OURS, "stock": case["stock"]}
    if "limit" in case:
        stores["stock_without_limit"] = case["stock"]
    if name == "5M":
        stores |= dict.fromkeys(METHODS, OURS)
    taken: dict[str, list[dict[str, Any]]] = {how: [] for how in stores}
    for _ in range(rounds):
        for how, store in stores.items():
            taken[how].append(run(how=how, store=store, folder=str(tables), case=case))
    limit = run(how="limit", store=OURS, folder=str(tables), case=case)
    found: dict[str, Any] = {
        "case": f"{name}: {case['entities']} entity rows, {case['views']} views of "
        f"{case['rows']} rows, {case['keys']} keys"
    }
    for how, runs in taken.items():
        failed = [each for each in runs if "error" in each]
        if failed:
            found[how] = failed[0]
            continue
        found[how] = {
            "seconds": round(statistics.median(each["seconds"] for each in runs), 2),
            "peak_mb": round(statistics.median(each["peak_mb"] for each in runs)),
            "rows_lost": case["entities"] - runs[0]["rows"],
        }
    if "error" not in found["stock"] and "error" not in found["ours"]:
        found["time_ratio"] = round(found["stock"]["seconds"] / found["ours"]["seconds"], 1)
        found["memory_ratio"] = round(found["ours"]["peak_mb"] / found["stock"]["peak_mb"], 2)
        digests = {runs[0].get("digest") for runs in taken.values()} - {None}
        found["same_cells"] = len(digests) == 1
    found["limit_seconds"] = round(limit["seconds"], 2)
    return found


def write_tables(folder: Path, rows: int, keys: int, views: int) -> None:
    """Tables of event time, created time, key and features, in order of event time."""
    import duckdb

    folder.mkdir(parents=True)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SELECT setseed(0.5)")
    step = DAYS * 86_400_000_000 // rows
    for view in range(views):
        features = ", ".join(
            f"(hash(i * {FEATURES} + {number}, {view}) % 1000000) / 1000.0 AS f{view}_{number}"
            for number in range(FEATURES)
        )
        connection.execute(
            "COPY (SELECT (hash(i, 'key') % "
            f"{keys})::BIGINT AS user_id, "
            f"make_timestamptz(1767225600000000 + i * {step}) AS event_timestamp, "
            f"make_timestamptz(1767225600000000 + i * {step} + 60000000) AS created, {features} "
            f"FROM range({rows}) AS t(i)) TO '{folder / f'view{view}.parquet'}' (FORMAT parquet)"
        )
    connection.close()


def run(**task: Any) -> dict[str, Any]:
    patience = task["case"]["patience"]
    try:
        done = subprocess.run(
            [sys.executable, str(HERE), "--worker", json.dumps(task)],
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not finished after {patience} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {"error": last[0][:200]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def work(task: dict[str, Any]) -> dict[str, Any]:
    """One measurement, in this process."""
    case = task["case"]
    if task["how"] == "limit":
        return scanned(task["folder"], case["views"])
    store, references, frame = prepared(task)
    if task["how"] in METHODS:
        return by_sql(task, frame)
    if case.get("limit") and task["how"] == "stock":
        # Feast's store has no setting for it; ibis' own connection takes one.
        import ibis

        ibis.get_backend().raw_sql(f"SET memory_limit = '{case['limit']}'")
    held = _peak_mb()
    started = time.perf_counter()
    job = store.get_historical_features(frame, references)
    table = job.to_arrow()
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "peak_mb": _peak_mb() - held,
        "rows": table.num_rows,
        "digest": digest(table),
    }


def by_sql(task: dict[str, Any], frame: Any) -> dict[str, Any]:
    """The join by one SQL statement a view, features fetched late: what else to choose from."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("entities", frame)
    held = _peak_mb()
    started = time.perf_counter()
    table = connection.sql("SELECT * FROM entities").to_arrow_table()
    for number in range(task["case"]["views"]):
        origin = (
            f"read_parquet('{task['folder']}/view{number % 2}.parquet', file_row_number = true)"
        )
        names = ", ".join(f"f{number % 2}_{n} AS v{number}_{n}" for n in range(FEATURES))
        sql = METHODS[task["how"]].format(origin=origin, names=names)
        found = connection.sql(sql).to_arrow_table()
        for name in found.column_names[1:]:
            table = table.append_column(name, found.column(name))
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "peak_mb": _peak_mb() - held,
        "rows": table.num_rows,
        "digest": digest(table),
    }


def prepared(task: dict[str, Any]) -> tuple[Any, list[str], Any]:
    """A store, what to ask it, and entity rows; everything is imported and warm."""
    import numpy as np
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, Int64

    case, folder = task["case"], Path(task["folder"])
    home = Path(tempfile.mkdtemp())
    offline: dict[str, Any] = {"type": task["store"]}
    if task["store"] == OURS and case.get("limit"):
        offline["memory_limit"] = case["limit"]
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(home / "registry.db"),
        online_store={"type": "sqlite", "path": str(home / "online.db")},
        offline_store=offline,
        entity_key_serialization_version=3,
        repo_path=home,
    )
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    views = []
    for number in range(case["views"]):
        table = number % 2
        source = FileSource(
            name=f"source{number}",
            path=str(folder / f"view{table}.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
            field_mapping={f"f{table}_{n}": f"v{number}_{n}" for n in range(FEATURES)},
        )
        fields = [Field(name=f"v{number}_{n}", dtype=Float64) for n in range(FEATURES)]
        views.append(
            FeatureView(
                name=f"view{number}",
                entities=[user],
                schema=[Field(name="user_id", dtype=Int64), *fields],
                source=source,
                ttl=timedelta(days=60),
            )
        )
    store.apply([user, *views])
    random = np.random.default_rng(1)
    count = case["entities"]
    start = 1_767_225_600_000_000
    moments = start + random.integers(0, DAYS * 86_400_000_000, count)
    frame = pd.DataFrame(
        {
            "user_id": random.integers(0, case["keys"], count),
            "event_timestamp": pd.to_datetime(moments, unit="us", utc=True),
            "row_number": np.arange(count),
        }
    )
    references = [f"view{v}:v{v}_{n}" for v in range(case["views"]) for n in range(FEATURES)]
    store.get_historical_features(frame.head(10), references[:1])  # what is imported late
    return store, references, frame


def scanned(folder: str, views: int) -> dict[str, Any]:
    """How long reading the columns takes."""
    import duckdb

    connection = duckdb.connect()
    started = time.perf_counter()
    for number in range(views):
        table = number % 2
        names = ["user_id", "event_timestamp", *(f"f{table}_{n}" for n in range(FEATURES))]
        connection.execute(
            f"SELECT {', '.join(f'bit_xor(hash({name}))' for name in names)} "
            f"FROM read_parquet('{folder}/view{table}.parquet')"
        ).fetchall()
    return {"seconds": time.perf_counter() - started, "cores": os.cpu_count()}


def digest(table: Any) -> str:
    """Of every cell of the features, in the order of the entity rows."""
    ordered = table.sort_by("row_number")
    names = sorted(name for name in ordered.column_names if name.startswith("v"))
    found = hashlib.sha256()
    for name in names:
        found.update(ordered.column(name).combine_chunks().fill_null(-1.0).to_numpy().tobytes())
    return found.hexdigest()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
