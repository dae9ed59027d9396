"""What a tick of the alert sensor costs with 500 synthetic views, on a real SQLite event log.

Prints one JSON line a case: seconds of one tick, the questions it asked the event log, incidents
open and messages sent after it. Messages go to an HTTP server of this process, a project's in one.
"""

import argparse
import json
import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
from definitions import write_repo
from sqlalchemy import event
from sqlalchemy.engine import Engine

from feature_platform import FeastProject, build_feast_definitions
from feature_platform.orchestration.graph.gave_up import report_gave_up


class Receiver(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        """Read it and say yes."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Print nothing."""


@contextmanager
def receiver() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook"
        server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=500)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ["ALERT_KEY"] = "a-key-of-the-benchmark"
    questions: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            questions.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    with tempfile.TemporaryDirectory(prefix="alerts-") as name, receiver() as url:
        folder = Path(name)
        write_repo(folder / "repo", options.views, 1)
        (folder / "alerts.yaml").write_text(
            "channels:\n"
            f"  hook: {{type: webhook, url: '{url}', secret_env: ALERT_KEY}}\n"
            "routes:\n  - {to: hook, group: {by: project, wait: 0s}}\n"
        )
        definitions = build_feast_definitions(
            FeastProject(folder / "repo"), "2026-01-01", alerts=folder / "alerts.yaml"
        )
        [sensor] = definitions.sensors or []
        home = folder / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        views = [
            dg.AssetKey(["synthetic", "feature_views", f"view_{n}"]) for n in range(options.views)
        ]
        with dg.DagsterInstance.from_config(str(home)) as instance:

            def tick(case: str) -> None:
                questions.clear()
                began = time.perf_counter()
                said = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
                seconds = time.perf_counter() - began
                found = {"case": f"alerts: {case}", "views": options.views}
                found |= {"seconds": round(seconds, 3), "questions": len(questions)}
                print(json.dumps(found | {"said": said.skip_message}), flush=True)

            tick("first tick")
            tick("nothing new")
            verdict(instance, views, passed=False)
            tick("a check of every view failed")
            tick("nothing new, all of them open")
            verdict(instance, views, passed=True)
            tick("all of them passed")
            for view in views:
                report_gave_up(instance, view, ["2026-01-01"], "tried 3 times")
            tick("automation gave up on every view")
            tick("nothing new, all of them open")


def verdict(instance: dg.DagsterInstance, views: Sequence[dg.AssetKey], *, passed: bool) -> None:
    for view in views:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(view, "online_equals_offline", passed=passed)
        )


if __name__ == "__main__":
    main()
