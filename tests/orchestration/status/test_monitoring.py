"""Alert rules and dashboard, on a real Prometheus that has scraped a real run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import freeze_time
from worlds.automation.kept_ticks import Ticks
from worlds.local_servers import free_port
from worlds.places import ROOT
from worlds.runbook import command_of

from feature_platform.alerts.messages.incidents import Condition, Kind, Subject
from feature_platform.alerts.messages.repair import remedy
from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.rebuild_due import rebuild_due_observation
from feature_platform.orchestration.graph.size_metadata import ONLINE_BYTES, ONLINE_KEYS
from feature_platform.orchestration.validation.check_declarations import CHECKS, remedies

if TYPE_CHECKING:
    from worlds.samples import Sample

MONITORING = ROOT / "monitoring"
WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
NAME = re.compile(r"\bfeature_platform_[a-z_]+")
RULES = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
QUERIES = [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def test_each_rule_has_a_runbook_that_is_there_and_names_it():
    for rule in RULES:
        page = ROOT / rule["annotations"]["runbook_url"]
        assert page.is_file(), rule["alert"]
        assert rule["alert"] in page.read_text(), f"{page.name} says nothing of {rule['alert']}"


def test_each_kind_of_incident_has_a_runbook_that_is_there():
    kinds = [Condition(kind) for kind in get_args(Kind)]
    for kind in CHECKS:
        found = remedies(kind, [each.name for each in CHECKS[kind]])
        subject = Subject("project/asset", "project", kind, "asset", remedies=found)
        for condition in (*kinds, *(Condition("check", name) for name in found)):
            page = remedy(condition, subject).page
            assert (ROOT / "docs/runbooks" / page).is_file(), condition


def test_each_command_of_a_rule_is_one():
    for rule in RULES:
        command = rule["annotations"].get("command")
        if command is not None:
            words = re.sub(r"{{.*?}}", "x", command).split()
            assert words[0] == "feature-platform"
            known = {option for each in command_of(words[1]).params for option in each.opts}
            assert {word for word in words if word.startswith("--")} <= known, command


@pytest.mark.server
@pytest.mark.parametrize(
    "command", [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]]
)
def test_prometheus_own_tool_takes_the_rules_and_their_tests(command: list[str]):
    done = subprocess.run(
        ["promtool", *command], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_each_rule_is_tested():
    cases = yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
    tested = {
        each["alertname"]
        for case in cases
        for each in case["alert_rule_test"]
        if each["exp_alerts"]
    }
    assert tested == {rule["alert"] for rule in RULES}


class Prometheus:
    """A server that scrapes one endpoint each second."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:  # noqa: S310  loopback
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]


def _start(command: list[str], log: Path, **more: str) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **more},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _until(met: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 360
    while True:
        with suppress(OSError):
            if met():
                return
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("home")
    (found / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return found


@pytest.fixture(scope="module")
def recorded(make_sample: Callable[..., "Sample"], home: Path) -> "Sample":
    """A day that was materialized, one that was counted before, drift, an alert that was sent."""
    sample = make_sample("field_mappings")
    routes = home / "alerts.yaml"
    routes.write_text("routes:\n  - to: log\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        sample.instance = instance
        assert sample.run(
            "registry", "sources/voorraad", "feature_views/stock", partition="2026-03-01"
        ).success
        yesterday = {ONLINE_KEYS: 3, ONLINE_BYTES: 300}
        with freeze_time(datetime.now(UTC) - timedelta(days=1)):
            instance.report_runless_asset_event(
                dg.AssetMaterialization(sample.key("feature_views/stock"), metadata=yesterday)
            )
        assert sample.run("feature_views/stock", partition="2026-03-01").success
        instance.report_runless_asset_event(
            rebuild_due_observation(sample.key("feature_views/stock"), WINDOW)
        )
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                sample.key("drift/stock"),
                "on_hand",
                passed=False,
                metadata={"feature_platform/distance": 1.5},
            )
        )
        [sensor] = sample.definitions(alerts=routes).sensors
        sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
        Ticks(instance).tick(sensor.name, TickStatus.SKIPPED)
    return sample


@pytest.fixture(scope="module")
def prometheus(
    recorded: "Sample", home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    target, port = free_port(), free_port()
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{MONITORING / 'rules.yaml'}']\n"
        "scrape_configs:\n"
        "  - job_name: features\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
    )
    exporter = _start(
        [
            *(str(Path(sys.executable).parent / "feature-platform"), "metrics", "--every", "1"),
            *("--repo", str(recorded.repo), "--start-date", "2026-03-01"),
            *("--listen", f"127.0.0.1:{target}"),
        ],
        folder / "exporter.log",
        DAGSTER_HOME=str(home),
    )
    server = _start(
        [
            *("prometheus", f"--config.file={folder / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
        ],
        folder / "prometheus.log",
    )
    found = Prometheus(f"http://127.0.0.1:{port}")
    seen = "count_over_time(feature_platform_collected_timestamp_seconds[5m])"
    try:
        _until(
            lambda: any(
                int(each["value"][1]) > 3 for each in found.ask("query", query=seen)["result"]
            ),
            folder / "exporter.log",
        )
        yield found
    finally:
        for process in (exporter, server):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


# Whichever of the three is first waits for the servers.
@pytest.mark.server
@pytest.mark.timeout(600)
def test_every_query_of_the_dashboard_finds_something(prometheus: Prometheus):
    assert len(QUERIES) >= 25
    for title, query in QUERIES:
        found = prometheus.ask("query", query=query.replace("$project", ".*"))
        assert found["result"], f"{title}: {query}"


@pytest.mark.server
@pytest.mark.timeout(600)
def test_rules_and_dashboard_name_only_metrics_that_are_told(prometheus: Prometheus):
    told = set(prometheus.ask("label/__name__/values"))
    text = (MONITORING / "rules.yaml").read_text() + (MONITORING / "dashboard.json").read_text()
    assert set(NAME.findall(text)) <= told


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_rules_run_without_an_error_and_see_what_is_wrong(prometheus: Prometheus):
    [group] = prometheus.ask("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    states = {rule["name"]: rule["state"] for rule in group["rules"]}
    # The day that was materialized is long past, and drift has a page of its own.
    assert states["FeatureViewStale"] == "pending"
    assert states["FeatureDrifted"] == "pending"
    assert states["FeatureCheckFailed"] == "inactive"
    assert states["RebuildDue"] == "pending"
    # One key and some hundred bytes a day do not fill a disk.
    assert states["OnlineStoreFillsUp"] == "inactive"
    assert states["OnlineStoreDiffers"] == "inactive"
    assert states["AlertsNotDelivered"] == "inactive"
    assert states["TicksFail"] == "inactive"
