"""What starting a step costs: ours (forked from a preloaded server) against Dagster's default.

The daily job of the fraud repo runs alternately with both start methods on one Dagster instance.
`launch_seconds` is the median time from "step process starting" to "step started", over the steps
that do not wait for the fork server itself; `once_a_run_seconds` is what the first wave of steps
waits more than that.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROUNDS = 5
REPO = Path(__file__).parent.parent
STARTS = {"ours": None, "stock": {"spawn": {}}}


def launches(run_id: str) -> list[float]:
    """Seconds from launch to start of each step of a run, in order of launch."""
    import dagster as dg

    times: dict[str, dict[str, float]] = defaultdict(dict)
    with dg.DagsterInstance.get() as instance:
        for entry in instance.all_logs(run_id):
            event = entry.dagster_event
            if event and event.step_key:
                times[event.step_key].setdefault(event.event_type_value, entry.timestamp)
    started = sorted(times.values(), key=lambda each: each["STEP_WORKER_STARTING"])
    return [each["STEP_START"] - each["STEP_WORKER_STARTING"] for each in started]


def run_once(day: str, start: dict[str, dict[str, str]] | None) -> str:
    """Run the daily job of one day in a process of its own, as a scheduler would."""
    import dagster as dg

    config = Path(os.environ["DAGSTER_HOME"]) / "run_config.yaml"
    config.write_text(
        json.dumps({"execution": {"config": {"start_method": start}}} if start else {})
    )
    result = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "job", "execute"),
            *("-m", "feature_platform.definitions", "-j", "fraud_detection_daily"),
            *("--tags", json.dumps({"dagster/partition": day})),
            *(("--config", str(config)) if start else ()),
        ],
        cwd=REPO,
        check=False,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        sys.exit(result.stderr[-4000:])
    with dg.DagsterInstance.get() as instance:
        return instance.get_run_records(limit=1)[0].dagster_run.run_id


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["DAGSTER_HOME"] = home
        shutil.copy(REPO / "dagster_home" / "dagster.yaml", home)
        repo = Path(home) / "feature_repo"
        shutil.copytree(REPO / "feature_repo", repo, ignore=shutil.ignore_patterns("data"))
        os.environ["FEATURE_PLATFORM_REPO"] = str(repo)
        day = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
        measured: dict[str, list[list[float]]] = defaultdict(list)
        for _ in range(ROUNDS):
            for name, start in STARTS.items():
                measured[name].append(launches(run_once(day, start)))
    wave = os.cpu_count() or 1
    medians = {
        name: statistics.median(seconds for run in runs for seconds in run[wave:])
        for name, runs in measured.items()
    }
    first = statistics.median(max(run[:wave]) for run in measured["ours"])
    line = {
        "case": "launch of a step of the daily job",
        "steps": len(measured["ours"][0]),
        "rounds": ROUNDS,
        "ours_launch_seconds": round(medians["ours"], 3),
        "stock_launch_seconds": round(medians["stock"], 3),
        "ratio": round(medians["stock"] / medians["ours"], 1),
        "ours_once_a_run_seconds": round(first - medians["ours"], 3),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
