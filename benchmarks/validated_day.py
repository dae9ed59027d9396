"""A validated day through the asset graph against bare ``feast materialize``.

    python benchmarks/validated_day.py                  # 1M rows of 10 features, and the memory row
    python benchmarks/validated_day.py --rows 100000 --rounds 3

One JSON line a case. Each measurement is a process of its own, ours and stock take turns, and
medians of the rounds are printed with the peak memory of the process and of its children. The
graph runs source asset, checks, feature view and read-back in one run, as ``dagster job execute``
does in process; ``steps`` has the seconds of each step by Dagster's own events. Passes over the
source are the bytes that DuckDB's own log says were read of the day's file, against its size; the
write is what is spent in choosing and writing the newest rows.
"""

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).resolve()
START = datetime(2026, 1, 1, tzinfo=UTC)
VIEWS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"])
view = FeatureView(
    name="stats", entities=[user], ttl=timedelta(days=3650),
    source=FileSource(name="stats_table", path="data/stats/*.parquet",
                      timestamp_field="event_timestamp", created_timestamp_column="created"),
    schema=[Field(name="user_id", dtype=Int64),
            *(Field(name=f"amount_{n}", dtype=Float64) for n in range(6)),
            *(Field(name=f"visits_{n}", dtype=Int64) for n in range(3)),
            Field(name="city", dtype=String)],
)
"""
OURS = "type: feature_platform.plugins.GuardedSqliteOnlineStore\n  path: data/online.db"
STOCK = "type: sqlite\n  path: data/online.db"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(work(json.loads(asked.worker))))
        return
    cases = {
        "day": lambda: day(asked.rows, asked.rounds),
        "memory": lambda: memory(asked.rows // 2, asked.rows * 5),
    }
    for name, case in cases.items():
        if not asked.only or name in asked.only:
            for line in case():
                print(json.dumps(line), flush=True)


def day(rows: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One day, through the graph and through ``feast materialize``, newer each round."""
    with tempfile.TemporaryDirectory() as folder:
        repos = {how: repo(Path(folder) / how, rows, rounds + 1) for how in ("ours", "stock")}
        taken: dict[str, list[dict[str, Any]]] = {"ours": [], "stock": []}
        for number in range(rounds + 1):
            for how, measured in taken.items():
                found = run(how=how, repo=str(repos[how]), day=number)
                if number:  # the first fills the store
                    measured.append(found)
    seconds = {how: median(measured, "seconds") for how, measured in taken.items()}
    steps = {
        name: round(statistics.median(each["steps"][name] for each in taken["ours"]), 2)
        for name in taken["ours"][0]["steps"]
    }
    write = median(taken["ours"], "write")
    yield {
        "case": f"a validated day of {rows} rows, 10 features, into SQLite",
        "ours": {"seconds": seconds["ours"], "peak_mb": peak(taken["ours"]), "steps": steps},
        "stock": {"seconds": seconds["stock"], "peak_mb": peak(taken["stock"])},
        "ratio": round(seconds["stock"] / seconds["ours"], 1),
        "without_the_write": round(seconds["ours"] - write, 2),
        "passes": round(median(taken["ours"], "passes"), 1),
    }


def memory(few: int, many: int) -> Iterator[dict[str, Any]]:
    """Peak memory of the whole graph, many rows against few."""
    peaks = {}
    for rows in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            made = repo(Path(folder), rows, 1)
            peaks[rows] = run(how="ours", repo=str(made), day=0)["peak_mb"]
    yield {
        "case": f"peak memory of the graph, {many} rows against {few}",
        "peak_mb": peaks,
        "ratio": round(peaks[many] / peaks[few], 2),
    }


def median(measured: list[dict[str, Any]], name: str) -> float:
    return round(statistics.median(each[name] for each in measured), 3)


def peak(measured: list[dict[str, Any]]) -> int:
    return max(each["peak_mb"] for each in measured)


def repo(folder: Path, rows: int, days: int) -> Path:
    """A repo whose table has one Parquet file a day, a row a key in each."""
    import duckdb

    (folder / "data" / "stats").mkdir(parents=True)
    (folder / "views.py").write_text(VIEWS)
    (folder / "feature_store.yaml").write_text(
        "project: bench\nprovider: local\nregistry: data/registry.db\n"
        f"offline_store:\n  type: duckdb\nonline_store:\n  {OURS}\n"
        "entity_key_serialization_version: 3\n"
    )
    (folder / "feature_store.stock.yaml").write_text(
        "project: bench\nprovider: local\nregistry: data/registry.db\n"
        f"offline_store:\n  type: duckdb\nonline_store:\n  {STOCK}\n"
        "entity_key_serialization_version: 3\n"
    )
    connection = duckdb.connect()
    for number in range(days):
        moment = (START + timedelta(days=number)).isoformat()
        amounts = ", ".join(f"random() * 100 AS amount_{n}" for n in range(6))
        visits = ", ".join(f"(random() * 1e6)::BIGINT AS visits_{n}" for n in range(3))
        connection.execute(
            f"COPY (SELECT (hash(i) >> 20)::BIGINT AS user_id, TIMESTAMPTZ '{moment}' "
            f"+ INTERVAL (hash(i, {number}) % 86400) SECOND AS event_timestamp, "
            f"TIMESTAMPTZ '{moment}' + INTERVAL 1 DAY AS created, {amounts}, {visits}, "
            f"'city' || (i % 1000) AS city FROM range({rows}) t(i)) "
            f"TO '{folder}/data/stats/{number:03}.parquet' (FORMAT PARQUET)"
        )
    return folder


def run(**asked: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    silent = {
        "DO_NOT_TRACK": "1",
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "FEAST_USAGE": "False",
        "GX_ANALYTICS_ENABLED": "false",
    }
    done = subprocess.run(
        [sys.executable, HERE, "--worker", json.dumps(asked)],
        env=os.environ | silent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def work(asked: dict[str, Any]) -> dict[str, Any]:
    """What `run` asks for; imports are not measured."""
    start = START + timedelta(days=asked["day"])
    measure = graph if asked["how"] == "ours" else feast
    found = measure(Path(asked["repo"]), start)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**found, "peak_mb": used // 1024}


def feast(folder: Path, start: datetime) -> dict[str, Any]:
    from feast import FeatureStore
    from feast.repo_operations import apply_total

    store = FeatureStore(repo_path=str(folder), fs_yaml_file=folder / "feature_store.stock.yaml")
    apply_total(store.config, folder, skip_source_validation=True)
    end = start + timedelta(days=1, microseconds=-1)
    before = time.monotonic()
    store.materialize(start, end)
    return {"seconds": time.monotonic() - before}


def graph(folder: Path, start: datetime) -> dict[str, Any]:
    import dagster as dg

    from feature_platform import FeastProject, build_feast_definitions

    # What a run pays once, whatever it does, and stock Feast in its own imports.
    for module in ("great_expectations", "feast", "pandas", "scipy.stats"):
        __import__(module)
    project = FeastProject(folder)
    defs = build_feast_definitions(project, "2026-01-01", schedules=False, retry_policy=None)
    registry = dg.AssetKey(["bench", "registry"])
    keys = [["bench", "sources", "stats_table"], ["bench", "feature_views", "stats"]]
    jobs = [
        dg.define_asset_job("apply", dg.AssetSelection.assets(registry)),
        dg.define_asset_job("day", dg.AssetSelection.assets(*map(dg.AssetKey, keys))),
    ]
    defs = dg.Definitions.merge(defs, dg.Definitions(jobs=jobs))
    with dg.DagsterInstance.local_temp() as instance:
        defs.resolve_job_def("apply").execute_in_process(instance=instance)
        key = start.date().isoformat()
        file = folder / "data" / "stats" / f"{(start - START).days:03}.parquet"
        with (
            tempfile.TemporaryDirectory() as logs,
            reads_logged(Path(logs)),
            writes_timed() as spent,
        ):
            before = time.monotonic()
            job = defs.resolve_job_def("day")
            done = job.execute_in_process(instance=instance, partition_key=key)
            seconds = time.monotonic() - before
            read = bytes_read(Path(logs), file)
    steps = {
        event.step_key: event.event_specific_data.duration_ms / 1000
        for event in done.all_events
        if event.event_type_value == "STEP_SUCCESS"
    }
    return {
        "seconds": seconds,
        "steps": steps,
        "write": sum(spent),
        "passes": read / file.stat().st_size,
    }


@contextmanager
def reads_logged(folder: Path) -> Iterator[None]:
    """Every DuckDB that is opened logs what it reads, into a folder of its own."""
    import duckdb

    connect, number = duckdb.connect, count()

    def logged(*given: Any, **named: Any) -> Any:
        connection = connect(*given, **named)
        place = folder / str(next(number))
        place.mkdir()
        connection.execute(
            f"CALL enable_logging('FileSystem', storage='file', storage_path='{place}')"
        )
        return connection

    duckdb.connect = logged
    try:
        yield
    finally:
        duckdb.connect = connect


def bytes_read(logs: Path, file: Path) -> int:
    """What the logs say was read of a file."""
    read = 0
    for log in logs.glob("*/duckdb_log_entries.csv"):
        with log.open(newline="") as lines:
            for line in csv.DictReader(lines):
                said = json.loads(line["message"])
                if said["op"] == "READ" and said["path"] == str(file):
                    read += int(said["bytes"])
    return read


@contextmanager
def writes_timed() -> Iterator[list[float]]:
    """The seconds of each write of a view's newest rows."""
    from feature_platform.materialize.online_view import OnlineView

    write, spent = OnlineView.write, []

    def timed(self: OnlineView, *given: Any, **named: Any) -> None:
        before = time.monotonic()
        write(self, *given, **named)
        spent.append(time.monotonic() - before)

    with patch.object(OnlineView, "write", timed):
        yield spent


if __name__ == "__main__":
    main()
