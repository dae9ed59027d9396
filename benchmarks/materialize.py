"""Materialization against stock Feast: one JSON line a case, each measured in the same run.

    python benchmarks/materialize.py                 # the sizes of the table in the docs
    python benchmarks/materialize.py --scale 0.1     # a tenth of the keys
    python benchmarks/materialize.py --only redis range --rounds 3 --stock-calls 9

Every measurement is a process of its own, so that peak memory is its own; ours and stock take
turns, into stores that already hold every key, and medians are printed. `limit` is the store's own
rate: the same bytes, made beforehand, written without a guard; for the SQL stores into an empty
table with Feast's primary key, for Redis as plain `HSET` into the keys that are there.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
START = datetime(2026, 1, 1, tzinfo=UTC)
GUARDED = {
    "sqlite": "feature_platform.plugins.GuardedSqliteOnlineStore",
    "redis": "feature_platform.plugins.GuardedRedisOnlineStore",
    "postgres": "feature_platform.plugins.GuardedPostgreSQLOnlineStore",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of keys")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--stock-calls", type=int, default=90, help="of the 90 days; their time is scaled to 90"
    )
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(work(json.loads(asked.worker))))
        return
    cases = {
        "redis": lambda: bulk("redis", int(1_000_000 * asked.scale), asked.rounds),
        "sqlite": lambda: bulk("sqlite", int(1_000_000 * asked.scale), asked.rounds),
        "postgres": lambda: bulk("postgres", int(100_000 * asked.scale), asked.rounds),
        "range": lambda: ranges(int(100_000 * asked.scale), asked.stock_calls),
        "reads": lambda: reads(asked.rounds),
        "memory": lambda: memory(int(500_000 * asked.scale), int(5_000_000 * asked.scale)),
    }
    for name, case in cases.items():
        if not asked.only or name in asked.only:
            for line in case():
                print(json.dumps(line), flush=True)


def bulk(kind: str, keys: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One day of all keys, newer than what the store holds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        online = stack.enter_context(server(kind, folder))
        write_days(folder, keys, rounds + 1)
        taken: dict[str, list[dict[str, Any]]] = {"ours": [], "stock": []}
        for how in taken:
            # How its pages are laid out is part of what a PostgreSQL table costs later.
            filled = how if kind == "postgres" else "ours"
            run(how=filled, project=how, day=0, days=1, folder=folder, online=online, apply=True)
        for number in range(1, rounds + 1):
            for how, measured in taken.items():
                at = {"project": how, "day": number, "days": 1}
                measured.append(run(how=how, folder=folder, online=online, **at))
        limit = run(how="limit", project="ours", day=1, days=1, folder=folder, online=online)
    yield compared(f"{keys} keys into {kind}", taken, limit_seconds=limit["seconds"])


def ranges(keys: int, calls: int) -> Iterator[dict[str, Any]]:
    """Ninety days as one range against ninety calls, then one late day among them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        online = stack.enter_context(server("sqlite", folder))
        write_days(folder, keys, 90, last_of_some=45)
        both = {"folder": folder, "online": online, "apply": True}
        whole = run(how="ours", project="ours", day=0, days=90, **both)
        run(how="ours", project="stock", day=0, days=1, **both)  # fills it
        step = 90 // calls
        stock = run(how="stock", project="stock", day=0, days=step * calls, each_day=step, **both)
        stock["seconds"] *= 90 / calls
        taken = {"ours": [whole], "stock": [stock]}
        yield compared(f"90 days of {keys} keys as one range", taken, stock_calls=calls)
        write_late(folder, 45)
        late = run(how="ours", project="ours", day=45, days=1, folder=folder, online=online)
    yield {
        "case": f"one late day among 90 of {keys} keys, with new values for 1 % of them",
        "ours": late,
        "whole_range": whole,
        "ratio": round(whole["seconds"] / late["seconds"], 1),
    }


def reads(rounds: int) -> Iterator[dict[str, Any]]:
    """`get_online_features` of 100 rows through the stock class and ours."""
    for kind in ("sqlite", "redis", "postgres"):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            online = stack.enter_context(server(kind, folder))
            write_days(folder, 10_000, 1)
            run(how="ours", project="p", day=0, days=1, folder=folder, online=online, apply=True)
            guarded = online | {"type": GUARDED[kind]}
            cases = {"read": f"reading 100 rows from {kind}"}
            if kind == "redis":  # whose reads `feast serve` awaits
                cases["serve"] = f"CPU of reading 100 rows from {kind} as feast serve does"
            for case, title in cases.items():
                taken: dict[str, list[dict[str, Any]]] = {"ours": [], "stock": []}
                for _ in range(rounds):
                    for how, store in (("ours", guarded), ("stock", online)):
                        at = {"project": "p", "day": 0, "days": 1}
                        taken[how].append(run(how=case, folder=folder, online=store, **at))
                yield compared(title, taken)


def memory(few: int, many: int) -> Iterator[dict[str, Any]]:
    """Peak memory of few and of many keys."""
    peaks = {}
    for keys in (few, many):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            online = stack.enter_context(server("redis", folder))
            write_days(folder, keys, 1)
            run(how="apply", project="p", day=0, days=1, folder=folder, online=online, apply=True)
            done = run(how="ours", project="p", day=0, days=1, folder=folder, online=online)
            peaks[keys] = done["peak_mb"]
    yield {
        "case": f"peak memory of {many} keys against {few}",
        "peak_mb": peaks,
        "ratio": round(peaks[many] / peaks[few], 2),
    }


def compared(case: str, taken: dict[str, list[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    medians = {
        how: {
            "seconds": round(statistics.median(each["seconds"] for each in measured), 4),
            "peak_mb": max(each["peak_mb"] for each in measured),
        }
        for how, measured in taken.items()
    }
    ratio = medians["stock"]["seconds"] / medians["ours"]["seconds"]
    return {"case": case, **medians, "ratio": round(ratio, 1), **more}


def write_days(folder: Path, keys: int, days: int, last_of_some: int | None = None) -> None:
    """One Parquet file a day; each holds one row of every key.

    Every hundredth key has no row after the day `last_of_some`, if one is given.
    """
    import duckdb

    (folder / "stats").mkdir()
    connection = duckdb.connect()
    for day in range(days):
        moment = (START + timedelta(days=day)).isoformat()
        ended = last_of_some is not None and day > last_of_some
        connection.execute(
            f"COPY (SELECT (hash(i) >> 20)::BIGINT AS user_id, "
            f"TIMESTAMPTZ '{moment}' + INTERVAL (hash(i, {day}) % 86400) SECOND "
            "AS event_timestamp, "
            f"TIMESTAMPTZ '{moment}' + INTERVAL 1 DAY AS created, random() AS amount, "
            "(random() * 1e6)::BIGINT AS visits, 'city' || (i % 1000) AS city, "
            "random()::FLOAT AS score, (random() > 0.5) AS active "
            f"FROM range({keys}) t(i) WHERE NOT ({ended} AND i % 100 = 0)) "
            f"TO '{folder}/stats/{day:03}.parquet' (FORMAT PARQUET)"
        )


def write_late(folder: Path, day: int) -> None:
    """A later row of that day, and newest of all, for every key that ends then."""
    import duckdb

    connection = duckdb.connect()
    moment = (START + timedelta(days=day, hours=23, minutes=59, seconds=59)).isoformat()
    connection.execute(
        "COPY (SELECT t.user_id, "
        f"TIMESTAMPTZ '{moment}' AS event_timestamp, TIMESTAMPTZ '{moment}' AS created, "
        "amount + 1 AS amount, visits, city, score, active "
        f"FROM read_parquet('{folder}/stats/{day:03}.parquet') AS t ANTI JOIN "
        f"read_parquet('{folder}/stats/{day + 1:03}.parquet') USING (user_id)) "
        f"TO '{folder}/stats/{day:03}-late.parquet' (FORMAT PARQUET)"
    )


@contextmanager
def server(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The ``online_store`` section of a store that runs until the block ends."""
    if kind == "sqlite":
        yield {"type": "sqlite", "path": str(folder / "online.db")}
        return
    sys.path.insert(0, str(HERE.parents[1] / "tests"))
    from worlds import local_servers

    if kind == "redis":
        with local_servers.redis_running() as running:
            yield {"type": "redis", "connection_string": running.address}
        return
    with local_servers.postgres_running() as running:
        yield running.online(running.new_database())


def run(**asked: Any) -> dict[str, Any]:
    """Measure in a process of its own."""
    asked["folder"] = str(asked["folder"])
    done = subprocess.run(
        [sys.executable, str(HERE), "--worker", json.dumps(asked)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def work(asked: dict[str, Any]) -> dict[str, Any]:
    """What a measuring process does; modules are loaded before it looks at the clock."""
    from feature_platform.materialize.materialize_window import materialize_window

    store = opened(asked)
    start = START + timedelta(days=asked["day"])
    end = start + timedelta(days=asked["days"])
    began = time.perf_counter()
    if asked["how"] == "ours":
        materialize_window(store, "user_stats", start, end)
    elif asked["how"] == "stock":
        tick = timedelta(microseconds=1)
        each = asked.get("each_day")
        length, step = (timedelta(days=1), timedelta(days=each)) if each else (end - start,) * 2
        while start < end:
            store.materialize(start, start + length - tick, feature_views=["user_stats"])
            start += step
    seconds = time.perf_counter() - began
    if asked["how"] == "limit":
        seconds = limit(store, start, end)
    elif asked["how"] == "read":
        seconds = read(store)
    elif asked["how"] == "serve":
        seconds = asyncio.run(serve(store))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 4), "peak_mb": round(peak)}


def opened(asked: dict[str, Any]) -> Any:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Bool, Float32, Float64, Int64, String

    folder = Path(asked["folder"])
    store = FeatureStore(
        config=RepoConfig(
            project=asked["project"],
            provider="local",
            registry=str(folder / f"{asked['project']}.db"),
            online_store=asked["online"],
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    if asked.get("apply"):
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        source = FileSource(
            name="stats",
            path=str(folder / "stats" / "*.parquet"),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )
        kinds = {
            "amount": Float64,
            "visits": Int64,
            "city": String,
            "score": Float32,
            "active": Bool,
        }
        view = FeatureView(
            name="user_stats",
            entities=[user],
            schema=[Field(name=name, dtype=kind) for name, kind in kinds.items()],
            source=source,
        )
        store.apply([user, source, view])
    return store


def read(store: Any) -> float:
    """Median seconds of one read of 100 rows."""
    taken = []
    for asked in requests(store):
        began = time.perf_counter()
        store.get_online_features(**asked)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[30:])


async def serve(store: Any) -> float:
    """Median seconds of the CPU that one asynchronous read of 100 rows takes."""
    taken = []
    for asked in requests(store):
        began = time.process_time()
        await store.get_online_features_async(**asked)
        taken.append(time.process_time() - began)
    return statistics.median(taken[30:])


def requests(store: Any) -> Iterator[dict[str, Any]]:
    import duckdb

    path = store.registry.get_data_source("stats", store.project).path
    keys = duckdb.sql(f"SELECT user_id FROM read_parquet('{path}') LIMIT 5000").fetchall()
    features = [f"user_stats:{name}" for name in ("amount", "visits", "city", "score", "active")]
    for number in range(150):
        rows = [{"user_id": key} for (key,) in keys[number * 31 : number * 31 + 100]]
        yield {"features": features, "entity_rows": rows}


def limit(store: Any, start: datetime, end: datetime) -> float:
    """Seconds the store itself takes for the same bytes, made beforehand and unguarded."""
    from feature_platform.core.windows import Window
    from feature_platform.encoding.encoded_rows import encode_batch
    from feature_platform.encoding.view_layout import view_layout
    from feature_platform.sources.latest_rows import latest_rows, source_columns
    from feature_platform.sources.relation import open_relation

    layout = view_layout(store.get_feature_view("user_stats"))
    window = Window(start, end)
    with open_relation(store.config, layout.source, [window], source_columns(layout)) as relation:
        rows = [
            encode_batch(batch, layout, 3)
            for batch in latest_rows(relation, layout, window, batch_rows=50_000)
        ]
    kind = store.config.online_store.type
    return {"sqlite": limit_sqlite, "redis": limit_redis, "postgres": limit_postgres}[kind](
        store, rows
    )


def limit_sqlite(store: Any, rows: list[Any]) -> float:
    cells = [
        [
            (bytearray(key), feature.name, bytearray(value), text, moment, moment)
            for feature in each.features
            for key, value, text, moment in zip(
                each.keys.to_pylist(),
                feature.values.to_pylist(),
                feature.texts().to_pylist(),
                (each.event_us // 1_000_000).tolist(),
                strict=True,
            )
        ]
        for each in rows
    ]
    import sqlite3

    connection = sqlite3.connect(Path(store.config.online_store.path).with_name("limit.db"))
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute(
        "CREATE TABLE plain (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, "
        "event_ts timestamp, created_ts timestamp, PRIMARY KEY (entity_key, feature_name))"
    )
    began = time.perf_counter()
    for batch in cells:
        with connection:
            connection.executemany("INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?)", batch)
    return time.perf_counter() - began


def limit_redis(store: Any, rows: list[Any]) -> float:
    from redis.connection import PythonRespSerializer

    pack = PythonRespSerializer(6000, lambda value: value).pack
    project = store.project.encode()
    calls = [
        b"".join(
            b"".join(pack(b"HSET", key + project, *fields))
            for key, fields in zip(
                each.keys.to_pylist(),
                zip(
                    *[
                        column
                        for number, feature in enumerate(each.features)
                        for column in (
                            [b"fld%d" % number] * len(each),
                            feature.values.to_pylist(),
                        )
                    ],
                    strict=True,
                ),
                strict=True,
            )
        )
        for each in rows
    ]
    client = store._get_provider().online_store._get_client(store.config.online_store)  # noqa: SLF001
    connection = client.connection_pool.get_connection()
    began = time.perf_counter()
    for call, each in zip(calls, rows, strict=True):
        connection.send_packed_command([call])
        for _ in range(len(each)):
            connection.read_response()
    return time.perf_counter() - began


def limit_postgres(store: Any, rows: list[Any]) -> float:
    from feature_platform.online.postgres.writer import PostgresWriter, _copy_stream

    connection = PostgresWriter(store.config)._connection  # noqa: SLF001
    streams = [list(_copy_stream(each)) for each in rows]
    cells = ", ".join(f"v{n} bytea, t{n} text" for n in range(len(rows[0].features)))
    values = ", ".join(f"('{each.name}', v{n}, t{n})" for n, each in enumerate(rows[0].features))
    connection.execute(f"CREATE TEMP TABLE stage (k bytea, e timestamp, c timestamp, {cells})")
    connection.execute(
        "CREATE TABLE plain (entity_key bytea, feature_name text, value bytea, value_text text, "
        "event_ts timestamptz, created_ts timestamptz, PRIMARY KEY (entity_key, feature_name))"
    )
    connection.commit()
    began = time.perf_counter()
    for stream in streams:
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY stage FROM STDIN (FORMAT BINARY)") as copy,
        ):
            for piece in stream:
                copy.write(piece)
        connection.execute(
            "INSERT INTO plain SELECT k, f.name, f.value, f.text, e, c FROM stage "
            f"CROSS JOIN LATERAL (VALUES {values}) AS f(name, value, text)"
        )
        connection.execute("TRUNCATE stage")
        connection.commit()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
